"""Which instances and points a network learns, and which it does not, so that somebody can see what it memorised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.errors import DataError
from lmk.models.store import read_config


def taught(annotations: AnnotationSet) -> np.ndarray:
    """(N,) the instances that are learnt, of which there has to be one."""
    chosen = annotations.in_split("train")
    if not chosen.any():
        raise DataError("no instances in split train to learn from; name the folders train, val and test, or use none")
    return np.asarray(chosen)


def held_out(annotations: AnnotationSet, seed: int, share: float) -> NDArray[np.bool_]:
    """(N, K) points of train that are not learnt: a share of them, the same in every iteration."""
    drawn = np.random.default_rng([seed, 9]).random(annotations.labelled.shape) < share
    return np.asarray(drawn & annotations.labelled & annotations.in_split("train")[:, None])


def unlearnt(model: Path, annotations: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) points of a set that a network which was trained on it has not learnt."""
    training = read_config(model)["provenance"]["parameters"]["training"]
    return held_out(annotations, int(training["seed"]), float(training["held_out"]))
