"""The flow against what it drives: a real DVC project, a real Prefect server, a lock that is held, a process killed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from tests.flows.projects import (
    GOOD,
    IN_ORDER,
    PATIENCE,
    ROOT,
    ask,
    environment,
    last_run,
    retrain,
    running,
    summary_of,
    tasks_of,
    until,
)

BAD = "import sys\nsys.stderr.write('reading\\ndata/7.pts: body has 67 points\\n')\nprint('bye')\nsys.exit(1)\n"
KILLED = "import os\nif not os.path.exists('tried'):\n    open('tried', 'w').close()\n    os.kill(os.getpid(), 9)\n"
PAGE = "artifacts/report/index.html"


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
    summary = summary_of(api, run)
    assert "| data.dvc | unchanged |" in summary
    assert "| refine@i02 | ran |" in summary
    assert "1.625" in summary
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
    summary = summary_of(api, run)
    assert "| report | **failed** |" in summary
    assert "1.625" not in summary


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


def test_without_a_server_it_runs_all_the_same_and_what_failed_is_the_last_line(project):
    stages = "stages:\n  report: {cmd: python report.py, deps: [made]}\n  first: {cmd: touch made, outs: [made]}\n"
    (project / "dvc.yaml").write_text(stages)
    (project / "report.py").write_text(BAD)

    done = retrain(project, environment(project.parent))

    assert (project / "made").is_file()
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "report: data/7.pts: body has 67 points")


def test_a_folder_that_is_no_pipeline_is_one_line(tmp_path):
    done = retrain(tmp_path, environment(tmp_path))

    line = f"{tmp_path}: no dvc.yaml in it; --repo wants the folder of a DVC pipeline\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def judge(project, *broken, data=None):
    """Set tonight's labels and the gates that will say no of them."""
    gates = [{"name": name, "condition": f"avg({name}) > 1", "broken": name in broken} for name in ("step", "drift")]
    (project / "verdict.json").write_text(json.dumps({"gates": gates}))
    if data is not None:
        (project / "data/a").write_text(f"{data}\n")


def outcomes(summary):
    lines = summary.split("\n\n")[0].splitlines()[2:]
    return {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in lines)}


def test_labels_that_a_gate_refuses_are_shown_but_nothing_is_built_on_them(server, judged):
    api, env = server
    judge(judged)
    assert retrain(judged, env).returncode == 0
    good = (judged / PAGE).read_bytes()
    assert good == b"labels 1; learnt 1.0"

    judge(judged, "drift", data=2)
    done = retrain(judged, env)

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "audit: gate drift broken: avg(drift) > 1"
    assert "Traceback" not in done.stdout + done.stderr
    assert (judged / PAGE).read_text() == "labels 2; drift broken"  # tonight's, and not what last night's labels taught
    assert (judged / "trained.txt").read_text() == "1\n"
    run = last_run(api)
    assert run["state"]["type"] == "FAILED"
    summary = summary_of(api, run)
    assert outcomes(summary) == {"data.dvc": "checked", "refine": "ran", "audit": "ran, **a gate is broken**",
                                 "downstream": "waits", "evaluate": "waits", "report": "ran"}  # fmt: skip
    assert "gate drift broken: avg(drift) > 1" in summary
    assert f"What moved, and why: {judged / PAGE}" in summary
    assert "learnt" not in summary

    # DVC knows of all this: what was good comes back to the byte, and nothing is left for DVC to do.
    judge(judged, data=1)
    assert retrain(judged, env).returncode == 0
    assert (judged / PAGE).read_bytes() == good
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=judged, env=env, capture_output=True, text=True
    )
    assert "up to date" in status.stdout

    # A gate that is made tighter over measured labels leaves their measures on the page.
    judge(judged, "drift", "step")
    done = retrain(judged, env)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].count(" broken: ") == 2
    assert (judged / PAGE).read_text() == "labels 1; step broken; drift broken; learnt 1.0"


def test_labels_that_a_gate_refuses_in_the_first_run_are_shown_too_and_a_page_that_fails_hides_no_gate(server, judged):
    api, env = server
    judge(judged, "drift")
    done = retrain(judged, env)
    assert done.returncode == 3
    assert (judged / PAGE).read_text() == "labels 1; drift broken"

    (judged / "page.py").write_text(BAD)
    done = retrain(judged, env)

    assert done.returncode == 3
    gate, page = "audit: gate drift broken: avg(drift) > 1", "report: data/7.pts: body has 67 points"
    assert done.stderr.splitlines()[-1] == f"{gate}; no report of it: {page}"
    summary = summary_of(api, last_run(api))
    assert outcomes(summary)["report"] == "**failed**"
    assert "What moved" not in summary
