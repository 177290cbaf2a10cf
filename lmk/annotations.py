"""Annotation sets: who put which point where, in one table.

A set is a long table (one row a point, see `COLUMNS`), the scheme that says what the points mean, and its provenance.
Rows are sorted by image, instance and landmark, and every instance has all K of them, so that the columns fold into
(N, K) arrays without a join.  Functions return new sets; nothing changes one in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import DataError, SchemeError
from lmk.scheme import LandmarkScheme

KEYS = ["image", "instance", "landmark"]
SPLITS = ("train", "val", "test")
UNIT = 1 / 64  # of a pixel: what a file keeps; a point moved when it moved by more
FAR = 1e6  # pixels; float32 no longer resolves a 64th of one there

# Every column there is, in the order of the file.  `optional` ones are absent where nobody knows them.
COLUMNS: dict[str, str] = {
    "image": "string",
    "instance": "int32",
    "landmark": "int16",
    "x": "float32",
    "y": "float32",
    "visibility": "uint8",  # 0 not labelled, 1 occluded, 2 visible
    "split": "string",
    "iteration": "int16",
    "width": "int32",
    "height": "int32",
    "box_x": "float32",  # left edge of the crop; the left edge of the image is at -0.5
    "box_y": "float32",
    "box_size": "float32",
    "annotator": "string",
    "source": "string",
    "gross": "string",  # truth of rendered sets only: swap, shift, slip or empty
}
# What explains a refined point; null where nothing was searched.
EVIDENCE: dict[str, str] = {
    "prior_cost": "float32",  # lambda |y - o|^2 of Eq. 8
    "chi2": "float32",  # chi-square of Eq. 4 at the refined point
    "chi2_observed": "float32",  # the same where the search started
    "peak": "float32",  # largest value of the heatmap in reach of the search; 1 is the training target's
    "spread": "float32",  # standard deviation of the heatmap there, pixels of the image
    "at_edge": "bool",  # the search ended at the edge of its window
    "fold": "int8",  # which fold's model judged it; 0 where one model judged all
    "error": "float32",  # expected distance to the true point, pixels of the image; `consensus` only
    "error_along": "float32",  # the part of `error` along the contour; to the right, off contours
    "suspicion": "float32",  # probability that the human point is a gross error; `consensus` only, for all splits
    "reason": "string",  # the likeliest kind of gross error, where one is likelier than not
    "repeats": "int16",  # the iteration whose labels these are, where the alternation has stopped
}
OPTIONAL = {"annotator", "source", "gross", *EVIDENCE}
_INSTANCE_COLUMNS = ["image", "instance", "split", "iteration", "width", "height", "box_x", "box_y", "box_size"]


@dataclass(frozen=True)
class AnnotationSet:
    """Points of N instances with K points each."""

    table: pd.DataFrame
    scheme: LandmarkScheme
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def landmarks(self) -> int:
        """K."""
        return self.scheme.size

    @cached_property
    def instances(self) -> pd.DataFrame:
        """One row an instance: the columns that all its points share."""
        columns = [name for name in [*_INSTANCE_COLUMNS, "annotator", "source"] if name in self.table]
        return self.table.loc[:: self.landmarks, columns].reset_index(drop=True)

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """(N, K, 2) positions in pixels, NaN where a point is missing."""
        return self.table[["x", "y"]].to_numpy(np.float64, na_value=np.nan).reshape(-1, self.landmarks, 2)

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) whether there is a point."""
        return self.column("visibility") > 0

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 3) left edge, top edge and side of each instance's crop."""
        return self.instances[["box_x", "box_y", "box_size"]].to_numpy(np.float64)

    def describe(self) -> str:
        """What is in it, for a person: instances, points, how many in which split."""
        counts = self.instances["split"].value_counts()
        splits = ", ".join(f"{name} {counts[name]}" for name in SPLITS if name in counts)
        points = f"{self.landmarks} points of scheme {self.scheme.name}"
        return f"{len(self.instances)} instances with {points} ({splits})"

    def column(self, name: str) -> NDArray[Any]:
        """(N, K) one column of the table."""
        return self.table[name].to_numpy().reshape(-1, self.landmarks)

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """(N,) which instances belong to a split."""
        return (self.instances["split"] == split).to_numpy(np.bool_)

    def select(self, chosen: NDArray[np.bool_]) -> AnnotationSet:
        """Return the set of the chosen instances, (N,) bool."""
        rows = np.repeat(chosen, self.landmarks)
        return replace(self, table=self.table[rows].reset_index(drop=True))

    def without(self, points: NDArray[np.bool_]) -> AnnotationSet:
        """Return the set without some points, (N, K) bool, as if they had not been labelled."""
        gone = points.reshape(-1)
        table = self.table.assign(
            x=self.table["x"].mask(gone),
            y=self.table["y"].mask(gone),
            visibility=self.table["visibility"].mask(gone, 0),
        )
        return replace(self, table=table)

    def moved(
        self,
        points: NDArray[np.float64],
        iteration: int,
        evidence: Mapping[str, NDArray[Any]],
        provenance: dict[str, Any],
    ) -> AnnotationSet:
        """Return the set with other positions, (N, K, 2), and the evidence for them, each (N, K); the rest stays."""
        table = self.table.drop(columns=[name for name in EVIDENCE if name in self.table])
        flat = points.reshape(-1, 2)
        table = table.assign(x=flat[:, 0], y=flat[:, 1], iteration=iteration)
        table = table.assign(**{name: values.reshape(-1) for name, values in evidence.items()})
        return AnnotationSet(table, self.scheme, provenance)


