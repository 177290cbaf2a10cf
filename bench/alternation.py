"""The paper's search and its alternation of search and training, for all benches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmk.annotations import AnnotationSet
from lmk.config import Iteration, Params
from lmk.fitting import cut_crops
from lmk.refine.iteration import run_iteration, search_labels
from lmk.store import read_annotations, remove, write_annotations
from lmk.workspace import Workspace

PAPER: dict[str, Any] = {
    "window": 17.0, "template": 19.0, "prior_weight": 0.1, "mirror": False, "teach": "refined", "stop": False,
}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a search starts from."""

    labels: AnnotationSet
    judge: Path  # folder of the network whose heatmaps are searched
    faces: Path  # folder of the images


@dataclass(frozen=True)
class Round:
    """One search, and the training on what it found."""

    refiner: str
    images: int  # that are trained on after the search
    learning_rate: float
    seed: int  # of that training


def paper(params: Params, **changed: Any) -> Params:
    """The same parameters with the paper's search, some of it changed."""
    alignment = params.alignment.model_copy(update={**PAPER, **changed})
    return params.model_copy(update={"alignment": alignment})


def search_once(human: Path, judge: Path, faces: Path, params: Params) -> AnnotationSet:
    """The labels that one search finds around human labels."""
    once = Iteration(prev="i00", refiner="align", images=0, learning_rate=params.training.learning_rate)
    return search_labels(human, human, judge, faces, params.training, params.alignment, once, "i01")


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
    crops = cut_crops(read_annotations(paths.annotations("i00")), start.faces, params.model.input_size)
    for number, each in enumerate(rounds, start=1):
        budget = {"images": each.images, "learning_rate": each.learning_rate}
        iteration = Iteration.model_validate({"prev": f"i{number - 1:02d}", "refiner": each.refiner, **budget})
        training = params.training.model_copy(update={"held_out": 0.0, "seed": each.seed})
        run_iteration(
            f"i{number:02d}", iteration, start.faces, params.model, training, params.augmentation, params.alignment,
            params.validation, paths, crops,
        )  # fmt: skip
    return paths
