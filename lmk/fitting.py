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
    parse_section,
)
from lmk.dataset import to_crop
from lmk.errors import DataError, ModelError
from lmk.images import Crops
from lmk.inference import keep_memory
from lmk.models import CONFIG, Network, build_model, is_whole, load_model, model_digest, read_config, save_model
from lmk.models.corrections import Correction
from lmk.progress import Progress
from lmk.store import digest_of, read_annotations
from lmk.training import COLUMNS, taught, train


def cut_crops(annotations: AnnotationSet, images: Path, input_size: int) -> Crops:
    """The pixels that a network sees, for every instance of a set."""
    if np.isnan(annotations.boxes).any():
        raise DataError("the annotation set was made without images; ingest it again, without --no-images")
    names = annotations.instances["image"].tolist()
    return Crops(images, names, annotations.boxes, input_size, Progress("reading images", "images"))


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


def held_out(annotations: AnnotationSet, training: TrainingParams) -> NDArray[np.bool_]:
    """(N, K) points of train that are not learnt, the same in every iteration."""
    drawn = np.random.default_rng([training.seed, 9]).random(annotations.labelled.shape) < training.held_out
    return np.asarray(drawn & annotations.labelled & annotations.in_split("train")[:, None])


def unlearnt(model: Path, annotations: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) points of a set that a network which was trained on it has not learnt."""
    training = read_config(model)["provenance"]["parameters"]["training"]
    return held_out(annotations, parse_section(TrainingParams, training, where=str(model / CONFIG)))


def trained_on(training: TrainingParams, images: int, learning_rate: float) -> TrainingParams:
    """The same training with another budget and rate."""
    return training.model_copy(update={"images": images, "learning_rate": learning_rate})
