"""How fast this machine is at what takes longest: training and predicting, measured on a few images."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmk.annotations import AnnotationSet
from lmk.crops import CropSource, crops_of
from lmk.errors import enough_memory
from lmk.inference import BATCH, keep_memory, predict
from lmk.models.base import Detector
from lmk.models.store import build_model
from lmk.names import AnyFolder
from lmk.training.loop import Course, train
from lmk.training.recipe import Recipe

STEPS = 5  # of training; neither the first is timed, in which torch makes ready, nor the last, which keeps a checkpoint


@dataclass(frozen=True)
class Speed:
    """Seconds for one instance."""

    training: float  # to learn from it once
    predicting: float  # to predict its points from image and mirror image


def measure(recipe: Recipe, annotations: AnnotationSet, images: AnyFolder) -> Speed:
    """Train an untrained network for a few steps, and predict with it; nothing is kept."""
    keep_memory()
    learnt = np.flatnonzero(annotations.in_split("train"))[: max(BATCH, STEPS * recipe.training.batch)]
    few = annotations.select(np.isin(np.arange(len(annotations.instances)), learnt))
    smaller = "training.batch, model.input_size or the network"
    with tempfile.TemporaryDirectory() as folder, enough_memory("trying how fast this machine trains", smaller):
        crops = crops_of(few, images, recipe.network.input_size, Path(folder))
        crops.read(np.arange(len(crops)))  # decoding is done once for all trainings, and not timed
        model = build_model(recipe.network, few.scheme, recipe.training.seed)
        training = _train(model, few, crops, recipe, Path(folder))
    return Speed(training, _predict(model, few, crops))


def _train(model: Detector, few: AnnotationSet, crops: CropSource, recipe: Recipe, folder: Path) -> float:
    batch = recipe.training.batch
    changed = recipe.training.changed(images=STEPS * batch, epochs=STEPS * batch, look_every=STEPS * batch)
    steps = [0.0] * STEPS

    def after_step(step: int) -> None:
        steps[step - 1] = time.perf_counter()

    train(
        model, few, crops, Recipe(recipe.network, changed, recipe.augmentation),
        Course(folder, "trying how fast this machine trains", after_step),
    )  # fmt: skip
    return (steps[-2] - steps[0]) / ((STEPS - 2) * batch)


def _predict(model: Detector, few: AnnotationSet, crops: CropSource) -> float:
    some = np.arange(len(few.instances)) < BATCH
    few, crops = few.select(some), crops.select(some)
    times = []
    for _ in range(2):  # in the first, torch makes ready
        start = time.perf_counter()
        predict(model, few, crops, mirror=True, fast=True)
        times.append(time.perf_counter() - start)
    return times[-1] / len(few.instances)
