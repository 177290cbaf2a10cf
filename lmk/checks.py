"""What a set of annotations must fulfil: rules over a table of its points, with computed columns beside stored ones.

The computed columns say how far a point lies outside its image, or how far beyond the search's reach it has moved.
`lmk.validation` lets Great Expectations judge the rules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import COLUMNS, EVIDENCE, KEYS, OPTIONAL, SPLITS, AnnotationSet
from lmk.config import ValidationParams
from lmk.scheme import LandmarkScheme

Numbers = NDArray[np.float64]

SHOWN = 5  # offenders that a verdict lists for each check
_TYPES = {**COLUMNS, **EVIDENCE}
_KINDS = {  # the other types hold whole numbers
    "string": "text", "float32": "number", "float64": "number", "bool": "yes or no",
}  # fmt: skip
_NEVER_EMPTY = [*KEYS, "visibility", "split", "iteration"]
_OF_IMAGE = ["width", "height", "box_x", "box_y", "box_size"]
_EXPLAINING = ["prior_cost", "chi2", "peak", "spread", "at_edge"]  # where the refiner has something to say in them
_STORED = 1 / 64  # pixels that a distance between two points may change by being stored
_SOURCE = "correct the source and ingest it again"
_SEARCH = "no search ends like this: do that iteration again, and report it if that does not help"


@dataclass(frozen=True)
class LongTable:
    """A set as its long table, which, unlike an `AnnotationSet`'s, may be broken in any way."""

    frame: pd.DataFrame
    scheme: LandmarkScheme
    provenance: dict[str, Any]


Judged = AnnotationSet | LongTable


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    check: str
    success: bool
    failed: int  # rows that break it
    first: list[str]  # of these, in words


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a set."""

    success: bool
    points: int  # that are labelled
    instances: int
    checks: list[Outcome]

    @property
    def broken(self) -> list[Outcome]:
        """The checks that failed."""
        return [outcome for outcome in self.checks if not outcome.success]

    def as_json(self) -> dict[str, Any]:
        """For the file that later stages wait for."""
        return asdict(self)

    def __str__(self) -> str:
        """For people, one line a check."""
        lines = [
            f"{'accepted' if self.success else 'rejected'}: {self.points} labelled points of {self.instances} instances"
        ]
        for outcome in self.checks:
            lines.append(f"  {'ok  ' if outcome.success else 'FAIL'}  {outcome.check}")
            lines += [f"          {offender}" for offender in outcome.first]
            lines += [f"          … {outcome.failed} in all"] * (outcome.failed > len(outcome.first))
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Search:
    """What a refined set is held against."""

    observed: Judged  # the labels that its search started from
    reach: float | None = None  # the farthest that a point may have moved, pixels of a 256-pixel heatmap
    fills: Collection[str] = tuple(_EXPLAINING)  # columns of evidence that its refiner has something to say in

    @property
    def explaining(self) -> list[str]:
        """The columns that every labelled point of train must have a value in."""
        return [name for name in _EXPLAINING if name in self.fills]


@dataclass(frozen=True)
class Check:
    """What must hold for every row: nulls pass, unless neither limits nor values are given."""

    says: str
    column: str
    shows: str  # format string on the columns of a row that breaks it
    low: float | None = None
    high: float | None = None
    values: Sequence[Any] | None = None
    mend: str = _SOURCE

    def broken(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that break it."""
        column = frame[self.column]
        if self.values is not None:
            return frame[column.notna() & ~column.isin(self.values)]
        if self.low is None and self.high is None:
            return frame[column.isna()]
        low, high = (-np.inf if self.low is None else self.low), (np.inf if self.high is None else self.high)
        return frame[(column < low) | (column > high)]


def checks_of_columns() -> list[Check]:
    """What must hold of a table before anything else can be asked."""
    return [Check("a set has the columns and rows that it should", "fits", "{found}, not {wanted}", low=1)]


