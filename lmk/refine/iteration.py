"""One round: refine labels with the last model, check them, train that model on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk import __version__
from lmk.annotations import AnnotationSet
from lmk.checks import Search as Held
from lmk.config import (
    AlternationParams,
    AugmentationParams,
    HeatmapParams,
    Iteration,
    Params,
    RefinerParams,
    TrainingParams,
    ValidationParams,
)
from lmk.console import Progress
from lmk.constants import digest_of_constants
from lmk.crops import crops_of
from lmk.errors import DataError, LmkError
from lmk.history import ledger
from lmk.inference import keep_memory
from lmk.kernels.suspicion import DOUBT
from lmk.limits import COUNT
from lmk.models.store import load_model, model_digest, read_curve
from lmk.names import AnyFolder
from lmk.provenance import Provenance
from lmk.refine.labels import Search, refine_labels, refiner_of
from lmk.registry import REFINERS
from lmk.store import digest_of, read_annotations, remove, replacing, write_annotations
from lmk.training.fit import fit
from lmk.training.held_out import unlearnt
from lmk.training.recipe import Job, Recipe
from lmk.validation import Place, enforce
from lmk.workspace import Workspace

SAME = 1e-3  # relative difference between two networks' disagreements, below which the later one is no better
MOST_STRETCH = 3.0  # largest factor from one training's passes to the next's, where nothing is memorised
FEWEST, MOST = 0.5, 4.0  # bounds of the passes over each image in a training after a search, times `training.epochs`


@dataclass(frozen=True)
class Method:
    """How a round is done; the sections of the parameters that decide it."""

    model: HeatmapParams
    training: TrainingParams
    augmentation: AugmentationParams
    refiner: RefinerParams
    alternation: AlternationParams
    validation: ValidationParams

    @classmethod
    def of(cls, params: Params, iteration: Iteration) -> Method:
        """What a parameter file says of an iteration."""
        return cls(
            params.model, params.training, params.augmentation, params.refiners[iteration.refiner], params.alternation,
            params.validation,
        )  # fmt: skip


@dataclass(frozen=True)
class Round:
    """Where a round finds what it needs."""

    name: str  # of the new iteration
    prev: str  # of the one before
    human: Path  # the human labels
    previous: Path  # the labels of the iteration before
    judge: Path  # its network
    images: AnyFolder  # folder that image names start from
    cache: Path | None = None  # folder for crops

    @classmethod
    def within(cls, paths: Workspace, name: str, prev: str, images: AnyFolder) -> Round:
        """A round of a workspace."""
        return cls(
            name, prev, paths.annotations("i00"), paths.annotations(prev), paths.model(prev), images, paths.crops
        )


def run_iteration(name: str, iteration: Iteration, images: AnyFolder, method: Method, paths: Workspace) -> None:
    """One round: refine labels with the last model, check them, train that model on.

    If the last model agrees no better with held-out human points than the one before, or has memorised too much, the
    alternation is past its best: this iteration and all that follow repeat the labels of before, and nothing is
    trained.  Nor is anything trained where the iteration's budget is 0.
    """
    this = Round.within(paths, name, iteration.prev, images)
    decided = ledger.read(paths.decisions, before=name)
    refined = _found_before(paths.annotations(name), this, method, decided)
    if refined is None:
        refined = search_labels(this, method.refiner, method.alternation, decided)
    place = Place(name, paths.rejected, paths.data_docs(name))
    enforce(refined, method.validation, place, held_against(refined, method.refiner, this, decided))
    write_annotations(refined, paths.annotations(name))
    if refined.provenance["stopped"] or not iteration.images:
        with replacing(paths.model(name)) as temporary:
            shutil.copytree(this.judge, temporary)
        return
    labels, left_out = paths.annotations(name), None
    if method.alternation.teach == "human":
        labels, left_out = _human_labels(this.human, paths, name, decided), doubtful(refined)
    training = next_training(
        method.training, iteration, _epochs_of(this.judge, refined), refined.provenance["memorised"]
    )
    recipe = Recipe(method.model, training, method.augmentation, left_out)
    job = Job(labels, images, paths.model(name), paths.work, f"training on {name}", start=this.judge)
    remove(fit(recipe, job))


def _found_before(labels: Path, this: Round, method: Method, decided: pd.DataFrame) -> AnnotationSet | None:
    """The labels of this very search, where they are there already."""
    if not labels.is_file():
        return None
    try:
        found = read_annotations(labels)
        asked = _asked(this, method.refiner, method.alternation, decided)
    except LmkError:  # the search says what is wrong
        return None
    same = all(found.provenance.get(key) == asked.get(key) for key in {*asked, "decisions"})
    same = same and {"stopped", "memorised"} <= found.provenance.keys()
    return found if same else None


def _human_labels(human: Path, paths: Workspace, name: str, decided: pd.DataFrame) -> Path:
    """The file of the human labels, with every decided point where it was decided to be."""
    if not len(decided):
        return human
    observed, _ = ledger.with_decisions(read_annotations(human), decided)
    written = paths.work / "observed" / f"{name}.parquet"
    write_annotations(observed, written)
    return written


def next_training(training: TrainingParams, iteration: Iteration, epochs: float, memorised: float) -> TrainingParams:
    """The budget after a search: more passes over each image than before, if little of its noise was memorised.

    Args:
        training: what holds for all trainings.
        iteration: its budget.
        epochs: passes over each image in the last training.
        memorised: the share of the labels' noise that its network has memorised.
    """
    stretch = min(training.memorised / max(memorised, 1e-6), MOST_STRETCH)
    most = np.clip(epochs * stretch, FEWEST * training.epochs, min(MOST * training.epochs, COUNT))
    return training.changed(images=iteration.images, learning_rate=iteration.learning_rate, epochs=max(1, round(most)))


def _epochs_of(model: Path, annotations: AnnotationSet) -> float:
    """Passes over each image in a network's last training."""
    images = read_curve(model)["images"].max()
    return float(np.nan_to_num(images) / annotations.in_split("train").sum())


