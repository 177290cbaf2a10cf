"""The gate: what a set of annotations must fulfil before anything is built on it.

Great Expectations judges, on a table of the points with computed columns beside the stored ones: how far a point lies
outside its image, how far beyond the search's reach it has moved.  It is fast as long as it only counts, so offenders
are listed here, by the same limits.  A verdict has no times or random ids in it; the pages that Great
Expectations draws have both (and link style sheets on the web), which is why a plain summary lies beside them.

Nothing else imports `great_expectations`, and importing it takes seconds: import this module inside a command.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.data_context.types import base as gx_config
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull
from numpy.typing import NDArray

from lmk.annotations import COLUMNS, EVIDENCE, KEYS, OPTIONAL, SPLITS, AnnotationSet
from lmk.config import ValidationParams
from lmk.errors import ValidationFailed
from lmk.provenance import Provenance
from lmk.store import replacing, write_annotations, write_json, write_text

Numbers = NDArray[np.float64]

SHOWN = 5  # offenders that a verdict lists for each check
_TYPES = {**COLUMNS, **EVIDENCE}
_KINDS = {"string": "text", "float32": "number", "bool": "yes or no"}  # the other types hold whole numbers
_NEVER_EMPTY = [*KEYS, "visibility", "split", "iteration"]
_OF_IMAGE = ["width", "height", "box_x", "box_y", "box_size"]
_EXPLAINING = ["prior_cost", "chi2", "peak", "spread", "at_edge"]
_STORED = 1 / 64  # pixels that a distance between two points may change by being stored
_SOURCE = "correct the source and ingest it again"
_SEARCH = "no search ends like this: do that iteration again, and report it if that does not help"


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
class Check:
    """What must hold for every row: nulls pass, unless neither limits nor values are given."""

    says: str
    column: str
    shows: str  # format string on the columns of a row that breaks it
    low: float | None = None
    high: float | None = None
    values: Sequence[Any] | None = None
    mend: str = _SOURCE

    def expectation(self) -> Any:
        """What Great Expectations calls it."""
        common: dict[str, Any] = {"column": self.column, "description": self.says, "meta": {"check": self.says}}
        if self.values is not None:
            return ExpectColumnValuesToBeInSet(value_set=list(self.values), **common)
        if self.low is None and self.high is None:
            return ExpectColumnValuesToNotBeNull(**common)
        return ExpectColumnValuesToBeBetween(min_value=self.low, max_value=self.high, **common)

    def broken(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that break it."""
        column = frame[self.column]
        if self.values is not None:
            return frame[column.notna() & ~column.isin(self.values)]
        if self.low is None and self.high is None:
            return frame[column.isna()]
        low, high = (-np.inf if self.low is None else self.low), (np.inf if self.high is None else self.high)
        return frame[(column < low) | (column > high)]


def validate(
    annotations: AnnotationSet,
    params: ValidationParams,
    docs: Path | None,
    observed: AnnotationSet | None = None,
    reach: float | None = None,
) -> Verdict:
    """Judge a set.

    Args:
        annotations: the set; its table may be broken in any way.
        params: what is tolerated.
        docs: folder for pages about the verdict, replaced as a whole; `summary.html` there needs nothing from the web.
        observed: for a refined set, the one that its search started from.
        reach: the farthest that the search moves a point, pixels of a 256-pixel heatmap: half the window's diagonal.
    """
    return _judge(annotations, params, docs, observed, reach)[0]


def enforce(
    annotations: AnnotationSet,
    params: ValidationParams,
    docs: Path | None,
    *,
    rejected: Path,
    name: str,
    observed: AnnotationSet | None = None,
    reach: float | None = None,
) -> Verdict:
    """Judge a set; when it fails, keep it for inspection and raise.

    `name` is what to call it, in the message and on disk: `<name>.parquet`, `<name>.json` and `<name>.txt` in
    `rejected`, a folder that DVC does not delete.  The rest is as for `validate`.
    """
    verdict, worst = _judge(annotations, params, docs, observed, reach)
    if worst is None:
        for suffix in ("parquet", "json", "txt"):  # what was rejected before under this name is settled now
            (rejected / f"{name}.{suffix}").unlink(missing_ok=True)
        return verdict
    _keep(annotations, rejected / f"{name}.parquet")
    write_json(verdict.as_json(), rejected / f"{name}.json")
    write_text(f"{name}: {verdict}", rejected / f"{name}.txt")
    failed, *others = verdict.broken
    first = " ".join(failed.first[0].split())
    more = f"; {len(others)} more rules are broken" if others else ""
    raise ValidationFailed(
        f"{name} is rejected: it breaks {failed.failed} times the rule that {worst.says}, first {first}{more}; "
        f"it is kept as {rejected / name}.parquet, the verdict beside it as {name}.txt; {worst.mend}"
    )


