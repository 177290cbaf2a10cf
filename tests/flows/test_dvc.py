"""Running DVC: the order of a real project's stages, what became of them, and failures in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flows.dvc import DvcFailed, ask, failure, order, reproduce
from tests.flows.projects import IN_ORDER, environment


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_the_order_is_that_of_the_graph(project):
    assert order(str(project)) == IN_ORDER


def test_whatever_the_audit_does_not_need_comes_after_it(project):
    # `early` needs less than the audit, and stands before it in dvc.yaml and in the order of the graph.
    more = "  early: {cmd: cp i00.txt early.txt, deps: [i00.txt], outs: [early.txt]}\n"
    more += "  audit: {cmd: cp i02.txt audit.txt, deps: [i02.txt], outs: [audit.txt]}\n"
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("stages:\n", "stages:\n" + more))

    found = order(str(project))

    assert found[:5] == ["data.dvc", "ingest", "refine@i01", "refine@i02", "audit"]
    assert set(found[5:]) == {"early", "report"}


def test_a_warning_is_no_stage(project, monkeypatch):
    (project.parent / "sitecustomize.py").write_text("import sys\nsys.stderr.write('mind the \"ghost\"\\n')\n")
    monkeypatch.setenv("PYTHONPATH", str(project.parent))

    assert order(str(project)) == IN_ORDER


def test_what_dvc_did_is_told_from_what_a_stage_says(project):
    (project / "report.py").write_text(
        (project / "report.py").read_text() + "print('every crop is cached, the set didn\\'t change')\n"
    )
    repo = str(project)
    first = [reproduce.fn(repo, stage).outcome for stage in IN_ORDER]
    again = [reproduce.fn(repo, stage).outcome for stage in IN_ORDER]
    (project / "i02.txt").unlink()

    assert first == ["unchanged", "ran", "ran", "ran", "ran"]
    assert again == ["unchanged"] * 5
    assert reproduce.fn(repo, "refine@i02").outcome == "cached"


def test_a_graph_that_is_broken_is_not_called_a_stage_that_failed(project):
    (project / "dvc.yaml").write_text("stages: [")

    with pytest.raises(DvcFailed) as raised:
        order(str(project))

    assert str(raised.value) == "dvc dag: './dvc.yaml' is invalid. While parsing a flow node, in line 2, column 1"
    assert not raised.value.passing


def test_a_question_that_dvc_does_not_know_is_named_by_its_command(project):
    with pytest.raises(DvcFailed, match=r"^dvc status: "):
        ask(str(project), "status", "nothing-like-it")


RAN = "ERROR: failed to reproduce 'x': failed to run: python x.py, exited with {}"


@pytest.mark.parametrize(
    ("code", "errors", "line", "passing"),
    [
        (255, ["reading", "x.pts: no points", RAN.format(1)], "x: x.pts: no points", False),
        (255, [RAN.format(1)], "x: failed to reproduce 'x': failed to run: python x.py, exited with 1", False),
        (255, [RAN.format(137)], "x: killed by signal 9", True),
        (255, ["Killed", RAN.format(-9)], "x: killed by signal 9", True),
        (-15, [], "x: killed by signal 15", True),
        (255, ["no such host", RAN.format(255)], "x: no such host", False),  # ssh's, and no signal
        (255, ["WARNING: old", "ERROR: Unable to acquire lock."], "x: Unable to acquire lock.", True),
        (1, ["python: No module named dvc"], "x: python: No module named dvc", False),
        (1, ["Traceback (most recent call last):", '  File "x.py"', "KeyError: 1"], "x: KeyError: 1", False),
        (2, [], "x: dvc ended with exit code 2", False),
    ],
)
def test_a_failure_is_one_line_and_says_whether_another_try_may_do_better(code, errors, line, passing):
    found = failure("x", code, errors)

    assert (str(found), found.passing) == (line, passing)


def test_a_list_of_files_in_use_that_a_killed_dvc_left_empty_is_mended(project, capfd):
    damaged = project / ".dvc" / "tmp" / "rwlock"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_text("")
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "ingest"]
    by_hand = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert "JSON structure is corrupted" in by_hand.stderr  # else DVC has mended it, and we need not

    assert reproduce.fn(str(project), "ingest").outcome == "ran"

    assert "was left damaged" in capfd.readouterr().err
