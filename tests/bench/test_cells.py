"""Cells: nothing that was measured is lost, and nothing is measured twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import Namespace

import pytest

from bench.cells import Cells
from lmk.errors import FormatError
from tests.conftest import ROOT

RUN = Namespace(again=False, page=False, work="work")
KEYS = [("b", 12), ("a", 2), ("a", 11)]


def cells_of(folder, recipe="today"):
    return Cells("some", ("noise", "seed"), lambda key: {"recipe": f"{recipe} {key['noise']}"}, folder)


def test_a_killed_run_goes_on_where_it_was(tmp_path, capsys):
    asked = []

    def make(noise, seed, work):
        asked.append((noise, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {"error": seed / 7, "work": work}

    with pytest.raises(KeyboardInterrupt):
        cells_of(tmp_path).fill(KEYS, make, lambda cell: f"{cell['error']:.1f}", RUN)
    before = cells_of(tmp_path).all()
    cells_of(tmp_path).fill(KEYS, make, lambda cell: f"{cell['error']:.1f}", RUN)

    assert asked == [*KEYS, KEYS[2]]
    assert [(cell["noise"], cell["seed"]) for cell in before] == [("a", 2), ("b", 12)]
    found = cells_of(tmp_path).all()
    assert [cell["error"] for cell in found] == [2 / 7, 11 / 7, 12 / 7]
    assert found[::2] == before
    assert capsys.readouterr().out.splitlines() == [
        "some b 12 (1 of 3): 1.7", "some a 2 (2 of 3): 0.3", "some a 11 (1 of 1): 1.6",
    ]  # fmt: skip


def test_a_file_has_one_cell_a_line_with_its_key_first_and_in_the_order_of_keys(tmp_path):
    cells = cells_of(tmp_path)

    for key in KEYS:
        cells.keep(key, {"zeta": 0.1 + 0.2, "alpha": [1, None]})

    assert cells.path.read_text().splitlines() == [
        f'{{"noise": "{noise}", "seed": {seed}, "alpha": [1, null], "recipe": "today {noise}", '
        '"zeta": 0.30000000000000004}'
        for noise, seed in (("a", 2), ("a", 11), ("b", 12))
    ]


def test_a_cell_of_another_recipe_is_made_again_and_the_others_are_not(tmp_path):
    cells_of(tmp_path, "yesterday").keep(("a", 2), {"error": 1})
    cells_of(tmp_path).keep(("a", 11), {"error": 2})
    cells = cells_of(tmp_path)
    asked = []

    def make(*key_and_work):
        asked.append(key_and_work)
        return {"error": 3}

    assert [cell["seed"] for cell in cells.all()] == [2, 11]
    assert [cell["seed"] for cell in cells.current()] == [11]
    cells.fill(KEYS[1:], make, str, Namespace(again=False, page=True, work=None))
    assert asked == []
    cells.fill(KEYS[1:], make, str, RUN)
    assert asked == [("a", 2, "work")]
    assert [cell["error"] for cell in cells.current()] == [3, 2]
    cells.fill(KEYS[1:], make, str, Namespace(again=True, page=False, work="again"))
    assert asked[1:] == [("a", 2, "again"), ("a", 11, "again")]


def test_processes_that_fill_one_file_lose_nothing_of_each_other_s(tmp_path):
    go, count, seeds = tmp_path / "go", 4, 25
    code = f"""
import sys, time
from pathlib import Path
from bench.cells import Cells
cells = Cells("some", ("noise", "seed"), lambda _: {{}}, Path({str(tmp_path)!r}))
Path({str(tmp_path)!r}, "ready" + sys.argv[1]).touch()
while not Path({str(go)!r}).exists():
    time.sleep(0.001)
for seed in range({seeds}):
    cells.keep((sys.argv[1], seed), {{"error": seed}})
"""
    started = [subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=ROOT) for number in range(count)]
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("ready*"))) < count and time.monotonic() < until:
        time.sleep(0.01)

    go.touch()

    assert [process.wait(timeout=60) for process in started] == [0] * count
    found = Cells("some", ("noise", "seed"), lambda _: {}, tmp_path).all()
    assert [(cell["noise"], cell["seed"]) for cell in found] == [
        (str(number), seed) for number in range(count) for seed in range(seeds)
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"go", "some.jsonl", *(f"ready{n}" for n in range(count))}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("<<<<<<< HEAD", "some.jsonl:2: not a cell of this bench"),
        ('{"noise": "b"}', "some.jsonl:2: not a cell of this bench"),
        ("[]", "some.jsonl:2: not a cell of this bench"),
        ('{"noise": "a", "seed": 2, "error": 2}', "some.jsonl:2: a second cell of a 2; delete one"),
    ],
)
def test_a_damaged_file_is_refused_by_line_and_left_as_it_is(line, said, tmp_path):
    cells = cells_of(tmp_path)
    text = f'{{"noise": "a", "seed": 2, "error": 1}}\n{line}\n'
    cells.path.write_text(text)

    for work in (cells.all, lambda: cells.keep(("a", 3), {})):
        with pytest.raises(FormatError, match=said):
            work()
    assert cells.path.read_text() == text


@pytest.mark.parametrize("bench", ["label_truth.__main__", "downstream.__main__", "ablations.__main__", "ambiguity"])
def test_the_committed_cells_are_as_the_bench_writes_them(bench, tmp_path):
    import importlib

    cells = importlib.import_module(f"bench.{bench}").CELLS
    copy = Cells(cells.name, cells.fields, lambda _: {}, tmp_path)
    text = cells.path.read_text()
    first = json.loads(text.splitlines()[0])
    copy.path.write_text(text)

    copy.keep(copy.key(first), {name: value for name, value in first.items() if name not in copy.fields})

    assert copy.path.read_text() == text
    assert cells.current()
