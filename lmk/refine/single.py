"""One search outside of a schedule: what `lmk refine` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmk.config import Iteration, Params
from lmk.errors import UnknownName
from lmk.refine import REFINERS
from lmk.refine.iteration import check_refined, search_labels, starts_from_human
from lmk.store import read_annotations, write_annotations


@dataclass(frozen=True)
class Files:
    """Where a search finds what it needs, and where its labels go."""

    labels: Path  # the set whose points are moved
    human: Path  # the human labels of the same images
    model: Path  # folder of the network that judges
    images: Path  # folder that image names start from
    output: Path  # the new set


def refine_once(files: Files, refiner: str, params: Params) -> int:
    """Search better labels, check and write them; returns the number of the new iteration."""
    if refiner not in REFINERS:
        raise UnknownName("refiner", refiner, REFINERS)
    number = int(read_annotations(files.labels).table["iteration"].max())
    iteration = Iteration(prev=f"i{number:02d}", refiner=refiner, images=0, learning_rate=1.0)  # type: ignore[arg-type]
    refined = search_labels(
        files.human,
        files.labels,
        files.model,
        files.images,
        params.training,
        params.alignment,
        iteration,
        f"i{number + 1:02d}",
    )
    start = files.human if starts_from_human(params.alignment, iteration) else files.labels
    rejected = files.output.parent / "rejected"
    check_refined(refined, start, params.alignment, params.validation, files.output.stem, None, rejected)
    write_annotations(refined, files.output)
    return number + 1
