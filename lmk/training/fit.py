"""From labels on disk to a network on disk: what a stage of the pipeline, `lmk clean` and `lmk train` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lmk.annotations import AnnotationSet
from lmk.crops import crops_of
from lmk.errors import DataError, ModelError, enough_memory
from lmk.inference import keep_memory
from lmk.kernels.views import to_crop
from lmk.models.base import Detector
from lmk.models.store import CONFIG, build_model, is_whole, load_model, save_model
from lmk.store import digest_of, making, read_annotations
from lmk.training.held_out import held_out, taught
from lmk.training.loop import COLUMNS, Course, train
from lmk.training.recipe import Job, Recipe, provenance


def fit(recipe: Recipe, job: Job, after_step: Callable[[int], None] | None = None) -> Path:
    """Train a network and keep it with its curve; nothing is done where that very network is there.

    Args:
        recipe: what determines the network.
        job: where it is made from, and where it goes.
        after_step: called with the number of each finished step; for tests.

    Returns:
        The folder with the training's last checkpoint, to be removed when nobody needs to go on from it.
    """
    keep_memory()
    origin = provenance(recipe, job)
    unfinished = job.work / digest_of(origin)
    if not is_whole(job.target, origin):
        _check_free(job.target)
        smaller = "training.batch, model.input_size or the network"
        with making(unfinished), enough_memory(job.title, smaller), _threads(recipe.training.threads):
            _fit(recipe, job, Course(unfinished, job.title, after_step), origin)
    return unfinished


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for all sums: another number would round them otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(recipe: Recipe, job: Job, course: Course, origin: dict[str, Any]) -> None:
    annotations = read_annotations(job.labels)
    weights = recipe.weights(annotations)
    unseen = held_out(annotations, recipe.training.seed, recipe.training.held_out)
    annotations = annotations.without(unseen if recipe.left_out is None else unseen | recipe.left_out)
    # Before a network is made: it says what is wrong with images and boxes.
    crops = crops_of(annotations, job.images, recipe.network.input_size, job.crops)
    model = _start(recipe, annotations, job.start)
    curve = pd.DataFrame(columns=COLUMNS)
    if model.learns:
        model, curve = train(model, annotations, crops, recipe, course)
    elif weights is not None:
        raise DataError(f"weights: {model.params.kind} is fitted to all landmarks alike; leave them out")
    save_model(model, annotations.scheme, origin, curve, job.target)


def _check_free(target: Path) -> None:
    """Refuse to replace what is no network."""
    if target.exists() and not (target / CONFIG).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target}: holds something else than a model, which would be lost; name another folder")


def _start(recipe: Recipe, annotations: AnnotationSet, start: Path | None) -> Detector:
    """The network as training finds it."""
    fresh = build_model(recipe.network, annotations.scheme, recipe.training.seed)
    known = load_model(start, annotations.scheme) if start else None
    learnt = annotations.select(taught(annotations))
    places = to_crop(torch.from_numpy(learnt.points.copy()), torch.from_numpy(learnt.boxes.copy()))
    try:
        return fresh.start(known, places.numpy())
    except ModelError as mistake:
        raise ModelError(f"{start}: {mistake}" if start else str(mistake)) from mistake
