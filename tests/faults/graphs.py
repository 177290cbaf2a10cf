"""`dvc repro` on a small copy of the pipeline, and the flow on a small DVC project.

DVC runs in the fork, and so do its stages, in forks of their own, where DVC would start a shell: nothing is imported
anew.  The flow is started as a user starts it, with the processes that it starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pipelines.rwlock import mend
from tests.faults.cases import Case, run_stage
from tests.faults.forks import Ended
from tests.flows.projects import environment

MADE = (
    "annotations/*", "models/*/*", "validation/*", "downstream/*/*", "plots/*", "labels.parquet", "audit.json",
    "report/index.html",
)  # fmt: skip
FLOW = "flow"
LOCKED = ("acquire lock", "is busy, it is being blocked")


class Graph(Case):
    """A whole graph: what goes wrong is told in DVC's words, and may be a lock that another process holds."""

    atomic = True  # whether every file is whole at any moment

    def mistake(self, ended: Ended) -> str:
        return ended.err + ended.out if "Traceback" not in ended.err else ""

    def gave_way(self, ended: Ended) -> bool:
        return any(text in self.mistake(ended) for text in LOCKED)


class Flow(Graph):
    """The flow; the stages of its project are `cat`."""

    atomic = False


def repro(arguments: tuple[str, ...]) -> int:
    """What `make run` does, in a project."""
    import dvc.stage.run
    from dvc.cli import main

    os.chdir(arguments[0])
    os.environ |= {"DVC_SITE_CACHE_DIR": str(Path("../site").resolve()), "DVC_NO_ANALYTICS": "1"}
    dvc.stage.run._run = _fork_stage
    mend(Path())
    return int(main(["repro"]))


def _fork_stage(_shell: str, command: str, **_how: Any) -> None:
    """Run a stage in a fork, where DVC would run `python -m pipelines STAGE` in a shell."""
    from dvc.stage.exceptions import StageCmdFailedError

    sys.stdout.flush()
    if not (pid := os.fork()):
        code = 1
        try:
            code = run_stage(tuple(command.split()[3:]))
            sys.stdout.flush()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise StageCmdFailedError(command, code)


def retrain(arguments: tuple[str, ...]) -> int:
    """Start the flow; this process becomes it."""
    env = environment(Path("home").resolve())
    Path("home").mkdir(exist_ok=True)
    if server := os.environ.get("PREFECT_API_URL"):
        env["PREFECT_API_URL"] = server
    command = [sys.executable, "-m", "flows.retrain", "--repo", str(Path(arguments[0]).resolve())]
    os.execve(sys.executable, command, env)


GRAPHS = (
    Graph(
        "dvc repro", ("project",), ("project",),
        ("project/dvc.lock", "project/metrics.json", *(f"project/artifacts/{pattern}" for pattern in MADE)),
        program=repro, kinds=("kill", "full", "two"), grows="project/dvc.lock",
    ),
    Flow(FLOW, ("repo",), ("repo",), ("repo/*.txt", "repo/metrics.json", "repo/dvc.lock"), program=retrain,
         kinds=("kill", "two")),
)  # fmt: skip
