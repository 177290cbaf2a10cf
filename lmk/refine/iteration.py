"""One round of Semantic Alignment: search labels with the last model, check them, train that model on with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmk import __version__
from lmk.annotations import AnnotationSet
from lmk.config import AlignmentParams, AugmentationParams, HourglassParams, Iteration, TrainingParams, ValidationParams
from lmk.errors import DataError
from lmk.fitting import cut_crops, fit, trained_on
from lmk.images import Crops
from lmk.inference import keep_memory
from lmk.models import load_model, model_digest
from lmk.progress import Progress
from lmk.refine.labels import refine_labels
from lmk.store import digest_of, read_annotations, remove, write_annotations
from lmk.validation import enforce
from lmk.workspace import Workspace


def run_iteration(
    name: str,
    iteration: Iteration,
    images: Path,
    model: HourglassParams,
    training: TrainingParams,
    augmentation: AugmentationParams,
    alignment: AlignmentParams,
    validation: ValidationParams,
    paths: Workspace,
    crops: Crops | None = None,
) -> None:
    """One round: search labels with the last model, check them, train that model on with them."""
    human, previous, judge = paths.annotations("i00"), paths.annotations(iteration.prev), paths.model(iteration.prev)
    if crops is None:
        crops = cut_crops(read_annotations(human), images, model.input_size)
    refined = search_labels(human, previous, judge, images, alignment, iteration, name, crops)
    start = human if alignment.observation == "human" else previous
    check_refined(refined, start, alignment, validation, name, paths.data_docs(name), paths.rejected)
    write_annotations(refined, paths.annotations(name))
    unfinished = fit(
        labels=paths.annotations(name),
        images=images,
        network=model,
        training=trained_on(training, iteration.images, iteration.learning_rate),
        augmentation=augmentation,
        target=paths.model(name),
        work=paths.work,
        title=f"training on {name}",
        start=judge,
        crops=crops,
    )
    remove(unfinished)


def check_refined(
    refined: AnnotationSet,
    start: Path,
    alignment: AlignmentParams,
    validation: ValidationParams,
    name: str,
    docs: Path | None,
    rejected: Path,
) -> None:
    """Refuse a set that no search from the set at `start` can have found."""
    to_the_corner = float(np.hypot(alignment.window, alignment.window) / 2)
    observed = read_annotations(start)
    enforce(refined, validation, docs, rejected=rejected, name=name, observed=observed, reach=to_the_corner)


def search_labels(
    human: Path,
    previous: Path,
    judge: Path,
    images: Path,
    alignment: AlignmentParams,
    iteration: Iteration,
    name: str,
    crops: Crops | None = None,
) -> AnnotationSet:
    """The labels of one iteration: what the last model's heatmaps make of the last labels."""
    keep_memory()
    before, first = read_annotations(previous), read_annotations(human)
    keys = ["image", "instance", "landmark"]
    if not before.table[keys].equals(first.table[keys]):
        raise DataError(f"{human} and {previous}: not the same images and instances; name the human labels of this set")
    model = load_model(judge, before.scheme)
    observed = first.points if alignment.observation == "human" else before.points
    provenance = {
        "producer": f"lmk {__version__} refine",
        "iteration": name,
        "refiner": iteration.refiner,
        "parent": digest_of(previous),
        "parent_iteration": iteration.prev,
        "model": model_digest(judge),
        "parameters": alignment.model_dump(),
    }
    return refine_labels(
        model,
        before,
        observed,
        crops or cut_crops(before, images, model.params.input_size),
        iteration.refiner,
        alignment,
        int(name.removeprefix("i")),
        provenance,
        Progress(f"searching labels of {name}", "images"),
    )
