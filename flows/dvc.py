"""Running DVC, one task a stage: its lines as they come, what it did, and a failure in one line.

DVC owns the graph and the caching.  Whatever is asked of it here is asked each time, so that nothing can differ from
`dvc.yaml`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, NamedTuple

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from lmk.errors import LmkError
from pipelines.rwlock import mend

# Names that the flows know; all others they ask of DVC.
AUDIT, EVALUATE, REPORT = "audit", "evaluate", "report"
METRICS = "metrics.json"  # what `evaluate` writes and `report` reads
RETRY_AFTER = [5.0, 30.0, 120.0, 600.0]  # seconds
# What DVC says of a lock that another process holds: the repository's, or one on a stage's files.
_LOCKED = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")
_SIGNALS = {int(one) for one in signal.valid_signals()}  # an exit code above 128 + 64 is no signal
# What DVC says that it did with a stage.  The stage's name is in it: a stage's own lines come between DVC's.
_OUTCOMES = {
    "Stage '{}' didn't change, skipping": "unchanged",
    "'{}' didn't change, skipping": "unchanged",
    "Stage '{}' is cached - skipping run, checking out outputs": "cached",
    "Verifying data sources in stage: '{}'": "checked",
    "Running stage '{}':": "ran",
}


class DvcFailed(LmkError):
    """DVC or one of its stages failed, in one line."""

    def __init__(self, line: str, *, passing: bool = False) -> None:
        super().__init__(line)
        self.passing = passing  # another try may do better: a lock, a process that was killed


class Done(NamedTuple):
    """What became of one stage."""

    outcome: str
    seconds: float | None = None


class Line(NamedTuple):
    """A line that DVC or a stage printed."""

    text: str
    is_error: bool  # on stderr, where warnings go, too


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is worth another try; a mistake in data, parameters or code is not."""
    return isinstance(state.data, DvcFailed) and state.data.passing


_AS_TASK: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": len(RETRY_AFTER),
    "retry_delay_seconds": RETRY_AFTER,
    "retry_condition_fn": may_pass,
    "log_prints": True,
}


@task(task_run_name="{stage}", **_AS_TASK)
def reproduce(repo: str, stage: str) -> Done:
    """Bring one stage up to date; DVC decides whether it needs running."""
    start = time.monotonic()
    outcome = "done"
    said = {line.format(stage): name for line, name in _OUTCOMES.items()}
    for line in dvc(repo, stage, "repro", "--single-item", stage):
        if line.text:
            print(line.text)
        outcome = said.get(line.text, outcome)
    return Done(outcome, time.monotonic() - start)


@task(task_run_name=f"empty stale {METRICS}", **_AS_TASK)
def empty_stale_metrics(repo: str) -> None:
    """Empty the metrics unless DVC knows them to be of the labels that are there now.

    `report` shows what it finds in them, and cannot run where they are missing (docs/decisions/0012).
    """
    from lmk.store import write_json  # here, because it imports pandas

    if not is_current(repo, EVALUATE):
        write_json({}, Path(repo) / METRICS)
        print(f"{METRICS}: empty; nothing is measured of labels that a gate refuses")


def check_repo(repo: str) -> None:
    """Refuse a folder that is no pipeline."""
    if not (Path(repo) / "dvc.yaml").is_file():
        raise DvcFailed(f"{repo}: no dvc.yaml in it; --repo wants the folder of a DVC pipeline")


def is_current(repo: str, stage: str) -> bool:
    """Whether DVC would run neither this stage nor anything that it needs."""
    changed: dict[str, Any] = json.loads("".join(ask(repo, "status", "--json", "--with-deps", stage)))
    return not changed


def order(repo: str) -> list[str]:
    """All stages and data sources, each after what it needs; whatever the audit does not need comes after the audit."""
    graph: dict[str, list[str]] = {}
    for line in ask(repo, "dag", "--dot"):
        match re.findall(r'"([^"]+)"', line):
            case [before, after]:
                graph.setdefault(before, [])
                graph.setdefault(after, []).append(before)
            case [stage]:
                graph.setdefault(stage, [])
    judged = _with_needs(graph, AUDIT)
    return sorted(TopologicalSorter(graph).static_order(), key=lambda stage: stage not in judged)


def _with_needs(graph: Mapping[str, Sequence[str]], stage: str) -> set[str]:
    """A stage, and all that must come before it; nothing if there is no such stage."""
    found: set[str] = set()
    queue = [stage] if stage in graph else []
    while queue:
        found.add(queue[-1])
        queue += [before for before in graph[queue.pop()] if before not in found]
    return found


def ask(repo: str, *arguments: str) -> list[str]:
    """Ask DVC something, and return its answer without the warnings."""
    return [line.text for line in dvc(repo, f"dvc {arguments[0]}", *arguments) if not line.is_error]


def dvc(repo: str, what: str, *arguments: str) -> Iterator[Line]:
    """Run DVC and give its lines as they come; end it if nobody waits for it.

    Args:
        repo: the folder of the pipeline.
        what: is run, to begin the line of DvcFailed with.
        arguments: of DVC.
    """
    mend(Path(repo))
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
    lines: SimpleQueue[Line | None] = SimpleQueue()

    def read(pipe: IO[str], is_error: bool) -> None:
        with pipe:
            for line in pipe:
                lines.put(Line(line.rstrip(), is_error))
        lines.put(None)

    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        Thread(target=read, args=(pipe, pipe is process.stderr), daemon=True).start()
    errors = []
    try:
        for _ in range(2):  # until both are closed
            while (line := lines.get()) is not None:
                errors += [line.text] * (line.is_error and bool(line.text))
                yield line
        process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    if process.returncode:
        raise failure(what, process.returncode, errors)


def failure(what: str, code: int, errors: Sequence[str]) -> DvcFailed:
    """Say in one line why DVC failed: in the stage's own last words, if it had any.

    A stage prints its mistake on stderr, and below it DVC an "ERROR: failed to reproduce …"; whatever went wrong, DVC's
    own exit code is 255.  Of a dvc.yaml that it cannot read it says so without "ERROR: ", and where on the next line.
    """
    ends = [place for place, line in enumerate(errors) if line.startswith("ERROR: ")]
    said = [line.strip() for line in errors[: ends[-1] if ends else None] if not line.startswith("WARNING: ")]
    verdict = f"dvc ended with exit code {code}"
    if ends:
        verdict = errors[ends[-1]].removeprefix("ERROR: ")
    elif said:
        verdict = said[-1] if said[0].startswith("Traceback") else " ".join(said[:2])
    exited = _EXITED.search(verdict)
    status = int(exited[1]) if exited else 0
    killed_by = -code if code < 0 else -status if status < 0 else status - 128  # a shell adds 128 to the signal
    if killed_by in _SIGNALS:
        return DvcFailed(f"{what}: killed by signal {killed_by}", passing=True)
    if _LOCKED.search(verdict):
        return DvcFailed(f"{what}: {verdict}", passing=True)
    return DvcFailed(f"{what}: {said[-1] if exited and said else verdict}")


class _WithoutTraceback(logging.Filter):
    """A failure is told in one line: where in our code it was noticed helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], LmkError):
            record.exc_info = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())
