"""The ledger: nothing that was decided is lost, and everything can be taken back."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmk.errors import DataError, FormatError
from lmk.history import ledger
from lmk.store import read_annotations, write_annotations
from tests.history.sets import SCHEME, make, scattered

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def rows(annotations, action="accept", landmarks=range(SCHEME.size), images=NAMES):
    table = annotations.frame
    chosen = table[table["landmark"].isin(list(landmarks)) & table["image"].isin(list(images))]
    return chosen[["image", "instance", "landmark", "x", "y", "visibility"]].assign(
        action=action, decided_by="me", why=None
    )


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["accept", "revert"]),
            st.integers(0, 3),
            st.sets(st.integers(0, SCHEME.size - 1), min_size=1),
        ),
        max_size=8,
    )
)
@settings(max_examples=30, deadline=None)
def test_reverting_after_anything_brings_back_the_human_label_bit_for_bit(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("ledger")
    iterations = [make(NAMES, scattered(3, seed) + 0.3) for seed in range(4)]
    for number, labels in enumerate(iterations):
        write_annotations(labels, folder / f"i{number:02d}.parquet")
    human, *_, last = stored = [read_annotations(folder / f"i{number:02d}.parquet") for number in range(4)]
    decisions = folder / "decisions"
    for action, number, landmarks in steps:
        source = stored[number] if action == "accept" else human
        ledger.record(decisions, f"i{number:02d}", rows(source, action, landmarks))
    before = ledger.accepted(last, decisions)
    ledger.record(decisions, "i01", rows(human, "revert"))

    after = ledger.accepted(last, decisions)

    write_annotations(after, folder / "after.parquet")
    again = read_annotations(folder / "after.parquet").frame
    for name in ("x", "y"):
        assert again[name].to_numpy().tobytes() == human.frame[name].to_numpy().tobytes()
    # And until then, each point was where the last decision on it said, or the last iteration.
    for k in range(SCHEME.size):
        mine = [(action, number) for action, number, landmarks in steps if k in landmarks]
        source = last if not mine else human if mine[-1][0] == "revert" else stored[mine[-1][1]]
        np.testing.assert_array_equal(before.points[:, k], source.points[:, k])


def write_many(decisions, annotations, iteration, landmark, count):
    for _ in range(count):
        ledger.record(decisions, iteration, rows(annotations, landmarks=[landmark]))


def test_many_writers_at_once_lose_nothing(tmp_path):
    annotations = make(NAMES, scattered(3, 0))
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=write_many, args=(tmp_path, annotations, iteration, landmark, 25))
        for landmark, iteration in enumerate(["i01", "i01", "i02", "i01"])
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    decided = ledger.read(tmp_path)

    assert decided.groupby("landmark").size().tolist() == [75, 75, 75, 75]
    assert len(ledger.files(tmp_path)) == 100


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06])
def test_a_kill_leaves_a_whole_ledger(tmp_path, delay):
    annotations = make(NAMES, scattered(3, 0))
    ledger.record(tmp_path, "i01", rows(annotations))
    writer = multiprocessing.get_context("fork").Process(
        target=write_many, args=(tmp_path, annotations, "i01", 0, 10_000)
    )
    writer.start()
    time.sleep(delay)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()

    files = ledger.files(tmp_path)

    assert len(ledger.read(tmp_path)) == 24 + 3 * (len(files) - 1)
    ledger.record(tmp_path, "i01", rows(annotations))  # and it can be written on
    assert len(ledger.files(tmp_path)) == len(files) + 1


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / "i01" / ".decisions.0123abcd.tmp"
    left.mkdir(parents=True)
    (left / "new").touch()

    file = ledger.record(tmp_path, "i01", rows(make(NAMES, scattered(3, 0)), landmarks=[3]))

    assert list((tmp_path / "i01").iterdir()) == [file]


def test_only_decisions_on_earlier_iterations_are_seen_from_one(tmp_path):
    annotations = make(NAMES, scattered(3, 0))
    for iteration in ("i03", "i01", "i02"):
        ledger.record(tmp_path, iteration, rows(annotations, images=["a.jpg"]))

    assert ledger.read(tmp_path, before="i03")["iteration"].unique().tolist() == ["i01", "i02"]
    assert ledger.digest(tmp_path, before="i01") is None
    assert ledger.digest(tmp_path, before="i02") != ledger.digest(tmp_path)


def test_the_later_decision_counts_whatever_folder_it_is_in(tmp_path):
    first, second = make(NAMES, scattered(3, 0)), make(NAMES, scattered(3, 1))
    ledger.record(tmp_path, "i03", rows(first))
    ledger.record(tmp_path, "i01", rows(second))

    labels, places = ledger.with_decisions(make(NAMES, scattered(3, 2)), ledger.read(tmp_path))

    np.testing.assert_allclose(labels.points, second.points, atol=1e-4)
    assert places.all()


@pytest.mark.parametrize("visibility", [2, None])
def test_a_point_that_is_not_labelled_stays_so_unless_the_decision_says_what_it_is(tmp_path, visibility):
    points = scattered(3, 0)
    full = make(NAMES, points)
    points[1, 4] = np.nan
    ledger.record(tmp_path, "i01", rows(full).assign(visibility=visibility))

    labels, places = ledger.with_decisions(make(NAMES, points), ledger.read(tmp_path))

    assert np.isnan(labels.points[1, 4]).all() == (visibility is None)
    assert places[1, 4] == (visibility is not None)


def test_decisions_on_images_that_are_gone_are_kept_and_change_nothing(tmp_path):
    ledger.record(tmp_path, "i01", rows(make(["old.jpg"], scattered(1, 0)), images=["old.jpg"]))
    annotations = make(NAMES, scattered(3, 0))

    labels, places = ledger.with_decisions(annotations, ledger.read(tmp_path))

    np.testing.assert_array_equal(labels.points, annotations.points)
    assert not places.any()


def test_a_damaged_file_is_named(tmp_path):
    file = ledger.record(tmp_path, "i01", rows(make(NAMES, scattered(3, 0))))
    file.write_bytes(file.read_bytes()[:40])

    with pytest.raises(FormatError, match=r"000001\.parquet: not a file of decisions"):
        ledger.read(tmp_path)


def test_only_what_the_ledger_knows_can_be_decided(tmp_path):
    with pytest.raises(DataError, match="not 'delete'"):
        ledger.record(tmp_path, "i01", rows(make(NAMES, scattered(3, 0)), "delete"))
    assert isinstance(ledger.read(tmp_path), pd.DataFrame)


@pytest.mark.parametrize("change", [{"action": "banana"}, {"x": np.nan}, None])
def test_a_file_that_holds_no_decisions_is_refused(tmp_path, change):
    labels = make(NAMES, scattered(3, 0))
    file = ledger.record(tmp_path, "i01", rows(labels))
    if change is None:
        write_annotations(labels, file)
    else:
        pd.read_parquet(file).assign(**change).to_parquet(file)

    with pytest.raises(FormatError, match=r"000001\.parquet: not a file of decisions"):
        ledger.read(tmp_path)


@pytest.mark.parametrize("column", ["image", "instance", "landmark", "action", "x"])
def test_a_decision_on_nobody_knows_what_is_refused(tmp_path, column):
    path = ledger.record(tmp_path, "i01", rows(make(NAMES, scattered(3, 1))))
    table = pq.read_table(path)
    nothing = pa.nulls(len(table), table[column].type)
    pq.write_table(table.set_column(table.column_names.index(column), column, nothing), path)

    with pytest.raises(FormatError, match=f"{path}: not a file of decisions"):
        ledger.read(tmp_path)


def test_a_name_that_is_no_number_is_no_decision(tmp_path):
    path = ledger.record(tmp_path, "i01", rows(make(NAMES, scattered(3, 1))))
    path.rename(path.with_name("².parquet"))

    assert ledger.files(tmp_path) == []
