"""Bring the whole pipeline up to date, now or on a schedule: `python -m flows.retrain --help`.

One task runs one DVC stage.  DVC owns the graph and the caching, the stages own the work; what is left for Prefect is
order, retries, a log and a report that can be read from elsewhere.  The order is asked of DVC each time, so that it
cannot differ from `dvc.yaml`.  Without the decorators this is still a working script.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, NamedTuple

os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported

from prefect import Task, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, State, TaskRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

REPO = Path(__file__).resolve().parents[1]
REPORT = "artifacts/report/index.html"
AUDIT = "artifacts/audit.json"
SERVER_TIMEOUT = 120  # seconds
RETRY_AFTER = [5.0, 30.0, 120.0, 600.0]  # seconds
# What DVC says of a lock that another process holds: the repository's, or one on a stage's files.
_LOCKED = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")
# What DVC says that it did with a stage.
_OUTCOMES = {"didn't change": "unchanged", "is cached": "cached", "Verifying data": "checked", "Running stage": "ran"}
_EXAMPLES = """
examples:
  python -m flows.retrain                      bring everything up to date, now
  python -m flows.retrain --cron "0 3 * * *"   stay, and do so every night at three (UTC)

Neither needs a server: one is started for as long as the command runs, and a schedule says at which address it shows
runs and their reports in a browser.  To use one that stays:
  prefect server start
  export PREFECT_API_URL=http://127.0.0.1:4200/api

exit code: 0 done, 1 a stage failed (the last line says why), 2 a command line that cannot be parsed, 3 a gate of the
audit is broken (the last line says which)
"""


class StageFailed(Exception):
    """A stage that failed, in one line."""

    def __init__(self, line: str, *, passing: bool = False) -> None:
        super().__init__(line)
        self.passing = passing  # another try may do better: a lock, a process that was killed


class GateBroken(StageFailed):
    """The audit found what must not pass."""


class Done(NamedTuple):
    """What became of one stage."""

    stage: str
    outcome: str
    seconds: float


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is worth another try; a mistake in data, parameters or code is not."""
    return isinstance(state.data, StageFailed) and state.data.passing


@task(
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_AFTER),
    retry_delay_seconds=RETRY_AFTER,
    retry_condition_fn=may_pass,
    log_prints=True,
)
def reproduce(repo: str, stage: str) -> Done:
    """Bring one stage up to date; DVC decides whether it needs running."""
    start = time.monotonic()
    outcome = "unchanged"
    for line in dvc(repo, "repro", "--single-item", stage):
        if line:
            print(line)
        outcome = next((name for said, name in _OUTCOMES.items() if said in line), outcome)
    return Done(stage, outcome, time.monotonic() - start)


@flow(name="retrain", log_prints=True)
def retrain(repo: str = str(REPO)) -> None:
    """Bring every stage up to date in the order of the graph, and say what came of it.

    Where a gate of the audit is broken, nothing is built on these labels: the run fails with the gates' names.
    """
    stages = order(repo)
    done: list[Done] = []
    try:
        for stage in stages:
            done.append(reproduce(repo, stage))
            if stage == "audit":
                stop_at_broken_gates(repo)
    finally:
        create_markdown_artifact(summary(repo, stages, done), key="retrain", description="Stages and metrics")


def stop_at_broken_gates(repo: str) -> None:
    """Read the audit's verdict, and raise GateBroken if it says no."""
    gates = json.loads((Path(repo) / AUDIT).read_text(encoding="utf-8"))["gates"]
    said = [f"gate {gate['name']} broken: {gate['condition']}" for gate in gates if gate["broken"]]
    if said:
        raise GateBroken(f"audit: {'; '.join(said)}")


