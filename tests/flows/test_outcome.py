"""The summary of a run, whatever ended it; and names that flows and pipelines must spell alike."""

from __future__ import annotations

import json

import pytest

import flows.outcome
from flows.dvc import AUDIT, EVALUATE, METRICS, REPORT, Done, DvcFailed
from flows.outcome import PAGE, VERDICT, Run, metrics, summarised
from lmk.errors import GateBroken
from pipelines.paths import Paths
from tests.flows.projects import environment
from tests.test_dvc import GRAPH

GATES = [{"name": name, "condition": f"avg({name}) > 1", "broken": name != "step"} for name in ("step", "drift", "far")]


@pytest.fixture(autouse=True)
def without_prefect(tmp_path, monkeypatch):
    """DVC is real; a stage runs as a plain function, and the summary is kept in a file."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(flows.outcome, "reproduce", flows.outcome.reproduce.fn)
    monkeypatch.setattr(
        flows.outcome, "create_markdown_artifact", lambda text, **_: (tmp_path / "summary").write_text(text)
    )


def rows(summary):
    lines = summary.split("\n\n")[0].splitlines()[2:]
    return {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in lines)}


def test_the_names_are_those_of_the_pipeline():
    paths = Paths()

    assert {AUDIT, EVALUATE, REPORT} <= GRAPH.keys()
    assert (str(paths.metrics), str(paths.audit), str(paths.report)) == (METRICS, VERDICT, PAGE)


def test_broken_gates_are_named_with_their_conditions(judged):
    run = Run(str(judged))
    (judged / "artifacts").mkdir()
    (judged / VERDICT).write_text(json.dumps({"gates": GATES}))

    assert run.broken_gates() == "gate drift broken: avg(drift) > 1; gate far broken: avg(far) > 1"

    (judged / VERDICT).write_text(json.dumps({"gates": GATES[:1]}))
    assert run.broken_gates() == ""


def test_a_verdict_that_cannot_be_read_passes_nothing_and_is_the_audits_failure(judged):
    run = Run(str(judged))
    (judged / "artifacts").mkdir()
    for verdict in (None, "", "[]", '{"gates": [{"name": "drift"}]}'):
        run.done = dict.fromkeys(["data.dvc", "refine", "audit"], Done("ran", 1.0))
        if verdict is not None:
            (judged / VERDICT).write_text(verdict)

        with pytest.raises(DvcFailed, match=f"^audit: {VERDICT}: no verdict to be read in it") as raised:
            run.broken_gates()

        found = rows(run.summary(raised.value))
        assert (found["refine"], found["audit"], found["downstream"]) == ("ran", "**failed**", "waits")


def test_the_summary_names_what_failed_and_why_and_what_was_not_begun(judged):
    (judged / "measure.py").write_text("raise SystemExit('no faces')")

    def bring_all():
        with summarised(str(judged)) as run:
            for stage in run.stages:
                run.bring(stage)

    with pytest.raises(DvcFailed, match=r"^evaluate: no faces$"):
        bring_all()

    summary = (judged.parent / "summary").read_text()
    expected = {"data.dvc": "unchanged", "refine": "ran", "audit": "ran", "downstream": "ran",
                "evaluate": "**failed**", "report": "waits"}  # fmt: skip
    assert rows(summary) == expected
    assert "evaluate: no faces" in summary
    assert "What moved" not in summary


def test_what_is_interrupted_is_called_stopped_and_what_waits_is_not(judged, monkeypatch):
    def reproduce(repo, stage):
        if stage == "refine":
            raise KeyboardInterrupt
        return Done("unchanged", 1.0)

    def bring_two():
        with summarised(str(judged)) as run:
            run.bring("data.dvc")
            run.bring("refine")

    monkeypatch.setattr(flows.outcome, "reproduce", reproduce)
    with pytest.raises(KeyboardInterrupt):
        bring_two()

    summary = (judged.parent / "summary").read_text()
    assert list(rows(summary).values())[:3] == ["unchanged", "**stopped**", "waits"]
    assert "KeyboardInterrupt" in summary


def test_a_report_of_another_run_is_not_named(judged):
    (judged / PAGE).parent.mkdir(parents=True)
    (judged / PAGE).write_text("last night's")

    assert "What moved" not in Run(str(judged)).summary(GateBroken("audit: gate drift broken"))


def test_metrics_that_cannot_be_shown_are_said_to_be_missing_and_fail_nothing(judged):
    (judged / "metrics.json").write_text('{"learnt": 1.625}')
    assert "1.625" in metrics(str(judged))
    (judged / "metrics.json").write_text("{")
    assert "failed to load" in metrics(str(judged))

    (judged / ".dvc/config").write_text("[core")
    assert metrics(str(judged)).startswith("No metrics: dvc metrics: ")


def test_a_summary_that_cannot_be_kept_does_not_hide_what_ended_the_run(judged, monkeypatch, capsys):
    def refused(text, **_):
        raise flows.outcome.httpx.ConnectError("no server")

    monkeypatch.setattr(flows.outcome, "create_markdown_artifact", refused)

    with pytest.raises(GateBroken, match="drift"), summarised(str(judged)):
        raise GateBroken("audit: gate drift broken")

    assert "the summary could not be kept" in capsys.readouterr().out
