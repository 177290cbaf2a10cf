"""What the tests of the flows drive: small DVC projects, processes that end with their test, a Prefect server's API.

Everything is a process of its own, started in a session of its own and ended with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PATIENCE = 150.0  # seconds that anything may take
STAGES = """
stages:
  report:
    cmd: python report.py
    deps: [i02.txt, report.py]
    metrics: [metrics.json: {cache: false}]
  refine:
    foreach: ${schedule}
    do:
      cmd: cat ${item.prev}.txt > ${key}.txt
      deps: ["${item.prev}.txt"]
      outs: ["${key}.txt"]
  ingest:
    cmd: cat data/a > i00.txt
    deps: [data]
    outs: [i00.txt]
"""
GOOD = "from pathlib import Path\nPath('metrics.json').write_text('{\"error\": 1.625}')\n"
IN_ORDER = ["data.dvc", "ingest", "refine@i01", "refine@i02", "report"]
# Stages that depend on each other as those of the real pipeline do; last.txt are the labels, last night's or tonight's.
JUDGED = """
stages:
  report:
    cmd: python page.py
    deps: [last.txt, artifacts/audit.json, metrics.json, page.py]
    outs: [artifacts/report/index.html]
  evaluate:
    cmd: python measure.py
    deps: [trained.txt, measure.py]
    metrics: [metrics.json: {cache: false}]
  downstream:
    cmd: cp last.txt trained.txt
    deps: [last.txt]
    outs: [trained.txt]
  audit:
    cmd: mkdir -p artifacts && cp verdict.json artifacts/audit.json
    deps: [last.txt, verdict.json]
    outs: [artifacts/audit.json]
  refine:
    cmd: cat data/a > last.txt
    deps: [data]
    outs: [last.txt]
"""
MEASURE = """
import json, pathlib
pathlib.Path("metrics.json").write_text(json.dumps({"learnt": float(pathlib.Path("trained.txt").read_text())}))
"""
PAGE = """
import json, pathlib
gates = json.loads(pathlib.Path("artifacts/audit.json").read_text())["gates"]
metrics = json.loads(pathlib.Path("metrics.json").read_text())
said = [f"labels {pathlib.Path('last.txt').read_text().strip()}"]
said += [f"{gate['name']} broken" for gate in gates if gate["broken"]]
said += [f"learnt {metrics['learnt']}"] if "learnt" in metrics else []
pathlib.Path("artifacts/report").mkdir(exist_ok=True)
pathlib.Path("artifacts/report/index.html").write_text("; ".join(said))
"""


@contextmanager
def running(*command: str, env: dict[str, str], cwd: Path, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone, with all that it started, when the block ends."""
    with (log or Path(os.devnull)).open("w") as out:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            for how in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, how)
                    process.wait(timeout=5)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
            process.wait()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s in vain for {what}"
        time.sleep(0.25)
    return found


def environment(home: Path) -> dict[str, str]:
    """Nothing of the machine's own Prefect and DVC."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DVC_", "GIT_"))}
    return {
        **kept,
        "HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, dict[str, str], int]]:
    """A Prefect server: the address of its API, the environment that uses it, its process group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    api, env = f"http://127.0.0.1:{port}/api", environment(home)
    start = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with running(*start, env=env, cwd=home, log=home / "log") as process:

        def healthy() -> bool:
            assert process.poll() is None, (home / "log").read_text()
            try:
                return httpx.get(f"{api}/health", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        until(healthy, "the server")
        yield api, {**env, "PREFECT_API_URL": api}, process.pid


def make_project(home: Path, stages: str, **files: str) -> Path:
    """A DVC project with one file of data; files are Python scripts, named without their suffix."""
    repo, env = home / "repo", environment(home)
    (repo / "data").mkdir(parents=True)
    (repo / "data/a").write_text("1\n")
    (repo / "data.dvc").write_text("outs:\n- path: data\n  cache: false\n")
    (repo / "params.yaml").write_text("schedule:\n  i01: {prev: i00}\n  i02: {prev: i01}\n")
    (repo / "dvc.yaml").write_text(stages)
    for name, text in files.items():
        (repo / f"{name}.py").write_text(text)
    for command in (
        "git init -q",
        f"{sys.executable} -m dvc init -q",
        f"{sys.executable} -m dvc commit -q -f data.dvc",
    ):
        subprocess.run(command.split(), cwd=repo, env=env, check=True)
    return repo


def retrain(repo: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the flow by its command line."""
    command = [sys.executable, "-m", "flows.retrain", "--repo", str(repo), *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE * 2, check=False)


def ask(api: str, what: str, **query: Any) -> list[dict[str, Any]]:
    """Ask a Prefect server for what meets a query."""
    answer = httpx.post(f"{api}/{what}/filter", json=query, timeout=10)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def last_run(api: str) -> dict[str, Any]:
    return ask(api, "flow_runs", sort="START_TIME_DESC", limit=1)[0]


def tasks_of(api: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    return ask(api, "task_runs", flow_runs={"id": {"any_": [run["id"]]}}, sort="END_TIME_DESC")[::-1]


def summary_of(api: str, run: dict[str, Any]) -> str:
    [artifact] = ask(
        api, "artifacts", flow_runs={"id": {"any_": [run["id"]]}}, artifacts={"key": {"any_": ["retrain"]}}
    )
    return str(artifact["data"])
