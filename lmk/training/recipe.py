"""What determines a network, and where it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk import __version__
from lmk.annotations import AnnotationSet
from lmk.config import AugmentationParams, NetworkParams, TrainingParams
from lmk.constants import digest_of_constants
from lmk.errors import DataError
from lmk.models.store import model_digest
from lmk.names import AnyFolder
from lmk.registry import NETWORKS
from lmk.store import digest_of


@dataclass(frozen=True)
class Recipe:
    """How a network is made from labels: equal recipes on equal labels and images make equal networks."""

    network: NetworkParams
    training: TrainingParams
    augmentation: AugmentationParams
    left_out: NDArray[np.bool_] | None = None  # (N, K) points that are not learnt, besides those held out
    importance: Mapping[str, float] | None = None  # of each landmark in the loss, by name; all the same without it

    def weights(self, annotations: AnnotationSet) -> NDArray[np.float64] | None:
        """(K,) the importance of each landmark, in the order of the scheme."""
        if self.importance is None:
            return None
        names = annotations.scheme.names
        if set(self.importance) != set(names):
            unknown = sorted(set(self.importance) ^ set(names))[0]
            raise DataError(f"weights: {unknown!r} is not in both, weights and scheme {annotations.scheme.name}")
        found = np.array([float(self.importance[name]) for name in names])
        if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
            raise DataError("weights: want numbers that are not negative, one for each landmark")
        return found


@dataclass(frozen=True)
class Job:
    """Where a network is made from, and where it goes."""

    labels: Path  # an annotation set's file
    images: AnyFolder  # folder that its image names start from
    target: Path  # folder of the network
    work: Path  # unfinished work is kept below it, and taken up again after a kill
    title: str  # for the progress
    start: Path | None = None  # folder of the network to go on from, or of the one that this one stands on

    @property
    def crops(self) -> Path:
        """Folder where pixels are kept, for other jobs with the same images."""
        return self.work / "crops"


def provenance(recipe: Recipe, job: Job) -> dict[str, Any]:
    """All that makes one network differ from another."""
    kind = NETWORKS[recipe.network.kind].load()
    found: dict[str, Any] = {
        "producer": f"lmk {__version__} train",
        "labels": digest_of(job.labels),
        "left_out": None if recipe.left_out is None else digest_of(np.flatnonzero(recipe.left_out).tolist()),
        "start": model_digest(job.start) if job.start else None,
        "coarse": kind.coarse,
        "constants": digest_of_constants(kind.__module__, "lmk.training.loop"),
        "parameters": {
            "model": recipe.network.model_dump(),
            "training": recipe.training.model_dump(),
            "augmentation": recipe.augmentation.model_dump(),
        },
    }
    if recipe.importance is not None:
        found["importance"] = dict(recipe.importance)
    return found
