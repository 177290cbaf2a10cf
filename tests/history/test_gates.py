"""Gates: what a condition is about, when it is met, and when nobody can say."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import yaml

from lmk.config import known_profiles, profile_path
from lmk.errors import GateBroken, QueryError
from lmk.history.decisions import Wish, decide
from lmk.history.gates import Verdict, counted, judge, over_all_points, points_of, stop_if_broken
from lmk.history.sql import asking
from lmk.scheme import load_scheme
from tests.conftest import ROOT
from tests.history.sets import SCHEME, faces_like, folder, make, scattered

COUNT = 24
POINTS = COUNT * SCHEME.size


@pytest.fixture
def paths(tmp_path):
    """Human labels and an iteration that moves every point about a pixel."""
    human = scattered(COUNT, 0)
    names = [f"{number:02d}.jpg" for number in range(COUNT)]
    return folder(tmp_path, make(names, human), make(names, human + np.random.default_rng(0).normal(0, 1, human.shape)))


def verdict_on(paths, gate):
    with asking(paths) as questions:
        [verdict] = judge(questions, {"mine": gate}, "i01")
    return verdict


@pytest.mark.parametrize(
    ("gate", "is_broken", "points"),
    [
        ("drift > 1000", False, 0),
        ("drift > 0", True, POINTS),
        ("avg(drift) > 1000", False, None),
        ("avg(drift) > 0.1 -- px", True, None),
        ("SELECT count(*) > 5 FROM instances", True, None),
        ("with n as (select count(*) as c from points) select c < 5 from n", False, None),
    ],
)
def test_a_gate_is_a_condition_on_points_on_all_of_them_or_a_whole_question(paths, gate, is_broken, points):
    verdict = verdict_on(paths, gate)

    assert (verdict.broken, verdict.points) == (is_broken, points)
    with pytest.raises(GateBroken, match="gate mine broken") if is_broken else contextlib.nullcontext():
        stop_if_broken([verdict])


@pytest.mark.parametrize(
    ("condition", "all_points"),
    [
        ("percent > 25", False),
        ("true", False),
        ("1 = 2", False),
        ("NULL", False),
        ("row_number() OVER () > 3", False),
        ("drift > 3 * avg(drift) OVER (PARTITION BY landmark)", False),
        ("drift > (SELECT avg(drift) FROM points)", False),
        ("name = 'aggregate'", False),
        ("name <> 'GROUP BY clause or aggregate function'", False),
        ("avg(drift) > 2", True),
        ("count(*) > 3", True),
        ("max(name) = 'aggregate'", True),
        ("quantile_cont(drift, 0.9) > avg(drift) AND true", True),
        ("sum(sum(drift)) OVER () > 0", True),
        ("avg(drift) > (SELECT avg(drift) FROM points)", True),
    ],
)
def test_whether_a_condition_is_about_points_or_about_all_of_them_shows_in_what_it_says_of_none(
    paths, condition, all_points
):
    with asking(paths) as questions:
        assert over_all_points(questions, condition) is all_points


@pytest.mark.parametrize("gate", ["avg(drift) > x", "count(*) > 3 AND name = 'aggregate'", "drift > 2 * avg(drift)"])
def test_a_condition_about_points_and_all_of_them_at_once_says_what_is_wrong_and_what_would_work(paths, gate):
    with pytest.raises(QueryError, match=r"gate mine: .* about single points and about all of them at once; .*OVER"):
        verdict_on(paths, gate)


@pytest.mark.parametrize(
    "gate", ["drifft > 1", "avg(drift) > xx", "aggregate > 1", "drift > 1; DROP TABLE points", "drift >", ""]
)
def test_a_gate_that_cannot_be_asked_is_named_with_its_own_mistake(paths, gate):
    with pytest.raises(QueryError, match="gate mine") as mistake:
        verdict_on(paths, gate)

    assert "at once" not in str(mistake.value)


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("avg(at_edge::INT) > 0.2", "at_edge is empty in i01"),
        ("at_edge", "at_edge is empty in i01"),
        ("prior_cost > 1 OR at_edge", "prior_cost and at_edge are empty in i01"),
        ("SELECT avg(peak) < 0.1 FROM points WHERE iteration = 'i01'", "peak is empty in i01"),
        ("avg(drift) > NULL", "its condition is null in i01: avg(drift) > NULL"),
    ],
)
def test_a_gate_that_has_nothing_to_be_judged_by_neither_holds_nor_is_broken(paths, gate, why):
    verdict = verdict_on(paths, gate)

    assert (verdict.state, verdict.broken, verdict.unjudged) == ("not judged", False, why)
    assert str(verdict) == f"gate mine could not be judged: {why}"
    stop_if_broken([verdict])


def test_a_condition_that_is_null_for_some_points_is_judged_by_the_others(paths):
    assert verdict_on(paths, "along > 0 OR NULL").state == "broken"
    assert verdict_on(paths, "along > 1000").state == "holds"  # a landmark on no contour has no along
    assert verdict_on(paths, "avg(drift) > 0 OR avg(peak) > 0").state == "broken"


def test_verdicts_come_back_from_their_json_and_are_counted():
    verdicts = [
        Verdict("a", "drift > 0", True, 3),
        Verdict("b", "drift > 9", False, 0),
        Verdict("c", "avg(peak) > 1", False, None, "peak is empty in i01"),
    ]

    assert [Verdict.of(verdict.as_json()) for verdict in verdicts] == verdicts
    assert verdicts[0].as_json() == {"name": "a", "condition": "drift > 0", "broken": True, "points": 3}
    assert verdicts[2].as_json()["unjudged"] == "peak is empty in i01"
    assert counted(verdicts) == "1 gate holds, 1 could not be judged"
    assert counted([verdicts[1]] * 2) == "2 gates hold"


def test_a_gate_does_not_count_points_that_somebody_has_decided_on(paths):
    gates = {"far": "drift > 0", "whole": "(SELECT count(*) > 0 FROM points WHERE drift > 0 AND NOT decided)"}
    with asking(paths) as questions:
        assert [verdict.broken for verdict in judge(questions, gates, "i01")] == [True, True]

    decide(paths, Wish("revert", "landmark < 3", None, "me", None))
    assert verdict_on(paths, "drift > 0").points == COUNT * 5
    decide(paths, Wish("accept", "landmark >= 3", None, "me", None))

    assert verdict_on(paths, "drift > 0").state == "holds"
    assert verdict_on(paths, "avg(drift) > 0").unjudged == "no point of i01 was searched and is still undecided"


def test_exchanged_sides_can_break_a_gate_over_points_and_are_left_out_of_those_over_all(tmp_path):
    scheme = load_scheme("ibug68")
    human = faces_like(scheme, 30, 1)
    refined = human + 0.5
    refined[4] = human[4][scheme.flip]
    names = [f"{number:02d}.jpg" for number in range(30)]
    paths = folder(tmp_path, make(names, human, scheme), make(names, refined, scheme))

    assert verdict_on(paths, "swapped").points == 68
    assert verdict_on(paths, "max(drift) > 1").state == "holds"
    assert verdict_on(paths, "SELECT count(*) > 0 FROM findings WHERE what = 'swap'").broken


def test_the_points_of_a_gate_are_those_that_it_counts(paths):
    with asking(paths) as questions:
        rows = points_of(questions, "landmark = 3 AND drift > 0", "i01")

    assert len(rows) == COUNT
    assert {landmark for _, _, landmark in rows} == {3}


PARAMETERS = (ROOT / "params.yaml", *(profile_path(name) for name in known_profiles()))
SHIPPED = sorted({
    gate for place in PARAMETERS for gate in yaml.safe_load(place.read_text(encoding="utf-8"))["audit"]["gates"].items()
})  # fmt: skip


def moved(human, to_right=0.0, to_below=0.0, **evidence):
    """An iteration that moves points, all alike or as (N, K) says, with evidence likewise."""
    shape = human.labelled.shape
    values = {name: np.broadcast_to(value, shape) for name, value in {"chi2": 1.0, **evidence}.items()}
    shift = np.stack([np.broadcast_to(part, shape) for part in (to_right, to_below)], -1)
    return human.moved(human.points + shift, 1, values, {})


def first_third(human, value):
    """(N, K) a value for the first third of the instances, 0 for the others."""
    return np.where(np.arange(len(human.instances))[:, None] < len(human.instances) / 3, value, 0.0)


# How to break a shipped gate, and how not to; a new gate wants a line here.
SOME = (np.arange(12 * 68) % 20 == 0).reshape(12, 68)  # one in twenty points
JAW = np.where(np.arange(68) < 17, 8.0, 0.0)
ONE_SIDE = np.where(np.arange(68) < 8, 12.0, 0.0) * np.where(np.arange(12) % 2, 1, -1)[:, None]  # half of the jaw
BREAKS = {
    "across": lambda human: moved(human, to_right=9.0),
    "window": lambda human: moved(human, at_edge=first_third(human, 1.0).astype(bool)),
    "doubtful": lambda human: moved(human, suspicion=first_third(human, 0.9)),
    "judge": lambda human: moved(human, kept="detector too weak"),
    "far": lambda human: moved(human, to_right=15.0 * SOME, error_before=2.0, suspicion=0.9, reason="far off"),
    "landmark": lambda human: moved(human, to_right=np.where(np.arange(68) == 30, 5.0, 0.0)),
    "contour": lambda human: moved(human, to_below=JAW),
    "asymmetry": lambda human: moved(human, to_right=ONE_SIDE),
}
HOLDS = {
    "across": lambda human: moved(human, to_right=3.0),
    "window": lambda human: moved(human, at_edge=False),
    "doubtful": lambda human: moved(human, suspicion=0.4),
    "judge": lambda human: moved(human, kept="no peak"),
    "far": lambda human: moved(human, to_right=15.0 * SOME, error_before=2.0, suspicion=0.9, reason="slip"),
    "landmark": lambda human: moved(human, to_right=np.where(np.arange(12) % 2, 5.0, -5.0)[:, None]),
    "contour": lambda human: moved(human, to_below=JAW / 8),
    "asymmetry": lambda human: moved(human, to_right=ONE_SIDE * 0),
}


@pytest.mark.parametrize(("name", "gate"), SHIPPED)
def test_every_shipped_gate_can_break_and_can_hold(tmp_path, name, gate):
    scheme = load_scheme("ibug68")
    faces = faces_like(scheme, 12, 1)
    even = (faces + [120, 0] + faces[:, scheme.flip] * [-1, 1]) / 2
    human = make([f"{k}.jpg" for k in range(12)], even, scheme, box_x=0.0, box_y=0.0, box_size=120)

    broken = verdict_on(folder(tmp_path / "broken", human, BREAKS[name](human)), gate)
    holding = verdict_on(folder(tmp_path / "holding", human, HOLDS[name](human)), gate)

    assert (broken.state, holding.state) == ("broken", "holds")
