"""The table of all iterations: against sets compared point by point, and in parts that fit nothing."""

from __future__ import annotations

from contextlib import closing

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmk.audit.drift import paired
from lmk.errors import DataError, FormatError, LmkError, SchemeError
from lmk.history import ledger
from lmk.history import table as tables
from lmk.history.layout import MOVES
from lmk.history.rows import changed_sides, crossings
from lmk.history.sql import Questions, asking
from lmk.history.table import build_table, contour_names
from lmk.scheme import load_scheme
from lmk.store import read_annotations, room_beside
from tests.history.sets import SCHEME, faces_like, folder, make, scattered


@pytest.fixture
def sets(tmp_path):
    """Three sets of 40 instances, some points missing, and their folder."""
    images = [f"{number:03d}.jpg" for number in range(40)]
    points = [scattered(40, seed) for seed in (1, 2, 3)]
    points[0][3, 2] = points[1][7, 5] = np.nan
    splits = np.repeat(np.where(np.arange(40) < 30, "train", "test"), SCHEME.size)
    made = [make(images, part, split=splits, box_x=0.0, box_y=0.0, box_size=200.0) for part in points]
    return made, folder(tmp_path, *made)


@pytest.mark.parametrize("rows", [SCHEME.size, 56, 1 << 17])
def test_drift_is_what_pairing_two_sets_says_however_many_rows_are_read_at_once(sets, monkeypatch, rows):
    monkeypatch.setattr(tables, "ROWS", rows)
    _, paths = sets
    first, last = (read_annotations(paths.annotations(name)) for name in ("i00", "i02"))
    pairs = paired(first, last)

    with asking(paths) as questions:
        found = questions.ask(
            "SELECT image, landmark, drift, along, across, dx, dy, percent FROM points WHERE iteration = 'i02' "
            "AND drift IS NOT NULL ORDER BY image, instance, landmark"
        )

    there = np.isfinite(pairs.px)
    np.testing.assert_allclose(found["drift"], pairs.px[there], rtol=1e-5)
    np.testing.assert_allclose(found["along"].fillna(-1), np.nan_to_num(pairs.along, nan=-1)[there], atol=1e-4)
    np.testing.assert_allclose(found["across"].fillna(-1), np.nan_to_num(pairs.across, nan=-1)[there], atol=1e-4)
    np.testing.assert_allclose(found[["dx", "dy"]], pairs.shift[there], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["percent"], pairs.px[there] / 2, rtol=1e-5)


def test_there_is_a_row_for_each_labelled_point_and_none_for_others(sets):
    made, paths = sets
    with asking(paths) as questions:
        counts = dict(questions.rows("SELECT iteration, count(*) FROM points GROUP BY iteration"))

    assert counts == {f"i{number:02d}": int(part.labelled.sum()) for number, part in enumerate(made)}


def test_a_step_is_against_the_iteration_before_and_says_when_it_turns_back(tmp_path):
    start = np.zeros((1, SCHEME.size, 2)) + np.arange(SCHEME.size)[None, :, None] * 10
    there = start + [4, 0]
    back = start + [1, 0]
    paths = folder(tmp_path, *(make(["a.jpg"], points) for points in (start, there, back)))

    with asking(paths) as questions:
        found = questions.rows("SELECT DISTINCT iteration, drift, step, reversed, unchanged FROM points ORDER BY ALL")

    assert found == [
        ("i00", 0.0, 0.0, False, True), ("i01", 4.0, 4.0, False, False), ("i02", 1.0, 3.0, True, False),
    ]  # fmt: skip


def test_points_that_pass_a_neighbour_cross():
    human = np.array([[[0, 0], [10, 0], [20, 0], [30, 0], [30, 10], [30, 20], [20, 20], [50, 50]]], float)
    moved = human.copy()
    moved[0, 1, 0] = 21

    assert np.flatnonzero(crossings(human, moved, SCHEME)[0]).tolist() == [1, 2]
    assert not crossings(human, human + [3, 1], SCHEME).any()


def test_instances_that_change_sides_are_told_from_those_that_move_a_little():
    scheme = load_scheme("ibug68")
    human = faces_like(scheme, 6, 0)
    moved = human + np.random.default_rng(1).normal(0, 1, human.shape)
    moved[4] = human[4][scheme.flip]

    assert np.flatnonzero(changed_sides(human, moved, scheme.flip)).tolist() == [4]


def test_contours_are_called_what_their_points_have_in_common():
    names = contour_names(load_scheme("ibug68"))

    assert (names[0], names[20], names[38]) == ("jaw", "left_brow", "left_eye")
    assert contour_names(SCHEME)[0] == "contour 0"
    assert contour_names(SCHEME)[7] is None


