"""One round: refine labels with the last model, check them, train that model on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk import __version__
from lmk.annotations import AnnotationSet
from lmk.config import AlignmentParams, AugmentationParams, HourglassParams, Iteration, TrainingParams, ValidationParams
from lmk.console import Progress
from lmk.crops import Crops, cut_crops
from lmk.errors import DataError
from lmk.history import ledger
from lmk.inference import keep_memory
from lmk.models import CURVE, load_model, model_digest
from lmk.refine import WHOLE_SET
from lmk.refine.consensus import DOUBT
from lmk.refine.labels import refine_labels
from lmk.store import digest_of, read_annotations, remove, replacing, write_annotations
from lmk.training.fit import fit, trained_on
from lmk.training.held_out import held_out
from lmk.validation import enforce
from lmk.workspace import Workspace

JUDGED = ("disagreement", "by_heart")  # what is said of the network that was asked
SAME = 1e-3  # relative difference between two networks' disagreements that says nothing
MOST_STRETCH = 3.0  # from one training to the next, where the first knows next to nothing by heart
FEWEST, MOST = 0.5, 4.0  # times `training.epochs`: the bounds of every training after a search


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
    """One round: refine labels with the last model, check them, train that model on.

    When the last model agrees less with human points that it has never seen than the one before it, or knows too many
    others by heart, the alternation has gone past its best: the labels stay what they are, in this iteration and in all
    that follow, and nothing is trained.
    """
    human, previous, judge = paths.annotations("i00"), paths.annotations(iteration.prev), paths.model(iteration.prev)
    if crops is None:
        crops = cut_crops(read_annotations(human), images, model.input_size)
    decided = ledger.read(paths.decisions, before=name)
    refined = search_labels(human, previous, judge, images, training, alignment, iteration, name, crops, decided)
    start = human if starts_from_human(alignment, iteration) else previous
    check_refined(refined, start, alignment, validation, name, paths.data_docs(name), paths.rejected, decided)
    write_annotations(refined, paths.annotations(name))
    if refined.provenance["stopped"]:
        with replacing(paths.model(name)) as temporary:
            shutil.copytree(judge, temporary)
        return
    from_human = alignment.teach == "human"
    if from_human and len(decided):
        observed, _ = ledger.with_decisions(read_annotations(human), decided)
        human = paths.work / "observed" / f"{name}.parquet"
        write_annotations(observed, human)
    unfinished = fit(
        labels=human if from_human else paths.annotations(name),
        images=images,
        network=model,
        training=next_training(training, iteration, _epochs_of(judge, refined), refined.provenance["by_heart"]),
        augmentation=augmentation,
        target=paths.model(name),
        work=paths.work,
        title=f"training on {name}",
        start=judge,
        crops=crops,
        left_out=doubtful(refined) if from_human else None,
    )
    remove(unfinished)


def next_training(training: TrainingParams, iteration: Iteration, epochs: float, by_heart: float) -> TrainingParams:
    """The budget after a search: each image may be seen more often than before where that taught little of its noise.

    Args:
        training: what holds for all trainings.
        iteration: its budget.
        epochs: how often the last training saw each image.
        by_heart: what its network knows of the labels' noise.
    """
    stretch = min(training.by_heart / max(by_heart, 1e-6), MOST_STRETCH)
    most = np.clip(epochs * stretch, FEWEST * training.epochs, MOST * training.epochs)
    budget = trained_on(training, iteration.images, iteration.learning_rate)
    return budget.model_copy(update={"epochs": max(1, round(most))})


def _epochs_of(model: Path, annotations: AnnotationSet) -> float:
    """How often a network has seen each image in its last training."""
    images = pd.read_csv(model / CURVE)["images"].max()
    return float(np.nan_to_num(images) / annotations.in_split("train").sum())


def starts_from_human(alignment: AlignmentParams, iteration: Iteration) -> bool:
    """Whether a refiner looks for points from the human labels on, and not from the last refined ones."""
    return alignment.observation == "human" or iteration.refiner in WHOLE_SET


def doubtful(annotations: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) human points that are rather gross errors than not."""
    return np.asarray(np.nan_to_num(annotations.column("suspicion").astype(np.float64)) >= DOUBT)


