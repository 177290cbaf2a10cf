"""Drift in numbers: how far the points of one set lie from those of another.

Every distance is split at the contour: *along* it a point may slide without anyone noticing, *across* it a move is seen
at once.  The contour's direction is that of the first set.  Point numbers and iterations name rows; lengths are pixels
of the original image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def compare(a: AnnotationSet, b: AnnotationSet) -> dict[str, Any]:
    """Compare two sets point by point: what `lmk diff` prints.

    Returns:
        points: how many are labelled in both sets; moved: how many of them lie more than 1/64 px apart.
        px, along, across: mean, median, p95 and max of the absolute values; None where no point has one.
        by_landmark: the same for each landmark that has points.
    """
    pairs = paired(a, b)
    return {**statistics(pairs.px, pairs.along, pairs.across), "by_landmark": by_landmark(pairs, pairs.px >= 0)}


def statistics(px: Floats, along: Floats, across: Floats) -> dict[str, Any]:
    """Counts, and the four numbers of each distance; the arrays have one shape, NaN where there is no point."""
    return {
        "points": int(np.isfinite(px).sum()),
        "moved": int((px > UNIT).sum()),
        "px": summary(px),
        "along": summary(along),
        "across": summary(across),
    }


def summary(values: Floats) -> dict[str, float] | None:
    """Mean, median, 95th percentile and maximum of the absolute values that are there; None when none is."""
    there = np.abs(values[np.isfinite(values)])
    if not len(there):
        return None
    median, p95 = np.percentile(there, [50, 95])
    return {"mean": float(there.mean()), "median": float(median), "p95": float(p95), "max": float(there.max())}


def by_landmark(pairs: Paired, counts: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """One entry for each landmark with points; counts, (M, K), says which points count."""
    rows = []
    for landmark, name in enumerate(pairs.first.scheme.names):
        chosen = counts[:, landmark]
        column = [values[chosen, landmark] for values in (pairs.px, pairs.along, pairs.across)]
        numbers = statistics(*column)
        if numbers["points"]:
            rows.append({"landmark": landmark, "name": name, **numbers})
    return rows


def searched(labels: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) which points an iteration looked at: what has evidence, or all of `train` where a set has no evidence."""
    if labels.has("chi2"):
        evidence = evidence_of(labels, "chi2")
        if np.isfinite(evidence).any():
            return np.isfinite(evidence)
    return labels.labelled & labels.in_split("train")[:, None]


def evidence_of(labels: AnnotationSet, name: str) -> Floats:
    """(N, K) one evidence column as numbers, NaN where nothing was searched or nobody knows."""
    if not labels.has(name):
        return np.full(labels.shape, np.nan)
    return labels.column(name).astype(np.float64)


def log_rows(sets: Mapping[str, AnnotationSet]) -> list[dict[str, Any]]:
    """One row an iteration: who made it from what, and how far its searched points lie from the first set's.

    Returns:
        name, parent, producer, refiner, stopped (why its labels are those of before), by_heart (part of a point's noise
        that its network knew), parameters, instances, points; and from the second set on searched, moved
        (counts of points), px and percent_of_box (mean and p95 of the drift) and at_edge (share); None where unknown.
    """
    human = next(iter(sets.values()))
    return [_log_row(name, labels, human) for name, labels in sets.items()]


def _log_row(name: str, labels: AnnotationSet, human: AnnotationSet) -> dict[str, Any]:
    known = labels.provenance
    parameters = known.get("parameters")
    row: dict[str, Any] = {
        "name": name,
        "parent": known.get("parent_iteration", known.get("parent")),
        "producer": known.get("producer"),
        "refiner": known.get("refiner"),
        "stopped": known.get("stopped"),
        "by_heart": known.get("by_heart"),
        "parameters": parameters if isinstance(parameters, dict) else {},
        "instances": len(labels.instances),
        "points": int(labels.labelled.sum()),
    }
    if labels is human:
        return {**row, **dict.fromkeys(("searched", "moved", "px", "percent_of_box", "at_edge"))}
    pairs = paired(human, labels)
    counts = searched(labels)[pairs.others]
    px = np.where(counts, pairs.px, np.nan)
    edge = evidence_of(labels, "at_edge")
    edge = edge[np.isfinite(edge)]
    return {
        **row,
        "searched": int(np.isfinite(px).sum()),
        "moved": int((px > UNIT).sum()),
        "px": _short(summary(px)),
        "percent_of_box": _short(summary(100 * px / human.boxes[pairs.rows, 2:])),
        "at_edge": float(edge.mean()) if len(edge) else None,
    }


def _short(numbers: dict[str, float] | None) -> dict[str, float] | None:
    return numbers and {name: numbers[name] for name in ("mean", "p95")}


def format_compare(result: Mapping[str, Any]) -> str:
    """What `compare` found, as a table for a terminal."""
    share = 100 * result["moved"] / result["points"]
    lines = [f"{result['points']} points in both sets, {result['moved']} moved ({share:.1f} %); pixels:", ""]
    head = f"{'':24s}{'mean':>9s}{'median':>9s}{'p95':>9s}{'max':>9s}"
    lines.append(head)
    for title, kind in (("distance", "px"), ("along the contour", "along"), ("across the contour", "across")):
        numbers = result[kind]
        cells = "   on no contour" if numbers is None else "".join(f"{value:9.3f}" for value in numbers.values())
        lines.append(f"{title:24s}{cells}")
    lines += ["", f"{head}{'along':>9s}{'across':>9s}   (mean)"]
    for row in result["by_landmark"]:
        means = "".join(f"{row[kind]['mean']:9.3f}" if row[kind] else f"{'-':>9s}" for kind in ("along", "across"))
        title = f"{row['landmark']:4d} {row.get('name', '')}"
        lines.append(f"{title:24s}" + "".join(f"{value:9.3f}" for value in row["px"].values()) + means)
    return "\n".join(lines)


def format_log(rows: list[dict[str, Any]]) -> str:
    """What `log_rows` found, as a table for a terminal; parameters that differ from the row before come last."""
    lines = [
        "drift of the searched points against the first set, in pixels and in % of the box",
        f"{'name':6s}{'parent':8s}{'instances':>9s}{'points':>9s}{'moved':>9s}{'mean':>8s}{'p95':>8s}{'mean %':>8s}"
        f"{'p95 %':>8s}{'at edge':>9s}  made by",
    ]
    before: dict[str, Any] = {}
    for row in rows:
        px, box = row["px"] or {}, row["percent_of_box"] or {}
        cells = "".join(_cell(part.get(name)) for part in (px, box) for name in ("mean", "p95"))
        edge = "-" if row["at_edge"] is None else f"{100 * row['at_edge']:.1f} %"
        moved = "-" if row["moved"] is None else row["moved"]
        changed = {key: value for key, value in row["parameters"].items() if before.get(key) != value}
        made = " ".join([str(row["producer"] or "-"), row["refiner"] or "", *(f"{k}={v}" for k, v in changed.items())])
        lines.append(
            f"{row['name']:6s}{row['parent'] or '-'!s:8.7s}{row['instances']:9d}{row['points']:9d}{moved:>9}"
            f"{cells}{edge:>9s}  {made}"
        )
        if row["stopped"]:
            lines.append(f"{'':14s}stopped: {row['stopped']}")
        before = row["parameters"] or before
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>8s}" if value is None else f"{value:8.3f}"
