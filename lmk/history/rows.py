"""What a point moved by, in each iteration, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmk.annotations import EVIDENCE, UNIT, default_boxes
from lmk.history.findings import PARTS
from lmk.history.layout import TAKEN
from lmk.kernels.frames import split_on_contours
from lmk.kernels.shape import ShapeSpace, asymmetry
from lmk.scheme import LandmarkScheme

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
LEFT = 0.25  # of an instance's distance once its sides are exchanged, at most, where they have been exchanged


def positions(part: pa.Table, size: int) -> Floats:
    """(N, K, 2), NaN where there is no point."""
    both = [part[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("x", "y")]
    points = np.stack(both, axis=-1).reshape(-1, size, 2)
    points[part["visibility"].to_numpy().reshape(-1, size) == 0] = np.nan
    return points


@dataclass(frozen=True)
class Frame:
    """What is the same for all iterations of some instances."""

    human: pa.Table
    scheme: LandmarkScheme
    space: ShapeSpace
    start: int  # the first one's number

    @cached_property
    def points(self) -> Floats:
        return positions(self.human, self.scheme.size)

    @cached_property
    def tangents(self) -> Floats:
        return self.scheme.tangents(self.points)

    @cached_property
    def box(self) -> Floats:
        """(N,) side of the crop; of the points' bounds where a set was made without images."""
        sides = self.human["box_size"].to_numpy(zero_copy_only=False).astype(np.float64)[:: self.scheme.size]
        bounds = default_boxes(np.where(np.isfinite(self.points).any((1, 2), keepdims=True), self.points, 0), 1.0)
        return np.where(np.isfinite(sides), sides, bounds[:, 2])

    @cached_property
    def objects(self) -> pa.Array:
        """The number of each row's instance."""
        count = len(self.human) // self.scheme.size
        return pa.array(np.repeat(np.arange(self.start, self.start + count, dtype=np.int32), self.scheme.size))


def was_searched(part: pa.Table, human: Floats, points: Floats, first: bool) -> Flags:
    """(N, K) what an iteration looked at, as its evidence says, or moved all the same; all where nobody says.

    Nothing was looked at for the first set, the human labels.
    """
    if first:
        return np.zeros(points.shape[:2], bool)
    if "chi2" not in part.column_names:
        return np.ones(points.shape[:2], bool)
    told = part["chi2"].is_valid().to_numpy().reshape(points.shape[:2])
    return np.asarray(told | (np.hypot(*np.moveaxis(points - human, -1, 0)) > UNIT))


@dataclass(frozen=True)
class Seen:
    """Some instances in one iteration, and in the two before it."""

    points: Floats  # (N, K, 2), NaN where there is no point
    last: Floats  # one iteration before
    before: Floats  # two iterations before
    searched: Flags  # (N, K)
    exchanged: Flags  # (N,) whether their sides were exchanged


def rows_of(name: str, part: pa.Table, frame: Frame, seen: Seen) -> tuple[pa.Table, pa.Table]:
    """The rows of points and of instances of one iteration.

    Args:
        name: of the iteration.
        part: of its set.
        frame: what is the same for all iterations of these instances.
        seen: where the points are and were.
    """
    points, searched, exchanged = seen.points, seen.searched, seen.exchanged
    scheme = frame.scheme
    shift, step, earlier = points - frame.points, points - seen.last, seen.last - seen.before
    drift, moved = np.hypot(*np.moveaxis(shift, -1, 0)), np.hypot(*np.moveaxis(step, -1, 0))
    back = ((step * earlier).sum(-1) < 0) & (moved > UNIT) & (np.hypot(*np.moveaxis(earlier, -1, 0)) > UNIT)
    along, across = split_on_contours(shift, frame.tangents)
    columns: dict[str, Any] = {
        "along": along,
        "across": across,
        "step": moved,
        "searched": searched,
        "reversed": back,
        "crossing": crossings(frame.points, points, scheme),
    }
    kept = [column for column in (*TAKEN, *EVIDENCE) if column in part.column_names]
    arrays = {"iteration": _constant(name, len(part)), "object": frame.objects}
    arrays |= {column: part[column] for column in kept}
    for axis, column in enumerate(("human_x", "human_y")):
        arrays[column] = pa.array(frame.points[..., axis].reshape(-1), from_pandas=True)
    arrays |= {column: _array(values) for column, values in columns.items()}
    table = pa.table(arrays).filter(pc.greater(part["visibility"], 0))
    firsts = part.take(np.arange(0, len(part), scheme.size))
    there = np.isfinite(drift)
    count = there.sum(1)
    mean = np.where(there, drift, 0).sum(1) / np.maximum(count, 1)
    sided = bool((scheme.flip != np.arange(scheme.size)).any())
    uneven = asymmetry(points, scheme.flip) / frame.box * 100 if sided else np.full(len(points), np.nan)
    keys = [column for column in ("image", "instance", *PARTS) if column in part.column_names]
    instances = pa.table(
        {
            "iteration": _constant(name, len(firsts)),
            "object": frame.objects.take(np.arange(0, len(part), scheme.size)),
            **{column: firsts[column] for column in keys},
            "box": _array(frame.box),
            "points": pa.array(np.isfinite(points[..., 0]).sum(1), pa.int32()),
            "drift": _array(np.where(count > 0, mean, np.nan)),
            "percent": _array(np.where(count > 0, 100 * mean / frame.box, np.nan)),
            "asymmetry": _array(uneven),
            "shape_distance": _array(frame.space.distance(points)),
            "swapped": _array(exchanged),
            "has_image": firsts["width"].is_valid(),
        }
    )
    return table, instances


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _array(values: NDArray[Any]) -> pa.Array:
    """One column; what is not a number is nothing."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == bool:
        return pa.array(flat)
    return pa.array(flat.astype(np.float32), from_pandas=True)


def crossings(human: Floats, points: Floats, scheme: LandmarkScheme) -> Flags:
    """(N, K) points that have passed a neighbour on a contour, so that the two are in the other order."""
    found = np.zeros(points.shape[:2], bool)
    for chain, closed in scheme.chains:
        ends = np.array([*chain, chain[0]] if closed else chain)
        one, other = ends[:-1], ends[1:]
        turned = ((human[:, other] - human[:, one]) * (points[:, other] - points[:, one])).sum(-1) < 0
        for place, pair in enumerate(zip(one, other, strict=True)):
            found[:, list(pair)] |= turned[:, [place]]
    return found


def changed_sides(human: Floats, points: Floats, flip: NDArray[np.int64]) -> Flags:
    """(N,) instances whose points lie where the human has their partners."""
    sided = flip != np.arange(len(flip))
    straight = ((points - human) ** 2).sum(-1)[:, sided]
    crossed = ((points - human[:, flip]) ** 2).sum(-1)[:, sided]
    there = np.isfinite(straight) & np.isfinite(crossed)
    total = [np.where(there, part, 0).sum(1) for part in (straight, crossed)]
    return np.asarray((there.sum(1) >= 2) & (total[1] < LEFT * total[0]))
