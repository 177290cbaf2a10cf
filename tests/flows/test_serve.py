"""Schedules and servers: what is refused before anything starts, and a schedule that brings its own server."""

from __future__ import annotations

import re
import signal
import sys
from typing import Any

import httpx
import pytest

from flows.serve import CannotServe, lost
from lmk.errors import GateBroken
from tests.flows.projects import IN_ORDER, PATIENCE, ROOT, ask, environment, retrain, running, tasks_of, until


def test_a_schedule_fires_on_a_server_that_it_starts_by_itself(project):
    env, log = environment(project.parent), project.parent / "log"
    # A shell's background jobs ignore interrupts, and so would what they start.
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from flows.retrain import retrain\nfrom flows.serve import keep, server\n"
        f"with server(): keep(retrain, {str(project)!r}, interval=5)"
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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
def test_a_killed_flow_takes_its_server_with_it(project):
    env, log = environment(project.parent), project.parent / "log"
    (project / "dvc.yaml").write_text("stages:\n  ingest: {cmd: sleep 60, deps: [data]}\n")

    with running(sys.executable, "-m", "flows.retrain", "--repo", str(project), env=env, cwd=ROOT, log=log) as process:
        said = until(lambda: re.search(r"Prefect server: (\S+)", log.read_text()), "the server's address")
        assert httpx.get(f"{said[1]}/api/health", timeout=5).status_code == 200
        process.kill()
        process.wait()

        def gone() -> bool:
            try:
                return httpx.get(f"{said[1]}/api/health", timeout=5) is None
            except httpx.TransportError:
                return True

        assert until(gone, "the end of the server")


def test_a_cron_expression_that_is_none_is_one_line(tmp_path):
    (tmp_path / "dvc.yaml").touch()

    done = retrain(tmp_path, environment(tmp_path), "--cron", "at three")

    line = "--cron 'at three': not a cron expression; five fields, as in \"0 3 * * *\"\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "dvc.yaml").touch()

    done = retrain(tmp_path, {**environment(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"})

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("http://127.0.0.1:9/api: no Prefect server answers there; start it")
    assert done.stderr.count("\n") == 1


def test_what_ended_a_run_is_told_although_its_server_is_gone():
    def run(reason):
        try:
            if reason:
                raise reason
        finally:
            raise httpx.ConnectError("refused")

    broken = GateBroken("audit: gate drift broken")
    for reason, told in ((broken, broken), (None, CannotServe("the Prefect server no longer answers (refused); …"))):
        with pytest.raises(httpx.ConnectError) as raised:
            run(reason)
        assert type(lost(raised.value)) is type(told)
        assert str(lost(raised.value))[:40] == str(told)[:40]
