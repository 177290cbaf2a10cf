"""Bring the whole pipeline up to date, now or on a schedule: `python -m flows.retrain --help`.

One task runs one DVC stage.  DVC owns the graph and the caching, the stages own the work; what is left for Prefect is
order, retries, a log and a summary that can be read from elsewhere.  Without the decorators this is still a working
script.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import httpx
from prefect import flow

from flows.dvc import AUDIT, EVALUATE, REPORT, DvcFailed, check_repo, empty_stale_metrics
from flows.outcome import Run, summarised
from flows.serve import check, keep, lost, server
from lmk.errors import GateBroken, LmkError

REPO = Path(__file__).resolve().parents[1]
_EXAMPLES = """
examples:
  python -m flows.retrain                      bring everything up to date, now
  python -m flows.retrain --cron "0 3 * * *"   stay, and do so every night at three (UTC)

Neither needs a server: one is started for as long as the command runs, which says at which address it shows runs and
their reports in a browser.  To use one that stays:
  prefect server start
  export PREFECT_API_URL=http://127.0.0.1:4200/api

exit code: 0 done, 1 a stage failed (the last line says why), 2 a command line that cannot be parsed, 3 a gate of the
audit is broken (the last line says which)
"""


@flow(name="retrain", log_prints=True)
def retrain(repo: str = str(REPO)) -> None:
    """Bring every stage up to date in the order of the graph, and say what came of it.

    Where a gate of the audit is broken, nothing is built on these labels: they are shown, and the run fails with the
    gates' names.
    """
    with summarised(repo) as run:
        for stage in run.stages:
            run.bring(stage)
            if stage == AUDIT and (broken := run.broken_gates()):
                refuse(run, broken)


def refuse(run: Run, broken: str) -> NoReturn:
    """Make the report of labels that a gate refuses, and fail."""
    said = f"{AUDIT}: {broken}"
    try:
        if EVALUATE in run.stages:
            empty_stale_metrics(run.repo)
        if REPORT in run.stages:
            run.bring(REPORT)
    except DvcFailed as unmade:
        raise GateBroken(f"{said}; no report of it: {unmade}") from unmade
    raise GateBroken(said)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.retrain",
        description="Bring every stage of the pipeline up to date: one Prefect task a DVC stage, in DVC's order.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cron", metavar="EXPRESSION", help="stay and do so on this schedule: minute hour day month weekday"
    )
    parser.add_argument(
        "--repo", metavar="PATH", type=Path, default=REPO, help="the DVC repository (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    repo = str(options.repo.resolve())
    try:
        check_repo(repo)
        check(options.cron)
        with server():
            if options.cron is None:
                retrain(repo)
            else:
                keep(retrain, repo, cron=options.cron)
    except (LmkError, httpx.TransportError) as error:
        reason = error if isinstance(error, LmkError) else lost(error)
        print(reason, file=sys.stderr)
        return reason.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