def make_set(table: pd.DataFrame, scheme: LandmarkScheme, provenance: dict[str, Any], where: str) -> AnnotationSet:
    """Sort a table, fill in what a reader need not know, and check that every instance is whole.

    Args:
        table: at least image, instance, landmark, x, y; any of the other columns.
        scheme: what the points mean.
        provenance: who made it from what.
        where: the source's name, for messages.
    """
    if table.empty:
        raise DataError(f"{where}: no annotations found in it")
    table = table.copy()
    missing = table["x"].isna() | table["y"].isna()
    if "visibility" not in table:
        table["visibility"] = np.where(missing, 0, 2)
    if "split" not in table:
        table["split"] = "train"
    for name in ("iteration", "width", "height", "box_x", "box_y", "box_size"):
        if name not in table:
            table[name] = 0 if name == "iteration" else None
    # A point that is not labelled has no position, and one without a position is not labelled.
    table.loc[missing, "visibility"] = 0
    table.loc[table["visibility"] == 0, ["x", "y"]] = np.nan
    table = table.sort_values(KEYS, kind="stable", ignore_index=True)
    absurd = (table[["x", "y"]].abs() > FAR).any(axis=1)
    if absurd.any():
        row = table[absurd].iloc[0]
        raise DataError(
            f"{where}: {row['image']} landmark {row['landmark']} is at {row['x']:g}, {row['y']:g}; no image is so large"
        )
    _check_whole(table, scheme, where)
    return AnnotationSet(table, scheme, provenance)


def _check_whole(table: pd.DataFrame, scheme: LandmarkScheme, where: str) -> None:
    wrong = ~table["landmark"].between(0, scheme.size - 1)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise SchemeError(
            f"{where}: {row['image']} has a landmark {row['landmark']}, but scheme {scheme.name} counts from 0 to "
            f"{scheme.size - 1}; choose another with --scheme"
        )
    twice = table.duplicated(KEYS)
    if twice.any():
        row = table[twice].iloc[0]
        raise DataError(
            f"{where}: {row['image']} instance {row['instance']} has landmark {row['landmark']} twice; "
            "give each object of an image its own instance number, and list each image once"
        )
    counts = table.groupby(["image", "instance"], sort=False)["landmark"].size()
    short = counts[counts != scheme.size]
    if len(short):
        image, instance = short.index[0]
        raise SchemeError(
            f"{where}: {image} instance {instance} has {short.iloc[0]} points, scheme {scheme.name} has {scheme.size} "
            f"({len(short)} such instances); choose another scheme, or list missing points with empty x and y"
        )


def check_same_scheme(one: LandmarkScheme, other: LandmarkScheme, where: str) -> None:
    """Refuse to put together what does not mean the same."""
    if one.names != other.names:
        raise SchemeError(
            f"{where}: scheme {one.name} ({one.size} points) and scheme {other.name} ({other.size} points) differ"
        )


def default_boxes(points: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Square crops around the labelled points.

    Args:
        points: (N, K, 2), NaN where missing; every instance has at least one point.
        scale: side of the crop / longer side of the points' bounds.

    Returns:
        (N, 3) left edge, top edge, side; never smaller than two pixels.
    """
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    side = np.maximum((high - low).max(axis=1), 1) * scale
    side = np.maximum(side, 2.0)
    return np.column_stack([(low + high) / 2 - side[:, None] / 2, side])
