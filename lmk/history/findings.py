"""What moved as a whole: a landmark, a contour, all points, of everybody or of one split, annotator or source; swaps.

Refining may move single points in any direction.  But if the moves of many images agree in direction, somebody meant
another place, or something is broken, and a person should know.  Each image's drift has three parts: the median over
all its points; the median of a contour, minus that; and the drift of a landmark, minus its contour's.  So a landmark is
not blamed for its contour, nor a contour for one of its points.  Each part is tested in every direction, in the whole
set and in every split, annotator and source: its mean over images, relative to the box, against the mean's standard
error (Student's t).  There are many tests, so Holm's correction is applied: if nothing really moved, any finding
appears in a share `ALARM` of datasets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lmk.kernels.frames import axes, split
from lmk.scheme import LandmarkScheme

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
ALARM = 0.05  # chance that anything is found where nothing is
FEWEST = 5  # images that a test needs
LINE = 3  # points that a contour needs, so that its median is not one point's
PARTS = ("split", "annotator", "source")
FINDINGS: dict[str, str] = {
    "what": "VARCHAR",
    "name": "VARCHAR",
    "part": "VARCHAR",
    "direction": "VARCHAR",
    "images": "INTEGER",
    "mean_percent": "DOUBLE",
    "t": "DOUBLE",
    "p": "DOUBLE",
}


@dataclass(frozen=True)
class Finding:
    """One row of the table of findings."""

    what: str  # points, contour, landmark or swap
    name: str
    part: str  # as in `split val`; empty where it is the whole set
    direction: str  # along, across, right or down; empty for a swap
    images: int
    mean_percent: float  # of the box; of the instances, for a swap
    t: float
    p: float  # corrected


class Drifts:
    """Sums over the images of a set, a few instances at a time, of what is tested."""

    def __init__(self, scheme: LandmarkScheme, contours: list[str | None]) -> None:
        self._scheme = scheme
        self._lines = [(contours[chain[0]], list(chain)) for chain, _ in scheme.chains if len(chain) >= LINE]
        self._sums: dict[tuple[str, str], Floats] = {}  # (3, units, 2) of each part: count, sum, sum of squares
        self._open: tuple[pd.DataFrame, Floats, Floats] | None = None  # the last image, which may go on
        self._instances, self._swapped = 0, 0
        self._on_contour = scheme.neighbours[:, 0] >= 0

    def add(
        self, shift: Floats, tangents: Floats, box: Floats, counts: Flags, swapped: Flags, keys: pd.DataFrame
    ) -> None:
        """Take in some instances, in the order of the set.

        Args:
            shift: (N, K, 2) drift in pixels, NaN where there is none.
            tangents: (N, K, 2) of the contours, NaN off them.
            box: (N,) sides.
            counts: (N, K) which points count.
            swapped: (N,) instances whose sides were exchanged; they are counted, and left out of all else.
            keys: (N,) rows of `image` and of what there is of PARTS.
        """
        self._instances += len(shift)
        self._swapped += int(swapped.sum())
        known = np.isfinite(shift[..., 0]) & counts & ~swapped[:, None]
        values = self._take_apart(np.where(known[..., None], 100 * shift / box[:, None, None], np.nan), tangents)
        here = [name for name in PARTS if name in keys]
        columns = keys[["image", *here]].astype(object).where(keys[["image", *here]].notna(), "")
        fresh = (columns != columns.shift()).any(axis=1).to_numpy()
        starts = np.flatnonzero(fresh)
        there = np.isfinite(values)
        images = columns.iloc[starts].reset_index(drop=True)
        number = np.add.reduceat(there.astype(np.float64), starts)
        total = np.add.reduceat(np.where(there, values, 0), starts)
        if self._open is not None:  # its other instances may come now
            first, *sums = self._open
            if first.iloc[0].tolist() == images.iloc[0].tolist():
                number[0] += sums[0][0]
                total[0] += sums[1][0]
            else:
                self._count(*self._open)
        self._count(images[:-1], number[:-1], total[:-1])
        self._open = images[-1:], number[-1:], total[-1:]

    def _count(self, images: pd.DataFrame, number: Floats, total: Floats) -> None:
        """Take in whole images: rows of `image` and PARTS, and of what is tested how many there are and their sum."""
        mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
        sums = np.stack([(number > 0).astype(np.float64), mean, mean**2])
        groups = {("", ""): np.ones(len(images), bool)}
        for name in images.columns[1:]:
            column = images[name].to_numpy()
            groups |= {(name, str(value)): column == value for value in set(column.tolist()) if value}
        for key, chosen in groups.items():
            self._sums[key] = self._sums.get(key, 0.0) + sums[:, chosen].sum(1)

    def _take_apart(self, shift: Floats, tangents: Floats) -> Floats:
        """(N, 1 + lines + K, 2): all points right and down, then lines and landmarks along and across."""
        whole = _median(shift)
        rest = split(shift - whole[:, None], axes(tangents))
        lines = np.empty((len(shift), len(self._lines), 2))
        taken: set[int] = set()
        alone = rest.copy()
        for place, (_, chain) in enumerate(self._lines):
            lines[:, place] = _median(rest[:, chain])
            own = [k for k in chain if k not in taken]  # a point of two contours belongs to the first
            alone[:, own] -= np.nan_to_num(lines[:, [place]])
            taken.update(own)
        return np.concatenate([whole[:, None], lines, alone], axis=1)

    def findings(self) -> pd.DataFrame:
        """The table of FINDINGS, most striking first, p corrected; exchanged sides always come first."""
        if self._open is not None:
            self._count(*self._open)
            self._open = None
        moved = [part for (part, _), sums in self._sums.items() if sums[0].any()]
        several = {name for name in PARTS if moved.count(name) > 1}
        names = [
            ("points", "all points", ("right", "down")),
            *(("contour", str(name), ("along", "across")) for name, _ in self._lines),
            *(
                ("landmark", name, ("along", "across") if on else ("right", "down"))
                for name, on in zip(self._scheme.names, self._on_contour, strict=True)
            ),
        ]
        rows = []
        for (part, value), (count, total, square) in self._sums.items():
            if part and part not in several:
                continue
            for (what, name, directions), n, sums, squares in zip(names, count, total, square, strict=True):
                for direction, images, first, second in zip(directions, n, sums, squares, strict=True):
                    if images >= FEWEST and (second > 0):
                        mean = first / images
                        spread = np.sqrt(max(second - images * mean**2, 0.0) / (images - 1) / images)
                        t = mean / spread if spread > 1e-9 * abs(mean) else np.copysign(1e9, mean)
                        p = 2 * float(stats.t.sf(abs(t), images - 1))
                        where = f"{part} {value}" if part else ""
                        rows.append([what, name, where, direction, int(images), mean, t, p])
        tests = pd.DataFrame(rows, columns=list(FINDINGS)).sort_values(
            "t", key=abs, ascending=False, kind="stable", ignore_index=True
        )
        tests["p"] = holm(tests["p"].to_numpy(np.float64))
        found = tests[tests["p"] < ALARM]
        if self._swapped:
            share = 100 * self._swapped / self._instances
            swap = ["swap", "sides exchanged", "", "", self._swapped, share, 1e9, 0.0]
            found = pd.concat([pd.DataFrame([swap], columns=list(FINDINGS)), found])
        return found.reset_index(drop=True)


def holm(p: Floats) -> Floats:
    """Holm's correction: the smallest p counts as often as there are tests, the next one time less, and so on."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    result = np.empty(len(p))
    result[order] = np.minimum(raised, 1)
    return result


def _median(values: Floats) -> Floats:
    """(N, n, 2) to (N, 2), of what is there."""
    if np.isfinite(values).all():
        return np.asarray(np.median(values, axis=1))
    there = np.isfinite(values)
    ordered = np.sort(np.where(there, values, np.inf), axis=1)
    count = there.sum(1, keepdims=True)
    low, high = np.maximum((count - 1) // 2, 0), np.maximum(count // 2, 0)
    middle = [np.take_along_axis(ordered, np.minimum(at, values.shape[1] - 1), axis=1)[:, 0] for at in (low, high)]
    return np.where(count[:, 0] > 0, (middle[0] + middle[1]) / 2, np.nan)
