"""The gate: what a set of annotations must fulfil before anything is built on it.

Great Expectations judges the rules of `lmk.checks`.  It is fast as long as it only counts, so offenders are listed
here, by the same limits.  It is given tables and rules by number, and neither a path nor a name that comes from data:
it takes `$HOME` in a path for a variable, and its own pages run scripts, those in names included.  So the page is ours
(`lmk.verdict_page`).

Nothing else imports `great_expectations`, and importing it takes seconds: import this module inside a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from lmk.annotations import KEYS, AnnotationSet
from lmk.checks import (
    SHOWN,
    Check,
    Judged,
    LongTable,
    Outcome,
    Search,
    Verdict,
    checks_of_columns,
    checks_of_points,
    checks_of_search,
    kind_of,
    table_of_columns,
    table_of_points,
)
from lmk.config import ValidationParams
from lmk.errors import LmkError, ValidationFailed
from lmk.store import replacing, write_annotations, write_json, write_text
from lmk.verdict_page import verdict_page

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """What a set is called, and where a rejected one is kept."""

    name: str
    rejected: Path  # folder for `<name>.parquet`, `<name>.json` and `<name>.txt`, which DVC does not delete
    docs: Path | None = None  # folder for the page about the verdict, replaced as a whole


def validate(
    annotations: Judged, params: ValidationParams, docs: Path | None = None, search: Search | None = None
) -> Verdict:
    """Judge a set.

    Args:
        annotations: the set.
        params: what is tolerated.
        docs: folder for `summary.html`, a page about the verdict, and the same as text; replaced as a whole.
        search: for a refined set, what it is held against.
    """
    return _judge(annotations, params, docs, search)[0]


def enforce(annotations: Judged, params: ValidationParams, place: Place, search: Search | None = None) -> Verdict:
    """Judge a set; when it fails, keep it for inspection and raise."""
    name, rejected = place.name, place.rejected
    verdict, worst = _judge(annotations, params, place.docs, search)
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
    annotations: Judged, params: ValidationParams, docs: Path | None, search: Search | None
) -> tuple[Verdict, Check | None]:
    """Return the verdict and the first check that failed."""
    context = _context()
    checks = checks_of_columns()
    table, before = annotations.frame, None if search is None else search.observed.frame
    outcomes = _run(context, "whole", table_of_columns(table, before), ["part"], checks)
    points = instances = 0
    if outcomes[0].success:  # the other checks would only stumble over what is missing
        frame = table_of_points(table, search)
        of_points = checks_of_points(annotations, params, with_images=bool(frame["known"].any()))
        of_points += checks_of_search(search) if search is not None else []
        checks += of_points
        outcomes += _run(context, "points", frame, KEYS, of_points)
        points, instances = int((frame["visibility"] > 0).sum()), int(frame["which"].nunique())
    verdict = Verdict(all(outcome.success for outcome in outcomes), points, instances, outcomes)
    if docs is not None:
        with replacing(docs) as site:
            site.mkdir()
            for name, text in (("summary.txt", str(verdict)), ("summary.html", verdict_page(docs.name, verdict))):
                (site / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return verdict, next((check for check, outcome in zip(checks, outcomes, strict=True) if not outcome.success), None)


def _expectation(check: Check, number: int) -> Any:
    """What Great Expectations calls a check, which it knows by its number."""
    common: dict[str, Any] = {"column": check.column, "meta": {"check": number}}
    if check.values is not None:
        return ExpectColumnValuesToBeInSet(value_set=list(check.values), **common)
    if check.low is None and check.high is None:
        return ExpectColumnValuesToNotBeNull(**common)
    return ExpectColumnValuesToBeBetween(min_value=check.low, max_value=check.high, **common)


def _context() -> Any:
    """A Great Expectations project in memory, which sends and writes nothing."""
    config = gx_config.DataContextConfig(
        store_backend_defaults=gx_config.InMemoryStoreBackendDefaults(),
        data_docs_sites={},
        analytics_enabled=False,
        progress_bars=gx_config.ProgressBarsConfig(globally=False, metric_calculations=False),
    )
    return gx.get_context(project_config=config, mode="ephemeral")


def _run(context: Any, name: str, frame: pd.DataFrame, label: Sequence[str], checks: Sequence[Check]) -> list[Outcome]:
    """Let Great Expectations judge a table; one outcome for each check."""
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    expectations = [_expectation(check, number) for number, check in enumerate(checks)]
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    # COMPLETE would list the offenders, in half a minute for a million rows.
    form = {"result_format": "BASIC", "partial_unexpected_count": 0}
    results = definition.run(batch_parameters={"dataframe": frame}, result_format=form).results
    by_number = {result.expectation_config.meta["check"]: result for result in results}
    return [_outcome(check, by_number[number], frame, label) for number, check in enumerate(checks)]


def _outcome(check: Check, result: Any, frame: pd.DataFrame, label: Sequence[str]) -> Outcome:
    broken = frame[:0] if result.success else check.broken(frame)
    failed = result.result.get("unexpected_count")
    if failed != len(broken):
        raise RuntimeError(f"{check.says}: {failed} counted, {len(broken)} listed; {result.exception_info}")
    shown = broken[:SHOWN]
    whole = {str(name): shown[name].astype("Int64") for name in shown if kind_of(shown[name]) == "whole number"}
    rows: list[Any] = shown.assign(**whole).to_dict("records")
    first = [f"{' '.join(str(row[key]) for key in label)}: {check.shows.format(**row)}" for row in rows]
    return Outcome(check.says, bool(result.success), int(failed), first)


def _keep(annotations: Judged, path: Path) -> None:
    """Write a rejected set, as text in every column if it is too broken to be a set."""
    try:
        if isinstance(annotations, LongTable):
            annotations = AnnotationSet.from_frame(annotations.frame, annotations.scheme, annotations.provenance)
        write_annotations(annotations, path)
    except (LmkError, KeyError, TypeError, ValueError, OverflowError, pa.ArrowException):
        with replacing(path) as temporary:
            annotations.frame.astype("string").to_parquet(temporary)
