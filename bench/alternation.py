"""The paper's search and its alternation of search and training, for all benches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmk.annotations import AnnotationSet
from lmk.config import AlternationParams, Iteration, Params, RefinerParams
from lmk.refine.align import AlignParams
from lmk.refine.iteration import Method, run_iteration, search_labels
from lmk.refine.iteration import Round as Files
from lmk.store import remove, write_annotations
from lmk.workspace import Workspace

PAPER = AlignParams(
    kind="align", window=17.0, template=19.0, step=1.0, prior_weight=0.1, floor=0.01, observation="updated",
    mirror=False,
)  # fmt: skip
TURNS = AlternationParams(teach="refined", stop=False)  # how the paper's searches and trainings take turns


@dataclass(frozen=True)
class Start:
    """What a search starts from."""

    labels: AnnotationSet
    judge: Path  # folder of the network whose heatmaps are searched
    faces: Path  # folder of the images


@dataclass(frozen=True)
class Round:
    """One search, and the training on what it found."""

    refiner: RefinerParams
    images: int  # that are trained on after the search
    learning_rate: float
    seed: int  # of that training


def paper(**changed: Any) -> AlignParams:
    """The paper's search, some of it changed."""
    return PAPER.changed(**changed)


def search_once(human: Path, judge: Path, faces: Path, refiner: RefinerParams) -> AnnotationSet:
    """The labels that one search finds around human labels."""
    return search_labels(Files("i01", "i00", human, human, judge, faces), refiner, TURNS)


def alternate(start: Start, rounds: Sequence[Round], params: Params, out: Path) -> Workspace:
    """Search and train in turns; every round starts from the labels and the network of the one before.

    Returns:
        A workspace in `out`, made anew: labels and networks of the start in i00, those of the rounds in i01, i02, …
    """
    paths = Workspace(out)
    remove(out)
    for kind in ("annotations", "models"):
        (out / kind).mkdir(parents=True)
    write_annotations(start.labels, paths.annotations("i00"))
    paths.model("i00").symlink_to(start.judge.absolute())
    for number, each in enumerate(rounds, start=1):
        iteration = Iteration(
            prev=f"i{number - 1:02d}", refiner="round", images=each.images, learning_rate=each.learning_rate
        )
        training = params.training.changed(held_out=0.0, seed=each.seed)
        method = Method(params.model, training, params.augmentation, each.refiner, TURNS, params.validation)
        run_iteration(f"i{number:02d}", iteration, start.faces, method, paths)
    return paths