def _judge(
    annotations: AnnotationSet,
    params: ValidationParams,
    docs: Path | None,
    observed: AnnotationSet | None,
    reach: float | None,
) -> tuple[Verdict, Check | None]:
    """Return the verdict and the first check that failed."""
    with nullcontext() if docs is None else replacing(docs) as site:
        context = _context(site)
        checks = [Check("a set has the columns and rows that it should", "fits", "{found}, not {wanted}", low=1)]
        outcomes = _run(context, "whole", _table_of_columns(annotations, observed), ["part"], checks)
        points = instances = 0
        if outcomes[0].success:  # the other checks would only stumble over what is missing
            frame = _table_of_points(annotations, observed, reach)
            of_points = _checks_of_points(annotations, params, with_images=bool(frame["known"].any()))
            of_points += _checks_of_search(annotations, reach) if observed is not None else []
            checks += of_points
            outcomes += _run(context, "points", frame, KEYS, of_points)
            points, instances = int((frame["visibility"] > 0).sum()), int(frame["which"].nunique())
        verdict = Verdict(all(outcome.success for outcome in outcomes), points, instances, outcomes)
        if site is not None:
            context.build_data_docs()
            text = str(verdict)
            page = f'<!doctype html><meta charset="utf-8"><title>Validation</title><pre>{html.escape(text)}</pre>\n'
            (site / "summary.txt").write_text(text, encoding="utf-8")
            (site / "summary.html").write_text(page, encoding="utf-8")
    return verdict, next((check for check, outcome in zip(checks, outcomes, strict=True) if not outcome.success), None)


def _checks_of_points(annotations: AnnotationSet, params: ValidationParams, *, with_images: bool) -> list[Check]:
    k, split = annotations.landmarks, ", ".join(SPLITS)
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


def _checks_of_search(annotations: AnnotationSet, reach: float | None) -> list[Check]:
    moved = "moved by {moved:.2f} px"
    empty = f"{{unexplained}} of its {len(_EXPLAINING)} columns are empty"
    kept = "visibility and split are what they were before the search"
    checks = [
        Check("every point is one that the search started from", "there", "is new", 1, mend=_SEARCH),
        Check(kept, "relabelled", "{visibility}, {split}", high=0, mend=_SEARCH),
        Check("points outside of train stay where they were", "elsewhere", moved, high=_STORED, mend=_SEARCH),
    ]
    if reach is not None:
        window = "points of train move no further than the search's window allows"
        checks.append(Check(window, "too_far", moved + ", {allowed:.2f} allowed", high=0, mend=_SEARCH))
    if Provenance.of(annotations.provenance).refiner == "align" or any(name in annotations.table for name in EVIDENCE):
        checks.append(Check("labelled points of train have their evidence", "unexplained", empty, high=0, mend=_SEARCH))
    return checks


def _table_of_columns(annotations: AnnotationSet, observed: AnnotationSet | None) -> pd.DataFrame:
    """One row a column: what it should hold, and what it holds; and one for the number of rows."""
    rows = []
    for name in _columns(annotations.table):
        wanted = _KINDS.get(_TYPES[name], "whole number")
        found = _kind(annotations.table[name]) if name in annotations.table else "missing"
        # A flag with nulls comes back from Parquet as a number, a column without any value as anything.
        fits = found in (wanted, "nothing") or (found == "whole number" and wanted in ("number", "yes or no"))
        rows.append({"part": name, "wanted": wanted, "found": found, "fits": int(fits)})
    size, before = len(annotations.table), len(annotations.table if observed is None else observed.table)
    wanted = "any" if observed is None else f"{before} as before the search"
    rows.append({"part": "rows", "wanted": wanted, "found": f"{size}", "fits": int(size == before and size > 0)})
    return pd.DataFrame(rows)


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in _TYPES if name in table or name not in OPTIONAL]


def _kind(column: pd.Series[Any]) -> str:
    if column.isna().all():
        return "nothing"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("floating", "mixed-integer-float"):
        values = column.dropna().to_numpy(np.float64)
        return "whole number" if (np.isfinite(values) & (values == np.floor(values))).all() else "number"
    return {"string": "text", "integer": "whole number", "boolean": "yes or no"}.get(kind, kind)


