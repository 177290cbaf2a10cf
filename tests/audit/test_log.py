"""The log: what it says of iterations, and that its drift is the audit's."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from lmk.annotations import AnnotationSet
from lmk.audit.log import format_log, log_rows
from lmk.audit.numbers import audited
from lmk.cli import main
from lmk.history.decisions import Wish, decide
from lmk.scheme import load_scheme
from lmk.store import read_annotations
from tests.history.sets import faces_like, folder, make, scattered


def refined(before: AnnotationSet, points, number, chi2, edge) -> AnnotationSet:
    evidence = {"chi2": chi2, "at_edge": edge}
    return before.moved(points, number, evidence, {"producer": "refiner", "parent_iteration": f"i{number - 1:02d}"})


def test_the_log_counts_searched_points_only_and_reads_edges_as_numbers_or_truth_values(tmp_path):
    points = scattered(4, 9)
    split = np.repeat(["train", "train", "val", "test"], 8)
    boxes = {"box_x": 0.0, "box_y": 0.0, "box_size": 50.0}
    human = make(list("abcd"), points, split=split, **boxes)
    chi2 = np.where(human.in_split("train")[:, None], 1.0, np.nan) * np.ones((4, 8))
    chi2[0, 0] = np.nan
    edge = np.where(np.isfinite(chi2), 0.0, np.nan)
    edge[1, :3] = 1
    moved = points + np.where(np.isfinite(chi2), 2.0, 0)[..., None] * [1, 0]
    first = refined(human, moved, 1, chi2, edge)
    last = refined(first, moved, 2, np.ones((4, 8)), np.ones((4, 8), bool))

    rows = log_rows(folder(tmp_path, human, first, last))

    one, two, three = written = [row.as_json() for row in rows]
    assert (one["px"], one["moved"], one["instances"], one["points"]) == (None, None, 4, 32)
    assert (two["searched"], two["moved"], two["parent"]) == (15, 15, "i00")
    assert two["px"] == {"mean": pytest.approx(2, abs=0.01), "p95": pytest.approx(2, abs=0.02)}
    assert two["percent_of_box"] == {"mean": pytest.approx(4, abs=0.02), "p95": pytest.approx(4, abs=0.04)}
    assert (two["at_edge"], three["at_edge"]) == (3 / 15, 1.0)
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert list(two) == [
        "name", "parent", "producer", "refiner", "stopped", "memorised", "parameters", "instances", "points",
        "searched", "moved", "px", "percent_of_box", "at_edge",
    ]  # fmt: skip
    assert [line.split()[0] for line in format_log(rows).splitlines()[2:]] == ["i00", "i01", "i02"]


def test_without_evidence_all_points_count(tmp_path):
    points = scattered(2, 10)
    human = make(["a", "b"], points, split=np.repeat(["train", "test"], 8))
    paths = folder(tmp_path, human, human.moved(points + 1, 1, {}, {"producer": "someone"}))

    row = log_rows(paths)[1]

    assert row.drift.points == row.moved == 16
    assert (row.drift.at_edge, row.provenance.made_from) == (None, None)
    assert "someone" in format_log([row])


def test_the_log_says_that_an_iteration_repeats_another_and_why(human, tmp_path):
    stopped = human.moved(human.points, 1, {}, {"stopped": "i01 was kept: worse", "by_heart": 0.1})

    rows = log_rows(folder(tmp_path, human, stopped))

    assert rows[1].as_json()["stopped"] == "i01 was kept: worse"
    assert rows[1].as_json()["memorised"] == 0.1
    assert "stopped: i01 was kept: worse" in format_log(rows)
    assert "stopped" not in format_log(rows[:1])


@pytest.fixture
def strange(tmp_path):
    """Three iterations with an instance whose sides were exchanged, and points that moved without evidence."""
    scheme = load_scheme("ibug68")
    human = make([f"{k:02d}.jpg" for k in range(20)], faces_like(scheme, 20, 1), scheme, box_x=0, box_y=0, box_size=150)
    random = np.random.default_rng(0)
    chi2 = np.where(np.arange(20)[:, None] < 12, 1.0, np.nan) + np.zeros(human.labelled.shape)
    sets = [human]
    for number in (1, 2):
        points = human.points + np.where(np.isfinite(chi2)[..., None], random.normal(0, 2, human.points.shape), 0)
        points[4] = human.points[4][scheme.flip]
        points[15, :9] += 7.0 * number  # of an instance that nobody searched
        sets.append(refined(sets[-1], points, number, chi2, chi2 > 1))
    return folder(tmp_path, *sets)


def test_log_and_audit_say_the_same_of_exchanged_sides_and_of_points_that_moved_without_evidence(strange, capsys):
    names = list(strange.files())
    human, last = (read_annotations(strange.annotations(name)).points for name in ("i00", "i02"))
    counts = np.zeros(human.shape[:2], bool)
    counts[:12], counts[4], counts[15, :9] = True, False, True
    drift = np.linalg.norm(last - human, axis=-1)[counts]

    found, rows = audited(strange, names, {}).iterations, log_rows(strange)

    assert [row.drift for row in rows[1:]] == list(found)
    assert found[-1].points == counts.sum()
    assert found[-1].mean == pytest.approx(drift.mean(), rel=1e-5)
    assert main(["log", str(strange.root)]) == 0
    logged = re.findall(r"^i0[12].*$", capsys.readouterr().out, re.MULTILINE)
    assert main(["audit", str(strange.root)]) == 0
    printed = re.findall(r"^i0[12] +\d+ +(\d+\.\d+)", capsys.readouterr().out, re.MULTILINE)[:2]
    assert [line.split()[5] for line in logged] == printed
    assert main(["log", str(strange.root), "--json"]) == 0
    log = json.loads(capsys.readouterr().out)
    assert main(["audit", str(strange.root), "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert [row["px"]["mean"] for row in log[1:]] == [row["mean"] for row in audit["iterations"]]


def test_a_decision_changes_no_iteration_and_so_no_line_of_the_log(tmp_path):
    human = make(list("ab"), scattered(2, 3))
    paths = folder(tmp_path, human, refined(human, human.points + 3.0, 1, np.ones((2, 8)), np.zeros((2, 8), bool)))
    before = log_rows(paths)

    decide(paths, Wish("revert", "landmark = 2", None, "me", None))

    assert log_rows(paths) == before