def checks_of_points(annotations: Judged, params: ValidationParams, *, with_images: bool) -> list[Check]:
    """What must hold of every set."""
    k, split = annotations.scheme.size, ", ".join(SPLITS)
    unseen = "" if with_images else " (not looked at: the set was made without images)"
    inside = f"a labelled point lies in its image, or outside by {params.outside:g} of its box at most"
    outside = "x={x} y={y} in {width}x{height}, outside by {outside:.3g} of its box"
    raise_it = f"correct the source, or raise validation.outside ({params.outside:g} now)"
    scheme = annotations.scheme.name
    return [
        *(Check(f"{name} is never empty", name, "nothing") for name in _NEVER_EMPTY),
        Check(f"landmarks are 0 to {k - 1}, as in scheme {scheme}", "landmark", "{landmark}", 0, k - 1),
        Check("image, instance and landmark name one row", "copies", "{copies} times", 1, 1),
        Check(f"an instance has {k} points, as in scheme {scheme}", "of_instance", "{of_instance}", k, k),
        Check("rows are sorted by image, instance and landmark", "forward", "comes too late", low=0),
        Check("points of an instance agree on split, iteration, image size and box", "unlike", "does not", high=0),
        Check("instances count from 0", "instance", "{instance}", low=0),
        Check("iterations count from 0", "iteration", "{iteration}", low=0),
        Check("visibility is 0, 1 or 2", "visibility", "{visibility}", values=(0, 1, 2)),
        Check(f"split is one of {split}", "split", "{split!r}", values=SPLITS),
        Check("a labelled point has a position", "unplaced", "x={x} y={y}", high=0),
        Check("an unlabelled point has no position", "placed", "x={x} y={y}", high=0),
        Check(
            "size of image and box are known for all points or for none",
            "known",
            f"{{known}} of {len(_OF_IMAGE)} columns",
            values=[len(_OF_IMAGE) if with_images else 0],
        ),
        Check(f"images are at least a pixel wide and high{unseen}", "shorter", "{width}x{height}", low=1),
        Check(f"boxes have a size{unseen}", "box_size", "{box_size}", low=1e-6),
        Check(inside + unseen, "outside", outside, high=params.outside, mend=raise_it),
    ]


def checks_of_search(search: Search) -> list[Check]:
    """What must hold of a refined set."""
    moved = "moved by {moved:.2f} px"
    empty = f"{{unexplained}} of its {len(search.explaining)} columns are empty"
    kept = "visibility and split are what they were before the search"
    checks = [
        Check("every point is one that the search started from", "there", "is new", 1, mend=_SEARCH),
        Check(kept, "relabelled", "{visibility}, {split}", high=0, mend=_SEARCH),
        Check("points outside of train stay where they were", "elsewhere", moved, high=_STORED, mend=_SEARCH),
    ]
    if search.reach is not None:
        window = "points of train move no further than the search's window allows"
        checks.append(Check(window, "too_far", moved + ", {allowed:.2f} allowed", high=0, mend=_SEARCH))
    if search.explaining:
        checks.append(Check("labelled points of train have their evidence", "unexplained", empty, high=0, mend=_SEARCH))
    return checks


def table_of_columns(table: pd.DataFrame, observed: pd.DataFrame | None) -> pd.DataFrame:
    """One row a column: what it should hold, and what it holds; and one for the number of rows."""
    rows = []
    for name in _columns(table):
        wanted = _KINDS.get(_TYPES[name], "whole number")
        found = kind_of(table[name]) if name in table else "missing"
        # A flag with nulls comes back from Parquet as a number, a column without any value as anything.
        fits = found in (wanted, "nothing") or (found == "whole number" and wanted in ("number", "yes or no"))
        rows.append({"part": name, "wanted": wanted, "found": found, "fits": int(fits)})
    size, before = len(table), len(table if observed is None else observed)
    wanted = "any" if observed is None else f"{before} as before the search"
    rows.append({"part": "rows", "wanted": wanted, "found": f"{size}", "fits": int(size == before and size > 0)})
    return pd.DataFrame(rows)


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in _TYPES if name in table or name not in OPTIONAL]


def kind_of(column: pd.Series[Any]) -> str:
    """What a column holds, in words."""
    if column.isna().all():
        return "nothing"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("floating", "mixed-integer-float"):
        values = column.dropna().to_numpy(np.float64)
        return "whole number" if (np.isfinite(values) & (values == np.floor(values))).all() else "number"
    return {"string": "text", "integer": "whole number", "boolean": "yes or no"}.get(kind, kind)


