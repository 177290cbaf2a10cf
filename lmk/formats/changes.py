"""What moved since a source was read, for writing it back into that source.

The old position of every point is compared with what the source says now.  Where they differ, somebody edited the
source since, and nothing is written: the set was made of something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from lmk.annotations import UNIT
from lmk.errors import DataError
from lmk.formats.pixels import DECIMALS_OF_A_PIXEL, Points, decimals_of
from lmk.scheme import LandmarkScheme

_Pair = tuple[float, float]
_PLAIN = re.compile(r"[-+]?\d+(?:\.(\d*))?")


class Changes:
    """Positions as they were read and as they are now, (N, K, 2) each, in numbers of the file."""

    def __init__(
        self,
        keys: Mapping[tuple[str, int], int],
        scheme: LandmarkScheme,
        before: Points,
        after: Points,
        pixel: Points | None = None,
    ):
        """Take both.

        Args:
            keys: image and instance to row.
            scheme: of the points.
            before: as they were read; a set's rounding is allowed for.
            after: as they are now; a coordinate moved when it differs by more than a set's rounding.
            pixel: (N, 1, 2) how long a pixel is in numbers of the file; 1 where it is None.
        """
        self.scheme = scheme
        self.keys = keys
        self._before, self._after = before, after
        self._pixel = np.broadcast_to(1.0 if pixel is None else pixel, (len(before), 1, 2))
        self.decimals = decimals_of(self._pixel)  # that a new number needs at least
        self._moved = np.abs(after - before) > UNIT / 2 * self._pixel
        self._seen = np.zeros(before.shape[:2], np.bool_)
        self._at = -1  # the row that `_points` is of
        self._points: list[tuple[Any, ...]] = []

    def again(self) -> Changes:
        """The same for another file that says the same: no point of it was seen yet."""
        other = copy(self)
        other._seen = np.zeros_like(self._seen)
        return other

    def new(self, row: int, landmark: int, found: _Pair, place: str) -> tuple[float | None, float | None]:
        """Compare one point with what was read; its new x and y, None where they did not move.

        Args:
            row: of the instance.
            landmark: its number.
            found: what the source says, NaN where the point is missing there.
            place: the file, for messages.
        """
        if row != self._at:
            self._at, self._points = row, self._row(row)
        was, now, allowed, moved = self._points[landmark]
        if self._seen[row, landmark]:
            raise DataError(f"{place}: {self._name(row, landmark)} is there twice; was it edited since it was read?")
        self._seen[row, landmark] = True
        if not all(_same(*pair) for pair in zip(was, found, allowed, strict=True)):
            raise DataError(
                f"{place}: {self._name(row, landmark)} is {_said(found)}, but was {_said(was)} when it was read; "
                "somebody edited it since, so ingest it again"
            )
        return now[0] if moved[0] else None, now[1] if moved[1] else None

    def _row(self, row: int) -> list[tuple[Any, ...]]:
        """One instance in Python's numbers, which are faster one by one: before, after, rounding, whether it moved."""
        was, pixel = self._before[row], self._pixel[row]
        # A set keeps 64ths of a pixel, as float32.
        allowed = (UNIT / 2 + np.spacing(np.abs(was / pixel).astype(np.float32) + 1)) * pixel
        columns = (was.tolist(), self._after[row].tolist(), allowed.tolist(), self._moved[row].tolist())
        return list(zip(*columns, strict=True))

    def check_all_seen(self, place: str) -> None:
        """Refuse a source that no longer has all points."""
        if not self._seen.all():
            row, landmark = np.argwhere(~self._seen)[0].tolist()
            raise DataError(f"{place}: {self._name(row, landmark)} is not there any more; ingest it again")

    def _name(self, row: int, landmark: int) -> str:
        image, instance = next(key for key, place in self.keys.items() if place == row)
        return f"{image} instance {instance} landmark {landmark}"


def in_style_of(old: str, value: float, decimals: int = DECIMALS_OF_A_PIXEL) -> str:
    """A number with as many decimals as the old one has, and never so few that a set reads another position."""
    plain = _PLAIN.fullmatch(old)
    kept = len(plain[1] or "") if plain else 0
    text = f"{value:.{kept}f}"
    return text if float(text) == value else f"{value:.{max(kept, decimals)}f}"


def _same(was: float, found: float, allowed: float) -> bool:
    return abs(was - found) <= allowed or (math.isnan(was) and math.isnan(found))


def _said(position: _Pair) -> str:
    x, y = position
    return "missing" if math.isnan(x) or math.isnan(y) else f"at {x:g}, {y:g}"
