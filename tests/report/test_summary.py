"""The end of `lmk clean`: what it says in each case, and that the commands it names work."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lmk.audit.numbers import audited
from lmk.audit.results import Numbers
from lmk.cli import main
from lmk.history.gates import Verdict
from lmk.report.summary import WEAK, Summary, in_words, next_steps, summarise, typed
from lmk.store import write_annotations
from lmk.workspace import Workspace
from tests.report.reports import make

SHIFT = 3.0  # pixels that every point of train moves to the right


def summary(**changes):
    """12 of 40 points moved, all well."""
    plain = {
        "paths": Workspace(Path("cleaned")),
        "numbers": Numbers("i02", "all", 40, mean=1.234, percent=0.987, p95=4.567, unchanged=0.7, suspected=0.0),
        "swapped": 0,
        "refiner": "consensus",
        "suspected": 0,
        "places": 0,
        "gates": (Verdict("across", "percent > 25", False, 0),),
        "stopped": None,
        "form": "pts",
    }
    return Summary(**{**plain, **changes})


def commands(one):
    return [step.command for step in next_steps(one)]


def test_a_cleaning_without_trouble():
    assert in_words(summary()).splitlines() == [
        "i02: 12 of 40 points moved; the distance is 1.23 px on average (0.99 % of the box), and "
        "4.57 px or less for 95 % of the points.",
        "No human point looks like a mistake.",
        "1 gate holds.",
        "",
        "What to do next:",
        "  Take the labels back to your tools.",
        "    lmk export cleaned/labels.parquet --format pts -o cleaned-pts",
        "Report: cleaned/report/index.html",
    ]


def test_nothing_moved():
    still = summary(numbers=Numbers("i01", "all", 40, mean=0.0, percent=0.0, unchanged=1.0), refiner="keep")
    text = in_words(still)

    assert "i01: no point moved, of 40 points that were looked at." in text
    assert "Nobody looked for mistakes among the human points; refiner keep does not." in text
    assert commands(still) == ["lmk log cleaned"]


def test_no_iteration_at_all():
    none = summary(numbers=None, refiner=None, gates=())

    assert in_words(none).startswith("No iteration was asked for: the labels are the human ones.\n")
    assert commands(none) == ["lmk log cleaned"]


def test_many_suspects():
    text = in_words(summary(suspected=1234, places=56))

    assert "1,234 human points in 56 places look like mistakes." in text
    assert commands(summary(suspected=1234, places=56))[0] == "lmk suspects cleaned"
    assert "1 human point in 1 place looks like a mistake." in in_words(summary(suspected=1, places=1))


def test_a_broken_gate_comes_first_and_the_labels_are_not_taken_away():
    gates = (Verdict("far", "percent\n> 25", True, 7), Verdict("all", "avg(drift) > 1", True, None))
    text = in_words(summary(gates=gates, suspected=3, places=2))

    assert "Gate far broken: percent\n> 25 (7 points)." in text
    assert "Gate all broken: avg(drift) > 1." in text
    first, second = commands(summary(gates=gates, suspected=3, places=2))
    assert "AND (percent > 25) ORDER BY drift DESC" in first
    assert second == "lmk suspects cleaned"


def test_a_detector_that_is_too_weak_comes_first_and_says_what_helps():
    gates = (Verdict("across", "percent > 25", True, 7), Verdict("judge", "count(*) > 0", True, None))
    [first, *_] = next_steps(summary(gates=gates))

    assert first.says == WEAK
    assert "avg(error_network) AS network" in first.command


def test_a_gate_that_could_not_be_judged_is_said():
    gates = (Verdict("doubtful", "avg(suspicion) > 1", False, None, "suspicion is empty in i02"),)

    assert "Gate doubtful could not be judged: suspicion is empty in i02." in in_words(summary(gates=gates))


def test_a_stopped_alternation_and_exchanged_sides_are_said():
    text = in_words(summary(stopped="i01 was kept: the network trained after it agrees less", swapped=2))

    assert "stopped early, and the labels are those of an earlier iteration: i01 was kept: the network" in text
    assert "The sides of 2 instances were exchanged; these are not in the numbers above." in text


def test_labels_go_back_where_nothing_is_in_the_way(tmp_path):
    (tmp_path / "out-pts").mkdir()
    paths = Workspace(tmp_path / "out")

    assert commands(summary(paths=paths))[-1].endswith(f"-o {tmp_path}/out-pts-2")
    assert commands(summary(paths=paths, form="csv"))[-1].endswith(f"--format csv -o {tmp_path}/out.csv")


@pytest.mark.parametrize("word", ["a b", "it's", 'x = "y"', "name = 'a'", "$HOME `id` \\ !x", "", "*"])
def test_what_is_typed_is_what_a_shell_hands_on(word):
    done = subprocess.run(["/bin/sh", "-c", f"printf '%s' {typed(word)}"], capture_output=True, text=True, check=True)

    assert done.stdout == word


@pytest.fixture
def folder(tmp_path):
    """A folder with a space in its name: all points of train moved, two of them under suspicion."""
    images = tmp_path / "images"
    human = make(images, ["a.png", "b.png", "c.png"])
    train = human.in_split("train")[:, None]
    points = human.points + np.where(train[..., None], [SHIFT, 0.0], 0.0)
    shape = human.labelled.shape
    suspicion = np.where(train, 0.1, np.nan)
    suspicion[0, :2] = 0.9
    reason = np.full(shape, None, object)
    reason[0, :2] = "slip"
    evidence = {"suspicion": suspicion, "reason": reason, "chi2": np.where(train, 1.0, np.nan)}
    paths = Workspace(tmp_path / "my labels")
    write_annotations(human, paths.annotations("i00"))
    refined = human.moved(points, 1, evidence, {"refiner": "consensus", "parent_iteration": "i00"})
    write_annotations(refined, paths.annotations("i01"))
    write_annotations(refined, paths.labels)
    return paths


@pytest.mark.parametrize(
    "gates",
    [
        {},
        {"judge": "avg(drift) > 1"},
        {"far": "drift > 2 AND name <> '\"'"},
        {"all": "avg(drift) > 1"},
        {"odd": "drift > 0 -- all"},
    ],
)
def test_a_folder_is_summarised_and_every_command_works_as_printed(folder, gates, capsys):
    found = audited(folder, ["i00", "i01"], gates)
    one = summarise(folder, ["i00", "i01"], found)

    assert (one.moved, one.suspected, one.places, one.stopped) == (136, 2, 1, None)
    assert f"136 of 136 points moved; the distance is {SHIFT:.2f} px on average" in in_words(one)
    assert len(one.broken) == len(gates)
    assert 2 <= len(next_steps(one)) <= 3
    capsys.readouterr()
    for command in commands(one):
        program, *words = shlex.split(command)
        assert program == "lmk"
        assert main(words) == 0, command
        assert capsys.readouterr().out.count("\n") > (0 if "export" in words else 1), command