def test_points_of_other_splits_count_only_when_they_moved(human, tmp_path):
    refined = human.moved(
        human.points + np.where(human.in_split("train")[:, None, None], 2.0, 0.0), 1,
        {"chi2": np.where(human.in_split("train")[:, None], 1.0, np.nan) + np.zeros(human.labelled.shape)}, {},
    )  # fmt: skip
    points = refined.points.copy()
    stray = np.flatnonzero(human.in_split("test"))[0]
    points[stray, 0] += 5
    refined = refined.with_columns(x=points[..., 0], y=points[..., 1])
    with asking(folder(tmp_path, human, refined)) as questions:
        found = dict(
            questions.rows("SELECT split, count(*) FROM points WHERE iteration = 'i01' AND searched GROUP BY 1")
        )

    assert found == {"train": 12 * 68, "test": 1}


def test_sets_of_other_instances_or_schemes_are_refused(tmp_path):
    one, other = make(["a.jpg"], scattered(1, 0)), make(["b.jpg"], scattered(1, 0))
    longer = make(["a.jpg", "b.jpg"], scattered(2, 0))
    faces = load_scheme("ibug68")

    for number, second in enumerate((other, longer)):
        with pytest.raises(DataError, match="lmk diff"):
            build_all(folder(tmp_path / str(number), one, second), tmp_path / f"{number}.duckdb")
    with pytest.raises(SchemeError, match="differ"):
        build_all(folder(tmp_path / "s", one, make(["a.jpg"], scattered(1, 0, faces), faces)), tmp_path / "s.duckdb")


def test_rows_that_another_program_has_sorted_are_refused(sets, tmp_path):
    _, paths = sets
    for name in paths.files():
        table = pq.read_table(paths.annotations(name))
        pq.write_table(table.sort_by("x"), paths.annotations(name))

    with pytest.raises(FormatError, match="changed by another program"):
        build_all(paths, tmp_path / "sorted.duckdb")


def build_all(paths, target):
    return build_table(paths.files(), target, ledger.nothing())


def test_sets_made_without_images_are_measured_by_their_own_size(tmp_path):
    points = scattered(3, 4)
    paths = folder(tmp_path, make(["a", "b", "c"], points), make(["a", "b", "c"], points + [3, 4]))

    with asking(paths) as questions:
        sides = [side for (side,) in questions.rows("SELECT DISTINCT box FROM points ORDER BY 1")]

    np.testing.assert_allclose(sides, sorted(np.ptp(points, axis=1).max(1)), atol=0.02)


def test_the_table_is_kept_until_an_iteration_changes(sets):
    made, paths = sets
    with asking(paths):
        pass
    first = list((paths.work / "audit").iterdir())
    with asking(paths):
        pass
    assert list((paths.work / "audit").iterdir()) == first

    folder(paths.root.parent, *made[:2], make(made[0].instances["image"].tolist(), scattered(40, 9)))
    with asking(paths) as questions:
        pass

    again = list((paths.work / "audit").iterdir())
    assert len(again) == 1
    assert again != first
    assert isinstance(questions, Questions)


def test_a_folder_that_may_only_be_read_can_be_asked(sets, monkeypatch):
    _, paths = sets

    def refuse(*_arguments, **_named):
        raise PermissionError(13, "no", "here")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with asking(paths) as questions:
        assert questions.rows("SELECT count(DISTINCT iteration) FROM points") == [(3,)]
    assert not paths.work.exists()


@pytest.mark.parametrize("damage", [b"", b"x" * 5000, None])
def test_a_damaged_table_is_made_again(sets, damage):
    _, paths = sets
    with asking(paths):
        pass
    [kept] = (paths.work / "audit").iterdir()
    kept.write_bytes(kept.read_bytes()[:200_000] if damage is None else damage)

    with asking(paths) as questions:
        assert questions.rows("SELECT count(DISTINCT iteration) FROM points") == [(3,)]


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_one_at_work_has_stays(sets):
    _, paths = sets
    killed = paths.work / "audit" / ".table.0123abcd.tmp"
    killed.mkdir(parents=True)
    (killed / "half.duckdb").write_bytes(b"")

    with room_beside(paths.work / "audit" / "table") as at_work:
        killed.mkdir(exist_ok=True)
        with asking(paths):
            assert at_work.is_dir()
            assert not killed.exists()

    assert [path.suffix for path in (paths.work / "audit").iterdir()] == [".duckdb"]


def test_a_table_that_is_not_whole_is_made_again(sets):
    _, paths = sets
    with asking(paths) as questions:
        [known] = questions.rows("SELECT count(*), sum(x) FROM points")
    [kept] = (paths.work / "audit").glob("*.duckdb")
    kept.unlink()
    with closing(duckdb.connect(str(kept))) as half:
        half.execute("CREATE TABLE landmarks (landmark SMALLINT)")

    with asking(paths) as questions:
        assert questions.rows("SELECT count(*), sum(x) FROM points") == [known]