def check_refined(
    refined: AnnotationSet,
    start: Path,
    alignment: AlignmentParams,
    validation: ValidationParams,
    name: str,
    docs: Path | None,
    rejected: Path,
    decided: pd.DataFrame | None = None,
) -> None:
    """Refuse a set that no refiner can have made of the set at `start`, with the decisions in place."""
    bounded = refined.provenance["refiner"] not in WHOLE_SET and not refined.provenance["stopped"]
    to_the_corner = float(np.hypot(alignment.window, alignment.window) / 2) if bounded else None
    observed, _ = ledger.with_decisions(read_annotations(start), ledger.nothing() if decided is None else decided)
    enforce(refined, validation, docs, rejected=rejected, name=name, observed=observed, reach=to_the_corner)


def search_labels(
    human: Path,
    previous: Path,
    judge: Path,
    images: Path,
    training: TrainingParams,
    alignment: AlignmentParams,
    iteration: Iteration,
    name: str,
    crops: Crops | None = None,
    decided: pd.DataFrame | None = None,
) -> AnnotationSet:
    """The labels of one iteration: what the last model's heatmaps make of the last labels.

    A point that somebody has decided on (`lmk.history.ledger`) is where it was decided to be: no human label is trusted
    more.
    """
    keep_memory()
    decided = ledger.nothing() if decided is None else decided
    before, _ = ledger.with_decisions(read_annotations(previous), decided)
    first, fixed = ledger.with_decisions(read_annotations(human), decided)
    keys = ["image", "instance"]
    if before.landmarks != first.landmarks or not before.instances[keys].equals(first.instances[keys]):
        raise DataError(f"{human} and {previous}: not the same images and instances; name the human labels of this set")
    number = int(name.removeprefix("i"))
    provenance: dict[str, Any] = {
        "producer": f"lmk {__version__} refine",
        "iteration": name,
        "refiner": iteration.refiner,
        "parent": digest_of(previous),
        "parent_iteration": iteration.prev,
        "model": model_digest(judge),
        "parameters": alignment.model_dump(),
        "stopped": before.provenance.get("stopped"),
    }
    if len(decided):
        provenance["decisions"] = digest_of(decided.to_dict("records"))
    if alignment.stop and provenance["stopped"]:
        return _repeated(before, number, provenance)
    model = load_model(judge, before.scheme)
    refined = refine_labels(
        model,
        before,
        first,
        crops or cut_crops(before, images, model.params.input_size),
        iteration.refiner,
        alignment,
        number,
        provenance,
        held_out(first, training),
        Progress(f"searching labels of {name}", "images"),
        Progress(f"reading views for {name}", "images"),
    )
    refined = _held(refined, first, fixed)
    was, now = ([one.provenance.get(name) for name in JUDGED] for one in (before, refined))
    if alignment.stop and was[0] is not None and now[0] > (1 + SAME) * was[0]:
        why = (
            f"{iteration.prev} was kept: the network trained after it agrees less, or knows more by heart "
            f"(disagreement {now[0]} after {was[0]}, by heart {now[1]} after {was[1]})"
        )
        return _repeated(before, number, {**refined.provenance, "stopped": why})
    return refined


def _held(refined: AnnotationSet, decided: AnnotationSet, fixed: NDArray[np.bool_]) -> AnnotationSet:
    """The set with some points, (N, K), where they were decided to be; a person has looked, so none is suspected."""
    if not fixed.any():
        return refined
    return refined.with_columns(
        x=np.where(fixed, decided.column("x"), refined.column("x")),
        y=np.where(fixed, decided.column("y"), refined.column("y")),
        suspicion=np.where(fixed, np.float32(0), refined.column("suspicion")),
        reason=np.where(fixed, np.array(None), refined.column("reason")),
    )


def _repeated(kept: AnnotationSet, number: int, provenance: dict[str, Any]) -> AnnotationSet:
    """The labels of the iteration before once more, with their evidence, their judge's, and the note that they are."""
    provenance = {**provenance, **{name: kept.provenance[name] for name in JUDGED}}
    repeats = kept.column("repeats").astype(np.float64) if kept.has("repeats") else np.full(1, np.nan)
    origin = repeats[np.isfinite(repeats)]
    first = int(origin[0]) if len(origin) else int(kept.instances["iteration"].iloc[0])
    return replace(kept.with_columns(iteration=number, repeats=first), provenance=provenance)