def _table_of_points(annotations: AnnotationSet, observed: AnnotationSet | None, reach: float | None) -> pd.DataFrame:
    """The set's table with what the checks need beside it, NaN where one has nothing to say."""
    table = annotations.table
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
    return frame if observed is None else _with_search(frame, observed.table, reach, labelled)


def _with_search(
    frame: pd.DataFrame, observed: pd.DataFrame, reach: float | None, labelled: NDArray[np.bool_]
) -> pd.DataFrame:
    """Add what can be said of a search's result when its start is known."""
    partner = _partners(frame, observed)
    there, before = partner >= 0, observed[["x", "y", "visibility", "split"]].take(partner.clip(min=0))
    train = (frame["split"] == "train").to_numpy()
    change = np.hypot(*(frame[name].to_numpy() - _numbers(before, name) for name in ("x", "y")))
    moved = np.where(there & labelled, change, np.nan)
    allowed = np.nan if reach is None else reach * frame["box_size"].to_numpy() / 256 + 2 * _STORED
    same = _numbers(before, "visibility") == frame["visibility"].to_numpy()
    same &= np.asarray(before["split"].array == frame["split"].array, np.bool_)
    explained = [np.isfinite(_numbers(frame, name)) for name in _EXPLAINING if name in frame]
    return frame.assign(
        there=there.astype(np.float64),
        relabelled=np.where(there, ~same, np.nan),
        moved=moved,
        allowed=allowed,
        too_far=np.where(train, moved - allowed, np.nan),
        elsewhere=np.where(train, np.nan, moved),
        unexplained=np.where(train & labelled, len(_EXPLAINING) - np.sum(explained, axis=0), np.nan),
    )


def _numbers(table: pd.DataFrame, name: str) -> Numbers:
    return table[name].to_numpy(np.float64, na_value=np.nan)


def _partners(table: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.int64]:
    """(rows,) where `other` has the same point, -1 where it has not."""
    if all((table[name].array == other[name].array).all() for name in KEYS):
        return np.arange(len(table))
    found = pd.MultiIndex.from_frame(other[KEYS]).get_indexer(pd.MultiIndex.from_frame(table[KEYS]))
    return found.astype(np.int64)


def _context(site: Path | None) -> Any:
    """A Great Expectations project in memory, which sends nothing and writes at most to `site`."""
    local = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site and site.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = gx_config.DataContextConfig(
        store_backend_defaults=gx_config.InMemoryStoreBackendDefaults(),
        data_docs_sites={} if site is None else {"local": local},
        analytics_enabled=False,
        progress_bars=gx_config.ProgressBarsConfig(globally=False, metric_calculations=False),
    )
    return gx.get_context(project_config=config, mode="ephemeral")


def _run(context: Any, name: str, frame: pd.DataFrame, label: Sequence[str], checks: Sequence[Check]) -> list[Outcome]:
    """Let Great Expectations judge a table; one outcome for each check."""
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=[check.expectation() for check in checks]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    # COMPLETE would list the offenders, in half a minute for a million rows.
    form = {"result_format": "BASIC", "partial_unexpected_count": 0}
    results = definition.run(batch_parameters={"dataframe": frame}, result_format=form).results
    by_check = {result.expectation_config.meta["check"]: result for result in results}
    return [_outcome(check, by_check[check.says], frame, label) for check in checks]


def _outcome(check: Check, result: Any, frame: pd.DataFrame, label: Sequence[str]) -> Outcome:
    broken = frame[:0] if result.success else check.broken(frame)
    failed = result.result.get("unexpected_count")
    if failed != len(broken):
        raise RuntimeError(f"{check.says}: {failed} counted, {len(broken)} listed; {result.exception_info}")
    shown = broken[:SHOWN]
    whole = {str(name): shown[name].astype("Int64") for name in shown if _kind(shown[name]) == "whole number"}
    rows: list[Any] = shown.assign(**whole).to_dict("records")
    first = [f"{' '.join(str(row[key]) for key in label)}: {check.shows.format(**row)}" for row in rows]
    return Outcome(check.says, bool(result.success), int(failed), first)


def _keep(annotations: AnnotationSet, path: Path) -> None:
    """Write a rejected set, as text in every column if it is too broken for its types."""
    try:
        write_annotations(annotations, path)
    except (KeyError, TypeError, ValueError, OverflowError, pa.ArrowException):
        with replacing(path) as temporary:
            annotations.table.astype("string").to_parquet(temporary)