def test_a_disk_that_is_full_is_one_line_and_no_table_stays(sets, monkeypatch):
    _, paths = sets

    class Full:
        """DuckDB where the disk is full when it writes what it has in memory."""

        def __init__(self, database):
            self.database = database

        def __getattr__(self, name):
            return getattr(self.database, name)

        def execute(self, statement, *values):
            if statement == "CHECKPOINT":
                raise duckdb.IOException('IO Error: Could not write file "x":\nNo space left on device')
            return self.database.execute(statement, *values)

    connect = duckdb.connect
    monkeypatch.setattr("lmk.history.table.duckdb.connect", lambda *how, **more: Full(connect(*how, **more)))

    with pytest.raises(DataError) as full, asking(paths):
        pass

    assert str(full.value).startswith("comparing iterations: IO Error: Could not write file")
    assert str(full.value).endswith("No space left on device; make room there")
    assert "\n" not in str(full.value)
    assert list((paths.work / "audit").iterdir()) == []


def test_human_labels_alone_were_not_refined(sets):
    _, paths = sets
    for name in ("i01", "i02"):
        paths.annotations(name).unlink()

    with asking(paths) as questions:
        assert questions.rows("SELECT DISTINCT rule FROM labels") == [("human",)]


def test_a_folder_without_human_labels_is_refused(sets):
    _, paths = sets
    paths.annotations("i00").unlink()

    with pytest.raises(DataError, match="no annotations/i00"), asking(paths):
        pass


@pytest.mark.parametrize(
    ("place", "value"), [("rows.LEFT", 0.3), ("table.TABLES", {}), ("table.POINTS", ""), ("table.LAYOUT", 10**6)]
)
def test_a_table_that_another_lmk_made_is_made_anew(monkeypatch, place, value):
    before = tables.made_by()
    monkeypatch.setattr(f"lmk.history.{place}", value)

    assert tables.made_by() != before


def test_every_column_of_a_move_can_be_asked_for_in_points(sets):
    with asking(sets[1]) as questions:
        columns = set(questions.ask("SELECT * FROM points WHERE false"))

    assert set(MOVES) - columns == {"object"}


def _with(table, name, column):
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.append_column("source", table["image"]).append_column("source", table["image"]),
        lambda table: table.drop_columns(["width"]),
        lambda table: _with(table, "box_size", pa.nulls(len(table), pa.list_(pa.int8()))),
        lambda table: _with(table, "instance", pa.nulls(len(table), pa.int32())),
        lambda table: _with(table, "visibility", pa.array(["2"] * len(table))),
        lambda table: _with(table, "landmark", pa.array([1 << 40] * len(table))),
        lambda table: _with(table, "image", pa.array(["../secret.jpg"] * len(table))),
    ],
)
def test_a_set_whose_columns_are_others_is_named_in_one_line(sets, change):
    _, paths = sets
    changed = paths.annotations("i01")
    pq.write_table(change(pq.read_table(changed)), changed)

    with pytest.raises(LmkError, match=r"i01\.parquet: ") as error, asking(paths):
        pass

    assert "\n" not in str(error.value)


def test_columns_of_a_wider_type_are_taken_for_what_they_are(sets):
    _, paths = sets
    with asking(paths) as questions:
        before = questions.rows("SELECT x, y, landmark FROM points ORDER BY ALL")
    file = paths.annotations("i02")
    table = pq.read_table(file)
    for name, kind in (("x", pa.float64()), ("landmark", pa.int64()), ("visibility", pa.float64())):
        table = _with(table, name, table[name].cast(kind))
    pq.write_table(table, file)

    with asking(paths) as questions:
        assert questions.rows("SELECT x, y, landmark FROM points ORDER BY ALL") == before


@pytest.mark.parametrize("rows", [0, 8])
def test_a_set_without_rows_or_without_any_labelled_point_is_one_line(tmp_path, rows):
    paths = folder(tmp_path, make(["a.jpg"], np.full((1, 8, 2), np.nan)), make(["a.jpg"], np.full((1, 8, 2), np.nan)))
    for path in paths.files().values():
        pq.write_table(pq.read_table(path).slice(0, rows), path)

    with pytest.raises(FormatError, match=r"i00\.parquet: has no labelled point"), asking(paths):
        pass


def test_a_set_of_half_positions_is_one_line(tmp_path):
    paths = folder(tmp_path, make(["a.jpg"], np.ones((1, 8, 2))), make(["a.jpg"], np.ones((1, 8, 2))))
    for path in paths.files().values():
        table = pq.read_table(path)
        at = table.column_names.index("y")
        pq.write_table(table.set_column(at, table.field("y"), pa.nulls(8, table.field("y").type)), path)

    with pytest.raises(FormatError, match=r"i00\.parquet: has no labelled point"), asking(paths):
        pass