def order(repo: str) -> list[str]:
    """All stages and data sources, each after what it needs; the audit before what could wait for its verdict."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for line in dvc(repo, "dag", "--dot"):
        match re.findall(r'"([^"]+)"', line):
            case [before, after]:
                graph.add(after, before)
            case [stage]:
                graph.add(stage)
    graph.prepare()
    found: list[str] = []
    while graph.is_active():
        ready = sorted(graph.get_ready(), key=lambda stage: stage != "audit")
        found += ready
        graph.done(*ready)
    return found


def summary(repo: str, stages: Sequence[str], done: Sequence[Done]) -> str:
    """What a run did, as Markdown."""
    rows = [f"| {stage} | {outcome} | {seconds:.0f} |" for stage, outcome, seconds in done]
    left = stages[len(done) :]
    rows += [f"| {stage} | {'waits' if place else '**failed**'} | |" for place, stage in enumerate(left)]
    parts = ["| stage | | seconds |\n|---|---|---:|\n" + "\n".join(rows)]
    if not left:  # after a failure they are those of an older run
        parts.append("\n".join(dvc(repo, "metrics", "show", "--md")))
        if (Path(repo) / REPORT).is_file():
            parts.append(f"What moved, and why: {Path(repo).resolve() / REPORT}")
    return "\n\n".join(parts)


def dvc(repo: str, *arguments: str) -> Iterator[str]:
    """Run DVC and give its lines as they come; raise StageFailed if it fails, and end it if nobody waits for it."""
    here = str(Path(sys.executable).parent)  # so that `python` in a stage's command is this one
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=repo,
        env={**os.environ, "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # a group of its own, to end a stage's processes with it
    )
    lines: SimpleQueue[tuple[str, bool] | None] = SimpleQueue()

    def read(pipe: IO[str], is_error: bool) -> None:
        for line in pipe:
            lines.put((line.rstrip(), is_error))
        lines.put(None)

    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        Thread(target=read, args=(pipe, pipe is process.stderr), daemon=True).start()
    errors = []
    try:
        for _ in range(2):  # until both are closed
            while (item := lines.get()) is not None:
                line, is_error = item
                errors += [line] * (is_error and bool(line))
                yield line
        process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    if process.returncode:
        raise failure(arguments[-1], process.returncode, errors)


def failure(stage: str, code: int, errors: Sequence[str]) -> StageFailed:
    """Say in one line why DVC failed: in the stage's own last words, if it had any.

    A stage prints its mistake on stderr, and below it DVC an "ERROR: failed to reproduce …"; whatever went wrong, DVC's
    own exit code is 255.
    """
    ends = [place for place, line in enumerate(errors) if line.startswith("ERROR: ")]
    verdict = errors[ends[-1]].removeprefix("ERROR: ") if ends else f"dvc ended with exit code {code}"
    exited = _EXITED.search(verdict)
    status = int(exited[1]) if exited else 0
    if code < 0 or status < 0 or status > 128:  # a shell adds 128 to the signal
        return StageFailed(f"{stage}: killed by signal {-code if code < 0 else abs(status) % 128}", passing=True)
    if _LOCKED.search(verdict):
        return StageFailed(f"{stage}: {verdict}", passing=True)
    said = [line for line in errors[: ends[-1] if ends else None] if not line.startswith("WARNING: ")]
    return StageFailed(f"{stage}: {said[-1].strip() if exited and said else verdict}")


class _WithoutTraceback(logging.Filter):
    """A stage's failure is told in one line: where in this file it was noticed helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], StageFailed):
            record.exc_info = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())


def keep(repo: str, **schedule: Any) -> None:
    """Stay, and retrain on a schedule: `cron=…`, or `interval=` seconds; while one run goes on no other starts."""
    retrain.serve(
        name="retrain",
        parameters={"repo": repo},
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        pause_on_shutdown=False,  # so that the schedule outlives a restart
        **schedule,
    )


@contextmanager
def server() -> Iterator[None]:
    """Start a Prefect server on the loopback where none is configured: the one of Prefect's own schedules nothing."""
    if get_current_settings().api.url is not None:
        yield
        return
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", 4200)) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1] if taken else 4200)
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        with temporary_settings({PREFECT_API_URL: address}):
            started = time.monotonic()
            while get_client(sync_client=True).api_healthcheck() is not None:
                if process.poll() is not None or time.monotonic() - started > SERVER_TIMEOUT:
                    raise StageFailed(f"{address}: the Prefect server did not start; try `{' '.join(command[1:])}`")
                time.sleep(0.5)
            print(f"Prefect server: http://127.0.0.1:{port}")
            yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


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
        if not (options.repo / "dvc.yaml").is_file():
            raise StageFailed(f"{repo}: no dvc.yaml in it; --repo wants the folder of a DVC pipeline")
        check(options.cron)
        if options.cron is None:
            retrain(repo)
        else:
            with server():
                keep(repo, cron=options.cron)
    except StageFailed as reason:
        print(reason, file=sys.stderr)
        return 3 if isinstance(reason, GateBroken) else 1
    return 0


def check(cron: str | None) -> None:
    """Refuse a schedule or a server that cannot work, before anything is started."""
    address = get_current_settings().api.url
    if cron is not None:
        try:
            CronSchedule(cron=cron)
        except ValueError as cause:
            raise StageFailed(f'--cron {cron!r}: not a cron expression; five fields, as in "0 3 * * *"') from cause
    if address is not None and get_client(sync_client=True).api_healthcheck() is not None:
        raise StageFailed(
            f"{address}: no Prefect server answers there; start it, or unset PREFECT_API_URL to do without"
        )


if __name__ == "__main__":
    sys.exit(main())