def table_of_points(table: pd.DataFrame, search: Search | None) -> pd.DataFrame:
    """The set's table with what the checks need beside it, NaN where one has nothing to say."""
    numeric = [name for name in _columns(table) if _TYPES[name] != "string"]
    frame = table.assign(**{name: _numbers(table, name) for name in numeric})
    x, y, size = (frame[name].to_numpy() for name in ("x", "y", "box_size"))
    labelled, placed = (frame["visibility"] > 0).to_numpy(), np.isfinite(x) & np.isfinite(y)
    which = frame.groupby(["image", "instance"], dropna=False).ngroup().to_numpy(np.int64)
    first = np.zeros(len(frame), np.int64)
    first[which[::-1]] = np.arange(len(frame))[::-1]
    shared = [pd.factorize(frame[name])[0] for name in ("split", "iteration", *_OF_IMAGE)]
    order = which * float(1 << 16) + frame["landmark"].to_numpy()
    # The image's first pixel reaches from -0.5 to 0.5.
    edges = [-0.5 - x, x + 0.5 - frame["width"].to_numpy(), -0.5 - y, y + 0.5 - frame["height"].to_numpy()]
    with np.errstate(divide="ignore", invalid="ignore"):
        outside = (np.maximum.reduce(edges) - _STORED).clip(min=0) / size
    frame = frame.assign(
        which=which,
        copies=pd.Series(order).duplicated(keep=False).to_numpy() + 1,
        of_instance=np.bincount(which)[which],
        forward=np.diff(order, prepend=order[:1]),
        unlike=np.any([codes != codes[first[which]] for codes in shared], axis=0).astype(np.float64),
        unplaced=np.where(labelled, ~placed, np.nan),
        placed=np.where(labelled, np.nan, ~(np.isnan(x) & np.isnan(y))),
        known=np.isfinite(frame[_OF_IMAGE].to_numpy()).sum(axis=1),
        shorter=frame[["width", "height"]].min(axis=1),
        outside=np.where(labelled & placed, outside, np.nan),
    )
    return frame if search is None else _with_search(frame, search, labelled)


def _with_search(frame: pd.DataFrame, search: Search, labelled: NDArray[np.bool_]) -> pd.DataFrame:
    """Add what can be said of a search's result when its start is known."""
    observed, reach = search.observed.frame, search.reach
    partner = _partners(frame, observed)
    there, before = partner >= 0, observed[["x", "y", "visibility", "split"]].take(partner.clip(min=0))
    train = (frame["split"] == "train").to_numpy()
    change = np.hypot(*(frame[name].to_numpy() - _numbers(before, name) for name in ("x", "y")))
    moved = np.where(there & labelled, change, np.nan)
    allowed = np.nan if reach is None else reach * frame["box_size"].to_numpy() / 256 + 2 * _STORED
    same = _numbers(before, "visibility") == frame["visibility"].to_numpy()
    same &= np.asarray(before["split"].array == frame["split"].array, np.bool_)
    explained = [np.isfinite(_numbers(frame, name)) for name in search.explaining if name in frame]
    return frame.assign(
        there=there.astype(np.float64),
        relabelled=np.where(there, ~same, np.nan),
        moved=moved,
        allowed=allowed,
        too_far=np.where(train, moved - allowed, np.nan),
        elsewhere=np.where(train, np.nan, moved),
        unexplained=np.where(train & labelled, len(search.explaining) - np.sum(explained, axis=0), np.nan),
    )


def _numbers(table: pd.DataFrame, name: str) -> Numbers:
    return table[name].to_numpy(np.float64, na_value=np.nan)


def _partners(table: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.int64]:
    """(rows,) where `other` has the same point, -1 where it has not."""
    if all((table[name].array == other[name].array).all() for name in KEYS):
        return np.arange(len(table))
    found = pd.MultiIndex.from_frame(other[KEYS]).get_indexer(pd.MultiIndex.from_frame(table[KEYS]))
    return found.astype(np.int64)
