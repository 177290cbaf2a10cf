"""`python -m pipelines STAGE`: what every `cmd` in dvc.yaml runs.

A stage is a function; its arguments say which sections of params.yaml it gets, and it gets no others.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

from lmk.config import load_params
from lmk.console import run_cleanly
from lmk.errors import DataError, UnknownName
from lmk.evaluation import ALWAYS, check_normaliser
from lmk.limits import JSON_BYTES
from lmk.reading import read_json
from lmk.scheme import load_scheme
from pipelines.deps import STAGES
from pipelines.paths import PARAMS, Paths


def stage_function(name: str) -> Callable[..., None]:
    """The function of a stage."""
    function: Callable[..., None] = getattr(importlib.import_module(f"pipelines.{name}"), name)
    return function


def run_stage(name: str, key: str | None) -> None:
    """Call a stage with the sections that its signature asks for."""
    params, paths = load_params(PARAMS), Paths()
    if params.data.scheme is not None:
        scheme = load_scheme(params.data.scheme)
        # Every stage looks, so that the first one finds what only a later one needs.
        check_normaliser(params.evaluation.normaliser, [*dict(scheme.normalisers), *ALWAYS], scheme.name)
    given: dict[str, Any] = {}
    function = stage_function(name)
    for argument in inspect.signature(function).parameters:
        if argument == "paths":
            given[argument] = paths
        elif argument == "name":
            given[argument] = key
        elif argument == "iteration":
            if key not in params.refine.schedule:
                raise UnknownName("iteration", str(key), params.refine.schedule)
            given[argument] = params.refine.schedule[key]
        elif argument == "method":
            from lmk.refine.iteration import Method

            given[argument] = Method.of(params, params.refine.schedule[key or ""])
        else:
            given[argument] = getattr(params, argument)
    function(**given)


def show_results() -> None:
    """Print what the last run found, and where the report is."""
    from lmk.audit.log import format_log, log_rows
    from lmk.evaluation import format_metrics
    from lmk.records import LABELS, read_metrics

    paths = Paths()
    if not paths.metrics.is_file():
        raise DataError(f"{paths.metrics}: no results yet; `dvc repro` makes them")
    if not read_json(paths.metrics, JSON_BYTES, DataError):  # see docs/decisions/0012
        raise DataError(
            f"{paths.metrics}: empty, because a gate of the audit was broken: {paths.report} says which; "
            "`dvc repro` builds on these labels all the same"
        )
    metrics = read_metrics(paths.metrics)
    if metrics.names(LABELS):
        print(format_metrics(metrics))
    else:  # nobody knows the truth: show what moved
        print(format_log(log_rows(paths, load_params(PARAMS).refine.chain())))
        print(format_metrics(metrics))
    print(f"report: {paths.report}")


def main() -> int:
    """Parse the command line and run one stage."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines", description="Run one stage; `dvc repro` runs them all."
    )
    parser.add_argument("stage", choices=[*STAGES, "results"], help="what to run; `results` prints the last numbers")
    parser.add_argument("key", nargs="?", help="iteration, for `refine`: i01, i02, …")
    arguments = parser.parse_args()
    if (arguments.stage == "refine") != (arguments.key is not None):
        parser.error("`refine` wants the name of an iteration, the other stages want none")
    if arguments.stage == "results":
        return run_cleanly(show_results)
    return run_cleanly(lambda: run_stage(arguments.stage, arguments.key))


if __name__ == "__main__":
    sys.exit(main())
