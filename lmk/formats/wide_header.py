"""Which column of a wide CSV is which coordinate of which landmark, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmk.limits import POINTS

# How columns of coordinates are called: words for people, and how to take a name apart.
PATTERNS = {
    "NAME_x, NAME_y": re.compile(r"(?P<name>.+)[_ .\-](?P<axis>x|y|v|vis|visibility)", re.IGNORECASE | re.DOTALL),
    "x_NAME, y_NAME": re.compile(r"(?P<axis>x|y|v|vis|visibility)[_ .\-](?P<name>.+)", re.IGNORECASE | re.DOTALL),
    "x1, y1": re.compile(r"(?P<axis>[xyv])(?P<name>[0-9]+)", re.IGNORECASE),
    "NAME1x, NAME1y": re.compile(r"(?P<name>.*[0-9])(?P<axis>[xyv])", re.IGNORECASE | re.DOTALL),
}
_IMAGE = ("image", "image_name", "image_path", "img", "filename", "file_name", "file", "filepath", "path", "name", "id",
          "image_id", "frame")  # fmt: skip
_ABOUT = ("instance", "split", "annotator")
_FEWEST = 2  # landmarks; `x_scale,y_scale` of some other table are no landmark


@dataclass(frozen=True)
class Header:
    """What the columns are.

    Attributes:
        pattern: how columns of landmarks are called, in words.
        names: of landmarks, in the order of their first columns.
        x, y: (K,) the column of each.
        seen: (K,) the column of each one's visibility, -1 where there is none.
        image: the column that names the image.
        about: the columns of instance, split and annotator, where there are such.
        others: names of columns that are not read.
        count: of columns.
    """

    pattern: str
    names: list[str]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    seen: NDArray[np.int64]
    image: int
    about: dict[str, int]
    others: list[str]
    count: int


def header_of(cells: Sequence[str]) -> Header | None:
    """What a header says, None where two columns a landmark are nowhere in it."""
    best: tuple[str, dict[str, dict[str, int]]] = ("", {})
    for pattern, taken in PATTERNS.items():
        found: dict[str, dict[str, int]] = {}
        for column, cell in enumerate(cells):
            if match := taken.fullmatch(cell.strip()):
                found.setdefault(match["name"], {}).setdefault(match["axis"][0].lower(), column)
        pairs = {name: axes for name, axes in found.items() if {"x", "y"} <= axes.keys()}
        if len(pairs) > len(best[1]):
            best = (pattern, pairs)
    pattern, pairs = best
    if not _FEWEST <= len(pairs) <= POINTS:
        return None
    used = {column for axes in pairs.values() for column in axes.values()}
    free = {cell.strip().lower(): column for column, cell in reversed(list(enumerate(cells))) if column not in used}
    about = {name: free[name] for name in _ABOUT if name in free}
    rest = [column for column in sorted(free.values()) if column not in about.values()]
    image = next((free[name] for name in _IMAGE if name in free), rest[0] if rest else -1)
    if image < 0:
        return None
    x, y, seen = (np.array([axes.get(axis, -1) for axes in pairs.values()]) for axis in "xyv")
    known = {*used, *about.values(), image}
    others = [cell for column, cell in enumerate(cells) if column not in known]
    return Header(pattern, list(pairs), x, y, seen, image, about, others, len(cells))
