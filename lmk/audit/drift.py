"""Drift in numbers: how far the points of one set lie from those of another.

Every distance is split at the contour: *along* it a point may slide without anyone noticing, *across* it a move is seen
at once.  The contour's direction is that of the first set.  Point numbers and iterations name rows; lengths are pixels
of the original image.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import UNIT, AnnotationSet, check_same_scheme
from lmk.errors import DataError
from lmk.images import SUFFIXES
from lmk.kernels.frames import split_on_contours

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Paired:
    """The M instances that two sets share, in the order of the first."""

    first: AnnotationSet
    second: AnnotationSet
    rows: Rows  # (M,) instances of the first set …
    others: Rows  # (M,) … and the same instances of the second

    @cached_property
    def shift(self) -> Floats:
        """(M, K, 2) from the first position to the second, NaN where a set has no point."""
        return self.second.points[self.others] - self.first.points[self.rows]

    @cached_property
    def px(self) -> Floats:
        """(M, K) how far."""
        return np.hypot(self.shift[..., 0], self.shift[..., 1])

    @property
    def along(self) -> Floats:
        """(M, K) the shift along the contour, with its sign; NaN where the point has no contour or no neighbours."""
        return self._parts[0]

    @property
    def across(self) -> Floats:
        """(M, K) the shift across the contour, with its sign; NaN as in `along`."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Floats, Floats]:
        return split_on_contours(self.shift, self.first.scheme.tangents(self.first.points)[self.rows])


def paired(a: AnnotationSet, b: AnnotationSet) -> Paired:
    """Find the instances that two sets share, by image and instance number.

    The ending of the image does not count, because a set made without images does not know it; it does where a set has
    `a.jpg` and `a.png`.
    """
    check_same_scheme(a.scheme, b.scheme, "comparing two sets")
    one, other = a.instances, b.instances
    stems = [{str(name): _without_ending(str(name)) for name in group["image"].unique()} for group in (one, other)]
    keys = [one["image"], other["image"]]
    if all(len(set(stem.values())) == len(stem) for stem in stems):
        keys = [names.map(stem) for names, stem in zip(keys, stems, strict=True)]
    codes, _ = pd.factorize(pd.concat(keys, ignore_index=True))
    numbers = pd.concat([one["instance"], other["instance"]], ignore_index=True).to_numpy(np.int64)
    # One integer an instance: joining on integers is ten times faster than on text.
    joint = codes * (numbers.max() - numbers.min() + 1) + numbers
    found = pd.Index(joint[len(one) :]).get_indexer(pd.Index(joint[: len(one)]))
    rows = np.flatnonzero(found >= 0)
    pairs = Paired(a, b, rows, found[rows].astype(np.int64))
    if not np.isfinite(pairs.px).any():
        first, second = (next(iter(stem)) for stem in stems)
        raise DataError(
            f"nothing to compare: the two sets have no labelled point in common (the first has {first!r}, the second "
            f"{second!r}); image, instance and landmark have to be the same in both"
        )
    return pairs


def _without_ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")  # pathlib takes ten times as long
    return stem if f".{ending.lower()}" in SUFFIXES else name


@dataclass(frozen=True)
class Summary:
    """Of absolute distances in pixels."""

    mean: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Floats) -> Summary | None:
        """Of the values that are there; None when none is."""
        there = np.abs(values[np.isfinite(values)])
        if not len(there):
            return None
        median, p95 = np.percentile(there, [50, 95])
        return cls(float(there.mean()), float(median), float(p95), float(there.max()))


@dataclass(frozen=True)
class Moves:
    """How far some points lie apart in two sets; None where no point has such a distance."""

    points: int  # that are labelled in both sets
    moved: int  # that lie more than 1/64 px apart
    px: Summary | None
    along: Summary | None
    across: Summary | None

    @classmethod
    def of(cls, px: Floats, along: Floats, across: Floats) -> Moves:
        """Of arrays of one shape, NaN where there is no point."""
        distances = [Summary.of(values) for values in (px, along, across)]
        return cls(int(np.isfinite(px).sum()), int((px > UNIT).sum()), *distances)


@dataclass(frozen=True)
class LandmarkMoves:
    """The same of one landmark."""

    landmark: int
    name: str
    moves: Moves


@dataclass(frozen=True)
class Comparison:
    """Two sets, point by point."""

    whole: Moves
    by_landmark: list[LandmarkMoves]  # of those that have points in both

    def as_json(self) -> dict[str, Any]:
        """What `lmk diff --json` prints."""
        rows = [{"landmark": row.landmark, "name": row.name, **asdict(row.moves)} for row in self.by_landmark]
        return {**asdict(self.whole), "by_landmark": rows}


def compare(a: AnnotationSet, b: AnnotationSet) -> Comparison:
    """Compare two sets point by point."""
    pairs = paired(a, b)
    rows = []
    for landmark, name in enumerate(a.scheme.names):
        moves = Moves.of(*(values[:, landmark] for values in (pairs.px, pairs.along, pairs.across)))
        if moves.points:
            rows.append(LandmarkMoves(landmark, name, moves))
    return Comparison(Moves.of(pairs.px, pairs.along, pairs.across), rows)


def evidence_of(labels: AnnotationSet, name: str) -> Floats:
    """(N, K) one evidence column as numbers, NaN where nothing was searched or nobody knows."""
    if not labels.has(name):
        return np.full(labels.shape, np.nan)
    return labels.column(name).astype(np.float64)


def format_compare(result: Comparison) -> str:
    """What `compare` found, as a table for a terminal."""
    whole = result.whole
    share = 100 * whole.moved / whole.points
    lines = [f"{whole.points} points in both sets, {whole.moved} moved ({share:.1f} %); pixels:", ""]
    head = f"{'':24s}{'mean':>9s}{'median':>9s}{'p95':>9s}{'max':>9s}"
    lines.append(head)
    distances = {"distance": whole.px, "along the contour": whole.along, "across the contour": whole.across}
    lines += [f"{title:24s}{_cells(numbers) or '   on no contour'}" for title, numbers in distances.items()]
    lines += ["", f"{head}{'along':>9s}{'across':>9s}   (mean)"]
    for row in result.by_landmark:
        means = "".join(f"{part.mean:9.3f}" if part else f"{'-':>9s}" for part in (row.moves.along, row.moves.across))
        lines.append(f"{f'{row.landmark:4d} {row.name}':24s}{_cells(row.moves.px)}{means}")
    return "\n".join(lines)


def _cells(numbers: Summary | None) -> str:
    return "" if numbers is None else "".join(f"{value:9.3f}" for value in astuple(numbers))
