"""From labels on disk to a network on disk: what a stage of the pipeline, `lmk clean` and `lmk train` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lmk import __version__
from lmk.annotations import AnnotationSet
from lmk.config import (
    AugmentationParams,
    CorrectionParams,
    HourglassParams,
    ResNetParams,
    TrainingParams,
)
from lmk.crops import Crops, cut_crops
from lmk.errors import DataError, ModelError
from lmk.inference import keep_memory
from lmk.kernels.views import to_crop
from lmk.models import CONFIG, Network, build_model, is_whole, load_model, model_digest, save_model
from lmk.models.corrections import Correction
from lmk.store import digest_of, read_annotations
from lmk.training.held_out import held_out, taught
from lmk.training.loop import COLUMNS, train


def fit(
    labels: Path,
    images: Path,
    network: HourglassParams | ResNetParams | CorrectionParams,
    training: TrainingParams,
    augmentation: AugmentationParams,
    target: Path,
    work: Path,
    title: str,
    start: Path | None = None,
    crops: Crops | None = None,
    after_step: Callable[[int], None] | None = None,
    left_out: NDArray[np.bool_] | None = None,
    importance: Mapping[str, float] | None = None,
) -> Path:
    """Train a network on a set of labels and keep it with its curve; nothing is done where that very network is there.

    Args:
        labels: an annotation set's file.
        images: folder that its image paths are relative to.
        target: folder of the network.
        work: unfinished work is kept below it, named by what is trained on what, and taken up again after a kill.
        start: folder of the network to go on from, or of the detector to correct; without one, training starts from
            scratch.
        crops: of the set, where they are at hand.
        left_out: (N, K) points that are not to be learnt, besides those that `training.held_out` asks for.
        importance: of each landmark in the loss, by its name; all the same without it.

    Returns:
        The folder with the training's last checkpoint, to be removed when nobody needs to go on from it.
    """
    keep_memory()
    provenance: dict[str, Any] = {
        "producer": f"lmk {__version__} train",
        "labels": digest_of(labels),
        "left_out": None if left_out is None else digest_of(np.flatnonzero(left_out).tolist()),
        "start": model_digest(start) if start else None,
        "parameters": {
            "model": network.model_dump(),
            "training": training.model_dump(),
            "augmentation": augmentation.model_dump(),
        },
    }
    if importance is not None:
        provenance["importance"] = dict(importance)
    unfinished = work / digest_of(provenance)
    if is_whole(target, provenance):
        return unfinished
    if target.exists() and not (target / CONFIG).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target}: holds something else than a model, which would be lost; name another folder")
    annotations = read_annotations(labels)
    weights = None if importance is None else _importance(importance, annotations)
    unseen = held_out(annotations, training)
    annotations = annotations.without(unseen if left_out is None else unseen | left_out)
    # Before a network is made: it says what is wrong with images and boxes.
    crops = crops or cut_crops(annotations, images, network.input_size)
    model = _start(network, annotations, training.seed, start)
    if isinstance(model, Correction) and not model.learns:
        if weights is not None:
            raise DataError(f"weights: {model.params.kind} is fitted to all landmarks alike; leave them out")
        save_model(model, annotations.scheme, provenance, pd.DataFrame(columns=COLUMNS), target)
        return unfinished
    model, curve = train(
        model,
        annotations,
        crops,
        training,
        augmentation,
        unfinished,
        title,
        after_step,
        weights,
    )
    save_model(model, annotations.scheme, provenance, curve, target)
    return unfinished


def _start(
    network: HourglassParams | ResNetParams | CorrectionParams,
    annotations: AnnotationSet,
    seed: int,
    start: Path | None,
) -> Network:
    """The network as training finds it."""
    fresh = build_model(network, annotations.scheme, seed)
    if isinstance(fresh, Correction):
        if start is None:
            raise ModelError(f"{fresh.params.kind} corrects a detector; name one that is trained")
        known = load_model(start, annotations.scheme)
        if known.params != fresh.params.detector:
            raise ModelError(f"{start}: not the detector that is to be corrected; its sizes are others")
        fresh.detector.load_state_dict(known.state_dict())
        learnt = annotations.select(taught(annotations))
        places = to_crop(torch.from_numpy(learnt.points.copy()), torch.from_numpy(learnt.boxes.copy()))
        fresh.study(places.numpy())
        return fresh
    if start is None:
        return fresh
    known = load_model(start, annotations.scheme)
    if isinstance(known, Correction):
        raise ModelError(f"{start}: a {known.params.kind} on top of a detector cannot be trained on as a detector")
    if known.params != network:
        raise ModelError(f"{start}: a network of other sizes than section model asks for; make the two equal")
    return known


def _importance(importance: Mapping[str, float], annotations: AnnotationSet) -> NDArray[np.float64]:
    """(K,) in the order of the scheme."""
    names = annotations.scheme.names
    if set(importance) != set(names):
        unknown = sorted(set(importance) ^ set(names))[0]
        raise DataError(f"weights: {unknown!r} is not in both, weights and scheme {annotations.scheme.name}")
    found = np.array([float(importance[name]) for name in names])
    if not (np.isfinite(found) & (found >= 0)).all() or not found.any():
        raise DataError("weights: want numbers that are not negative, one for each landmark")
    return found


def trained_on(training: TrainingParams, images: int, learning_rate: float) -> TrainingParams:
    """The same training with another budget and rate."""
    return training.model_copy(update={"images": images, "learning_rate": learning_rate})
