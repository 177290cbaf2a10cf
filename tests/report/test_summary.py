"""The plan and the summary of a cleaning, in plain words."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from lmk.audit.numbers import audited
from lmk.report.summary import plan, summary
from lmk.store import write_annotations
from lmk.workspace import Workspace
from tests.cli.lines import parse


@pytest.fixture
def said(human, tmp_path):
    """What is said of one refined iteration."""

    def make(shift, gates=None, evidence=None, provenance=None, folder="a folder"):
        paths = Workspace(tmp_path / folder)
        write_annotations(human, paths.annotations("i00"))
        evidence = {"chi2": np.where(human.in_split("train")[:, None], 1.0, np.nan), **(evidence or {})}
        moved = human.points + shift * human.in_split("train")[:, None, None]
        write_annotations(human.moved(moved, 1, evidence, provenance or {}), paths.annotations("i01"))
        names = ["i00", "i01"]
        return summary(paths, names, audited(paths, names, gates or {})), paths

    return make


def test_what_moved_is_said_and_the_commands_are_ones(said):
    text, paths = said(np.array([0.3, 0.4]))

    assert "816 of 816 searched points moved: on average 0.50 px" in text
    assert text.endswith(f"Report: {paths.report}")
    commands = [line.strip().removeprefix("lmk ") for line in text.splitlines() if line.startswith("  lmk ")]
    assert len(commands) == 2
    for command in commands:
        parse(shlex.split(command, comments=True))


def test_nothing_moved(said):
    assert "816 points were searched, and none moved." in said(np.zeros(2))[0]


def test_a_broken_gate_comes_first(said):
    text, _ = said(np.array([3.0, 0.0]), gates={"far": "max(drift) > 1", "near": "max(drift) > 9"})

    assert text.splitlines()[0].startswith("gate far broken: max(drift) > 1")
    assert "near" not in text


def test_suspects_are_counted_and_where_to_look_is_said(said, human):
    suspicion = np.where(np.arange(68) < 3, 0.9, 0.0) * np.ones((20, 1))
    reason = np.where(suspicion > 0.5, np.array("stray", object), np.array(None))

    text, paths = said(np.ones(2), evidence={"suspicion": suspicion, "reason": reason})

    assert "60 human points, in 20 places, look like mistakes." in text
    assert f"lmk suspects '{paths.root}'" in text


def test_why_the_alternation_stopped_is_said(said):
    assert "The alternation stopped: i01 was kept." in said(np.ones(2), provenance={"stopped": "i01 was kept"})[0]


def test_human_labels_alone_are_told(human, tmp_path):
    paths = Workspace(tmp_path)
    write_annotations(human, paths.annotations("i00"))

    assert "nothing has been refined" in summary(paths, ["i00"], audited(paths, ["i00"], {}))


def test_the_plan_names_every_iteration_and_its_budget(human, small, tmp_path):
    text = plan(human, small, Workspace(tmp_path / "out"))

    assert "20 instances with 68 points" in text
    assert "64 images seen" in text
    for name in ("i01", "i02"):
        assert f"  {name}: labels refined by align, then the detector trains on, up to 16 images seen" in text
    last = small.changed(refine=small.refine.changed(schedule={
        "i01": {"prev": "i00", "refiner": "align", "images": 0, "learning_rate": 1e-3}}, last="i01"))  # fmt: skip
    assert "  i01: labels refined by align, no training" in plan(human, last, Workspace(tmp_path / "out"))