def doubtful(annotations: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) human points that are more likely gross errors than not."""
    return np.asarray(np.nan_to_num(annotations.column("suspicion").astype(np.float64)) >= DOUBT)


def held_against(
    refined: AnnotationSet, params: RefinerParams, this: Round, decided: pd.DataFrame | None = None
) -> Held:
    """What a refined set is checked with: the labels that its refiner started from, and how far it may have gone."""
    refiner = refiner_of(params)
    start = this.human if refiner.starts_from_human(params) else this.previous
    observed, _ = ledger.with_decisions(read_annotations(start), ledger.nothing() if decided is None else decided)
    return Held(observed, None if refined.provenance["stopped"] else refiner.reach(params), type(params).fills)


def search_labels(
    this: Round, params: RefinerParams, alternation: AlternationParams, decided: pd.DataFrame | None = None
) -> AnnotationSet:
    """The labels of one iteration: what the refiner makes of the last labels and the last model's heatmaps.

    A point that somebody has decided on (`lmk.history.ledger`) is where it was decided to be: no human label is trusted
    more.
    """
    keep_memory()
    decided = ledger.nothing() if decided is None else decided
    before, _ = ledger.with_decisions(read_annotations(this.previous), decided)
    first, fixed = ledger.with_decisions(read_annotations(this.human), decided)
    _check_same(before, first, this)
    number = int(this.name.removeprefix("i"))
    model = load_model(this.judge, before.scheme)
    provenance = {
        **_asked(this, params, alternation, decided),
        "stopped": before.provenance.get("stopped"),
    }
    if alternation.stop and provenance["stopped"]:
        return _repeated(before, number, provenance)
    crops = crops_of(before, this.images, model.params.input_size, this.cache)
    search = Search(model, before, first, crops, unlearnt(this.judge, first))
    refined = refine_labels(
        search, params, number, provenance, lambda phase: Progress(f"{phase} for {this.name}", "images")
    )
    refined = _held(refined, first, fixed)
    was, now = (Provenance.of(one.provenance) for one in (before, refined))
    if alternation.stop and _is_no_better(now.disagreement, was.disagreement):
        why = (
            f"{this.prev} was kept: the network trained after it agrees no better with held-out points, or has "
            f"memorised more (disagreement {now.disagreement} after {was.disagreement}, "
            f"memorised {now.memorised} after {was.memorised})"
        )
        return _repeated(before, number, {**refined.provenance, "stopped": why})
    return refined


def _asked(this: Round, params: RefinerParams, alternation: AlternationParams, decided: pd.DataFrame) -> dict[str, Any]:
    """All that determines the labels of a search: a search with the same finds the same."""
    network = type(load_model(this.judge, None))
    asked: dict[str, Any] = {
        "producer": f"lmk {__version__} refine",
        "iteration": this.name,
        "refiner": params.kind,
        "parent": digest_of(this.previous),
        "parent_iteration": this.prev,
        "model": model_digest(this.judge),
        "constants": digest_of_constants(network.__module__, REFINERS[params.kind].module, "lmk.refine.labels"),
        "parameters": searched_with(params, alternation),
    }
    if len(decided):
        asked["decisions"] = digest_of(decided.to_dict("records"))
    return asked


def searched_with(params: RefinerParams, alternation: AlternationParams) -> dict[str, Any]:
    """The parameters of a search, as the provenance of its labels has them."""
    return {**params.model_dump(), **alternation.model_dump()}


def _check_same(before: AnnotationSet, first: AnnotationSet, this: Round) -> None:
    keys = ["image", "instance"]
    if before.landmarks != first.landmarks or not before.instances[keys].equals(first.instances[keys]):
        raise DataError(
            f"{this.human} and {this.previous}: not the same images and instances; name the human labels of this set"
        )


def _is_no_better(now: float | None, was: float | None) -> bool:
    """Whether a network's disagreement is no smaller than that of the one before, as far as both are known."""
    return now is not None and was is not None and now > (1 - SAME) * was


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
    judged = Provenance.of(kept.provenance)
    provenance = {**provenance, "disagreement": judged.disagreement, "memorised": judged.memorised}
    repeats = kept.column("repeats").astype(np.float64) if kept.has("repeats") else np.full(1, np.nan)
    origin = repeats[np.isfinite(repeats)]
    first = int(origin[0]) if len(origin) else int(kept.instances["iteration"].iloc[0])
    return replace(kept.with_columns(iteration=number, repeats=first), provenance=provenance)
