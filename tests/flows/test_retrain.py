"""The flow against what it drives: a real DVC project, a real Prefect server, a lock that is held, a process killed.

Everything here is a process of its own, started in a session of its own and ended with it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

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
AUDIT = """
  audit:
    cmd: mkdir -p artifacts && cp verdict.json artifacts/audit.json
    deps: [i02.txt, verdict.json]
    outs: [artifacts/audit.json]
  another:
    cmd: cp i02.txt another.txt
    deps: [i02.txt]
    outs: [another.txt]
"""
GOOD = "from pathlib import Path\nPath('metrics.json').write_text('{\"error\": 1.625}')\n"
BAD = "import sys\nsys.stderr.write('reading\\ndata/7.pts: body has 67 points\\n')\nprint('bye')\nsys.exit(1)\n"
KILLED = "import os\nif not os.path.exists('tried'):\n    open('tried', 'w').close()\n    os.kill(os.getpid(), 9)\n"
IN_ORDER = ["data.dvc", "ingest", "refine@i01", "refine@i02", "report"]


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Prefect server's API, and the environment that uses it."""
    home = tmp_path_factory.mktemp("prefect")
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
        yield api, {**env, "PREFECT_API_URL": api}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DVC project whose stages stand in dvc.yaml in the opposite order."""
    repo, env = tmp_path / "repo", environment(tmp_path)
    (repo / "data").mkdir(parents=True)
    (repo / "data/a").write_text("1\n")
    (repo / "data.dvc").write_text("outs:\n- path: data\n  cache: false\n")
    (repo / "params.yaml").write_text("schedule:\n  i01: {prev: i00}\n  i02: {prev: i01}\n")
    (repo / "dvc.yaml").write_text(STAGES)
    (repo / "report.py").write_text(GOOD)
    for command in (
        "git init -q",
        f"{sys.executable} -m dvc init -q",
        f"{sys.executable} -m dvc commit -q -f data.dvc",
    ):
        subprocess.run(command.split(), cwd=repo, env=env, check=True)
    return repo


def retrain(repo: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.retrain", "--repo", str(repo), *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE * 2, check=False)


def ask(api: str, what: str, **query: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{what}/filter", json=query, timeout=10)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def last_run(api: str) -> dict[str, Any]:
    return ask(api, "flow_runs", sort="START_TIME_DESC", limit=1)[0]


def tasks_of(api: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    return ask(api, "task_runs", flow_runs={"id": {"any_": [run["id"]]}}, sort="END_TIME_DESC")[::-1]


def artifact_of(api: str, run: dict[str, Any]) -> str:
    [artifact] = ask(
        api, "artifacts", flow_runs={"id": {"any_": [run["id"]]}}, artifacts={"key": {"any_": ["retrain"]}}
    )
    return str(artifact["data"])


def test_a_run_is_a_task_for_each_stage_in_the_graphs_order_and_a_report(server, project):
    api, env = server

    done = retrain(project, env)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "i02.txt").read_text() == "1\n"
    run = last_run(api)
    assert run["state"]["type"] == "COMPLETED"
    tasks = tasks_of(api, run)
    assert [task["name"] for task in tasks] == IN_ORDER
    assert {task["state"]["type"] for task in tasks} == {"COMPLETED"}
    report = artifact_of(api, run)
    assert "| data.dvc | unchanged |" in report
    assert "| refine@i02 | ran |" in report
    assert "1.625" in report
    logs = ask(api, "logs", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    assert "Running stage 'refine@i02':" in [entry["message"] for entry in logs]


def test_a_users_mistake_is_one_line_is_not_retried_and_later_stages_wait(server, project):
    api, env = server
    (project / "report.py").write_text(BAD)

    done = retrain(project, env)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "report: data/7.pts: body has 67 points"
    assert "Traceback" not in done.stdout + done.stderr
    run = last_run(api)
    assert run["state"]["type"] == "FAILED"
    [failed] = [task for task in tasks_of(api, run) if task["state"]["type"] == "FAILED"]
    assert (failed["name"], failed["run_count"]) == ("report", 1)
    report = artifact_of(api, run)
    assert "| report | **failed** |" in report
    assert "1.625" not in report


def test_a_killed_stage_and_a_lock_are_tried_again(server, project):
    api, env = server
    (project / "report.py").write_text(KILLED + GOOD)
    hold = (
        "import time; from dvc.repo import Repo\n"
        "repo = Repo(); repo.lock.lock(); print('held', flush=True); time.sleep(60)"
    )
    held, log = project.parent / "held", project.parent / "log"
    retraining = [sys.executable, "-m", "flows.retrain", "--repo", str(project)]

    def run() -> dict[str, Any]:
        found = ask(api, "flow_runs", sort="START_TIME_DESC", limit=1)
        return found[0] if found and found[0]["parameters"]["repo"] == str(project) else {}

    with ExitStack() as stack:
        lock = stack.enter_context(running(sys.executable, "-c", hold, env=env, cwd=project, log=held))
        until(lambda: "held" in held.read_text(), "DVC's lock")
        flow = stack.enter_context(running(*retraining, env=env, cwd=ROOT, log=log))
        until(lambda: run() and any(t["state"]["name"] == "AwaitingRetry" for t in tasks_of(api, run())), "a retry")
        lock.kill()
        flow.wait(timeout=PATIENCE)

    assert flow.returncode == 0, log.read_text()
    tries = {task["name"]: task["run_count"] for task in tasks_of(api, last_run(api))}
    assert tries == {"data.dvc": 2, "ingest": 1, "refine@i01": 1, "refine@i02": 1, "report": 2}


def test_a_schedule_fires_on_a_server_that_it_starts_by_itself(project):
    env, log = environment(project.parent), project.parent / "log"
    # A shell's background jobs ignore interrupts, and so would what they start.
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from flows.retrain import keep, server\nwith server(): keep({str(project)!r}, interval=5)"
    )
    api = ""

    def of_schedule() -> list[dict[str, Any]]:
        runs = ask(api, "flow_runs", flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}})
        return [run for run in runs if run["deployment_id"]]

    with running(sys.executable, "-c", code, env=env, cwd=ROOT, log=log) as process:
        said = until(lambda: re.search(r"Prefect server: (\S+)", log.read_text()), "the server's address")
        api = f"{said[1]}/api"
        [run, *_] = until(of_schedule, "a scheduled run")
        names = [task["name"] for task in tasks_of(api, run)]
        [deployment] = ask(api, "deployments")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)

    assert run["auto_scheduled"]
    assert names == IN_ORDER
    with pytest.raises(httpx.TransportError):  # it is gone with the schedule
        httpx.get(f"{api}/health", timeout=5)
    assert not deployment["paused"]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_without_a_server_it_runs_all_the_same(project):
    (project / "dvc.yaml").write_text("stages:\n  report:\n    cmd: python report.py\n")

    done = retrain(project, environment(project.parent))

    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cron", "at three"], "--cron 'at three': not a cron expression; five fields, as in \"0 3 * * *\""),
        (["--repo", "/nowhere"], "/nowhere: no dvc.yaml in it; --repo wants the folder of a DVC pipeline"),
    ],
)
def test_a_wrong_argument_is_one_line(tmp_path, arguments, line):
    (tmp_path / "dvc.yaml").touch()

    done = retrain(tmp_path, environment(tmp_path), *arguments)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", line + "\n")


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "dvc.yaml").touch()

    done = retrain(tmp_path, {**environment(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"})

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("http://127.0.0.1:9/api: no Prefect server answers there; start it")
    assert done.stderr.count("\n") == 1


def test_a_broken_gate_stops_what_would_be_built_on_the_labels(server, project):
    _, env = server
    (project / "dvc.yaml").write_text(STAGES + AUDIT)
    gates = [{"name": name, "condition": f"avg({name}) > 1", "broken": name == "drift"} for name in ("step", "drift")]
    (project / "verdict.json").write_text(json.dumps({"gates": gates}))

    done = retrain(project, env)

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "audit: gate drift broken: avg(drift) > 1"
    assert (project / "i02.txt").exists()
    assert not (project / "another.txt").exists()
    assert not (project / "metrics.json").exists()

    (project / "verdict.json").write_text(json.dumps({"gates": [{**gate, "broken": False} for gate in gates]}))
    assert retrain(project, env).returncode == 0
    assert (project / "metrics.json").exists()
