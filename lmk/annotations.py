"""Annotation sets: who put which point where.

A set is N instances, one row each, the columns of their points as (N, K) arrays, the scheme that says what the points
mean, and its provenance.  Instances are sorted by image and number, and every one has all K points.  The long table of
a file, one row a point, is `frame`.  Functions return new sets; nothing changes one in place.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.columns import COLUMNS as COLUMNS
from lmk.columns import EVIDENCE as EVIDENCE
from lmk.columns import KEYS as KEYS
from lmk.columns import OF_EITHER, OF_INSTANCE, TYPES, Pile, Values, Words, flat, fold, held, spread
from lmk.columns import OPTIONAL as OPTIONAL
from lmk.errors import DataError, SchemeError
from lmk.names import check_names
from lmk.scheme import LandmarkScheme

SPLITS = ("train", "val", "test")
UNIT = 1 / 64  # of a pixel: to which a moved point is rounded; a point moved when it moved by more
FAR = 1e6  # pixels; no image is so large


@dataclass(frozen=True, eq=False, repr=False)
class AnnotationSet:
    """Points of N instances with K points each.

    Attributes:
        instances: one row an instance: what its points share, and its first point's annotator and source.
        values: (N, K) arrays by the name of the column, NaN where there is nothing; text as `Words`. Annotator and
            source are here, too, where points of one instance differ.
        scheme: what the points mean.
        provenance: who made it from what.
    """

    instances: pd.DataFrame
    values: Mapping[str, Values]
    scheme: LandmarkScheme
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.values.items():
            found = (values.codes if isinstance(values, Words) else values).shape
            if found != (len(self.instances), self.landmarks):
                raise ValueError(f"{name} has shape {found}, expected {(len(self.instances), self.landmarks)}")

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, scheme: LandmarkScheme, provenance: dict[str, Any] | None = None
    ) -> AnnotationSet:
        """A set from its long table, which is as `frame` gives it; `make_set` checks and sorts any other."""
        count = len(frame) // scheme.size
        if not np.array_equal(frame["landmark"].to_numpy(), np.tile(np.arange(scheme.size), count)):
            raise ValueError(f"rows are not {scheme.size} landmarks an instance, in order")
        pile = Pile()
        pile.add(*fold(frame, scheme.size, "table"))
        return cls(*pile.done(), scheme, provenance or {})

    @property
    def landmarks(self) -> int:
        """K."""
        return self.scheme.size

    @property
    def frame(self) -> pd.DataFrame:
        """The long table, one row a point, columns in the file's order.

        Made anew each time, and several times as large as the set itself: for looking at, and for small sets.
        """
        return pd.DataFrame({name: self.flat(name) for name in TYPES if self.has(name)})

    def flat(self, name: str) -> Any:
        """(N K,) one column as the long table has it."""
        if name in self.values:
            return flat(self.values[name])
        if name == "landmark":
            return np.tile(np.arange(self.landmarks, dtype=np.int16), len(self.instances))
        return self.instances[name].array.repeat(self.landmarks)

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """(N, K, 2) positions in pixels, NaN where a point is missing."""
        points = np.empty((*self.shape, 2), np.float64)
        for axis, name in enumerate(("x", "y")):
            points[..., axis] = self.column(name)
        return points

    @property
    def shape(self) -> tuple[int, int]:
        """N, K."""
        return len(self.instances), self.landmarks

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) whether there is a point."""
        return np.asarray(self.column("visibility") > 0)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 3) left edge, top edge and side of each instance's crop."""
        return self.instances[["box_x", "box_y", "box_size"]].to_numpy(np.float64, na_value=np.nan)

    def describe(self) -> str:
        """What is in it, for a person: instances, points, how many in which split."""
        points = f"{self.landmarks} points of scheme {self.scheme.name}"
        return f"{len(self.instances)} instances with {points} ({self._splits()})"

    def _splits(self) -> str:
        counts = self.instances["split"].value_counts()
        return ", ".join(f"{name} {counts[name]}" for name in SPLITS if name in counts)

    def _facts(self) -> dict[str, str]:
        numbers = sorted(self.instances["iteration"].dropna().astype(int).unique())
        return {
            "instances": f"{len(self.instances):,}",
            "points of each": f"{self.landmarks} of {self.scheme.name}",
            "iteration": " to ".join(str(number) for number in dict.fromkeys([*numbers[:1], *numbers[-1:]])) or "none",
            "labelled": f"{int(self.labelled.sum()):,}",
            "splits": self._splits() or "none",
        }

    def __repr__(self) -> str:
        facts = self._facts()
        return (
            f"AnnotationSet: {len(self.instances)} instances x {self.landmarks} points of {self.scheme.name}, "
            f"iteration {facts['iteration']}, {facts['labelled']} labelled ({facts['splits']})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>AnnotationSet</caption>{rows}</table>"

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name == "landmark" or name in self.values or name in self.instances

    def column(self, name: str) -> NDArray[Any]:
        """(N, K) one column; text as strings, None where there is none."""
        if name not in self.values:
            return np.asarray(self.flat(name)).reshape(self.shape)
        values = self.values[name]
        return values.texts() if isinstance(values, Words) else values

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """(N,) which instances belong to a split."""
        return (self.instances["split"] == split).to_numpy(np.bool_)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> AnnotationSet:
        """Return the set of some instances: (N,) bool, or their rows in the order that is wanted."""
        values = {name: column[chosen] for name, column in self.values.items()}
        return replace(self, instances=self.instances.iloc[chosen].reset_index(drop=True), values=values)

    def without(self, points: NDArray[np.bool_]) -> AnnotationSet:
        """Return the set without some points, (N, K) bool, as if they had not been labelled."""
        x, y = (np.where(points, np.float32(np.nan), self.column(name)) for name in ("x", "y"))
        return self.with_columns(x=x, y=y, visibility=np.where(points, 0, self.column("visibility")))

    def with_columns(self, **columns: Any) -> AnnotationSet:
        """Return the set with other values in some columns.

        One value is for all; (N,) is one an instance, for a column of instances; (N, K) one a point. None takes an
        optional column out. Arrays are not copied: do not change them afterwards.
        """
        instances, values = self.instances.copy(), dict(self.values)
        for name, given in columns.items():
            values.pop(name, None)
            if given is None and name in OPTIONAL:
                instances = instances.drop(columns=name, errors="ignore")
            elif name in OF_INSTANCE or (name in OF_EITHER and np.ndim(given) < 2):
                instances[name] = flat(spread(held(name, given), (len(instances),)))
            else:
                values[name] = spread(held(name, given), self.shape)
                if name in OF_EITHER:
                    instances[name] = flat(values[name][:, 0])
        return replace(self, instances=instances, values=values)

    def moved(
        self,
        points: NDArray[np.float64],
        iteration: int,
        evidence: Mapping[str, Any],
        provenance: dict[str, Any],
    ) -> AnnotationSet:
        """Return the set with other positions, (N, K, 2), and the evidence for them, each (N, K); the rest stays.

        New positions are rounded to 1/64 pixel, which takes what differs between machines out of them.  A point that
        is where it was, as far as that, keeps its number to the last bit.
        """
        nothing = dict.fromkeys(EVIDENCE)
        rounded, old = np.round(points / UNIT) * UNIT, self.points
        there = ((rounded == np.round(old / UNIT) * UNIT) | (np.isnan(points) & np.isnan(old))).all(-1, keepdims=True)
        x, y = np.moveaxis(np.where(there, old, rounded), -1, 0)
        changed = {**nothing, **evidence, "x": x, "y": y, "iteration": iteration}
        return replace(self.with_columns(**changed), provenance=provenance)


def make_set(
    table: pd.DataFrame | Iterable[pd.DataFrame], scheme: LandmarkScheme, provenance: dict[str, Any], where: str
) -> AnnotationSet:
    """Sort a long table, fill in what a reader need not know, and check that every instance is whole.

    Args:
        table: at least image, instance, landmark, x, y; any of the other columns. Or its parts, each with all points of
            its instances, which are taken in one after the other.
        scheme: what the points mean.
        provenance: who made it from what.
        where: the source's name, for messages.
    """
    pile = Pile()
    for part in [table] if isinstance(table, pd.DataFrame) else table:
        if len(part):
            check_names(part["image"].unique(), where)
            pile.add(*fold(_completed(part, scheme, where), scheme.size, where))
    if not pile.rows:
        raise DataError(f"{where}: no annotations found in it")
    instances, values = pile.done()
    keys = ["image", "instance"]
    if (twice := instances.duplicated(keys)).any():
        raise _twice(instances[twice].iloc[0], 0, where)
    order = instances[keys].sort_values(keys, kind="stable").index.to_numpy()
    if (order[1:] < order[:-1]).any():
        instances = instances.iloc[order].reset_index(drop=True)
        for name in values:  # one by one: the unsorted column goes before the next one is sorted
            values[name] = values[name][order]
    return AnnotationSet(instances, values, scheme, provenance)


def _completed(table: pd.DataFrame, scheme: LandmarkScheme, where: str) -> pd.DataFrame:
    """The table, sorted and with all columns that a file has to have."""
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
    return table


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
        raise _twice(table[twice].iloc[0], int(table["landmark"][twice].iloc[0]), where)
    counts = table.groupby(["image", "instance"], sort=False)["landmark"].size()
    short = counts[counts != scheme.size]
    if len(short):
        image, instance = short.index[0]
        raise SchemeError(
            f"{where}: {image} instance {instance} has {short.iloc[0]} points, scheme {scheme.name} has {scheme.size} "
            f"({len(short)} such instances); choose another scheme, or list missing points with empty x and y"
        )


def _twice(row: pd.Series[Any], landmark: int, where: str) -> DataError:
    return DataError(
        f"{where}: {row['image']} instance {row['instance']} has landmark {landmark} twice; "
        "give each object of an image its own instance number, and list each image once"
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
