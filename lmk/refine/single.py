"""One search outside of a schedule: what `lmk refine` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmk.config import Params
from lmk.errors import ConfigError
from lmk.names import AnyFolder
from lmk.refine.iteration import Round, held_against, search_labels
from lmk.store import read_annotations, write_annotations
from lmk.validation import Place, enforce


@dataclass(frozen=True)
class Files:
    """Where a search finds what it needs, and where its labels go."""

    labels: Path  # the set whose points are moved
    human: Path  # the human labels of the same images
    model: Path  # folder of the network that judges
    images: AnyFolder  # folder that image names start from
    output: Path  # the new set


def refine_once(files: Files, refiner: str | None, params: Params) -> int:
    """Search better labels, check and write them; returns the number of the new iteration.

    Args:
        files: what is read and written.
        refiner: a name in the parameters' section `refiners`; the first one without it.
        params: of the refiner, and of the validation.
    """
    name = refiner or next(iter(params.refiners), "")
    if name not in params.refiners:
        known = ", ".join(sorted(params.refiners)) or "none"
        raise ConfigError(f"unknown refiner {name!r}; known in section refiners of the parameters: {known}")
    chosen = params.refiners[name]
    number = int(read_annotations(files.labels).instances["iteration"].max())
    this = Round(f"i{number + 1:02d}", f"i{number:02d}", files.human, files.labels, files.model, files.images)
    refined = search_labels(this, chosen, params.alternation)
    place = Place(files.output.stem, files.output.parent / "rejected")
    enforce(refined, params.validation, place, held_against(refined, chosen, this))
    write_annotations(refined, files.output)
    return number + 1
