"""A part of the fuzzing with a fixed seed, and that the harness finds what it is there for."""

from __future__ import annotations

import signal

import pytest

from lmk.errors import FormatError
from tests.fuzz import harness
from tests.fuzz.targets import QUICK, TARGETS, Target

SEED = 17


def test_no_damage_of_any_file_is_more_than_one_line():
    tallies = harness.fuzz([(name, 0, QUICK[name]) for name in TARGETS], SEED)

    assert [finding for tally in tallies.values() for finding in tally.findings] == []
    assert {name: tally.tried for name, tally in tallies.items()} == QUICK
    # Mutations that every reader takes for good would find nothing.
    assert sum(tally.refused for tally in tallies.values()) > 0.3 * sum(tally.tried for tally in tallies.values())


def _hangs(folder):
    while True:
        pass


def _says(message):
    def read(folder):
        raise FormatError(message.format(folder=folder))

    return read


def _crashes(folder):
    raise KeyError("missing")


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda folder: None, None),
        (_says("{folder}/a: not a file"), None),
        (_crashes, "KeyError: 'missing'"),
        (_says("not a file"), "names no file"),
        (_hangs, "more than 0.2 seconds"),
    ],
)
def test_what_is_a_finding(read, found, monkeypatch, tmp_path):
    monkeypatch.setattr(harness, "SECONDS", 0.2)
    monkeypatch.setitem(TARGETS, "it", Target(lambda folder: None, [("a", lambda data, rng: data + b"!")], read))
    (tmp_path / "a").write_bytes(b"good")
    before = signal.getsignal(signal.SIGALRM)

    _, wrong = harness.run_case("it", 0, SEED, tmp_path)
    signal.signal(signal.SIGALRM, before)

    assert (wrong is None) if found is None else (found in wrong)


def test_a_child_that_dies_is_a_finding_and_the_next_case_is_tried(monkeypatch):
    lines = [
        [{"target": "it", "case": 0}, {"target": "it", "done": 0, "refused": True, "wrong": None},
         {"target": "it", "case": 1}],
        [{"target": "it", "case": 2}, {"target": "it", "done": 2, "refused": False, "wrong": None}],
    ]  # fmt: skip
    asked = []

    def child(plan, seed):
        asked.append(plan)
        yield from lines[len(asked) - 1]

    monkeypatch.setattr(harness, "_child", child)

    tally = harness.fuzz([("it", 0, 3)], SEED)["it"]

    assert (tally.tried, tally.refused) == (3, 1)
    assert [finding["case"] for finding in tally.findings] == [1]
    assert asked == [[("it", 0, 3)], [("it", 2, 3)]]
