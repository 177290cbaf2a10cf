"""Sets on disk: equal content, equal bytes; whole or not there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmk.annotations import COLUMNS, EVIDENCE, AnnotationSet, default_boxes, make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.scheme import load_scheme, parse_scheme
from lmk.store import digest_of, read_annotations, write_annotations

WING = parse_scheme('{"name": "wing", "points": 3, "contours": [[0, 1, 2]]}', "wing")


def table(images=("a.jpg", "b.jpg"), seed=0):
    rows = pd.MultiIndex.from_product([images, [0], range(3)], names=["image", "instance", "landmark"]).to_frame(
        index=False
    )
    rows[["x", "y"]] = np.random.default_rng(seed).uniform(0, 100, (len(rows), 2))
    return rows


def evidence(count):
    random = np.random.default_rng(1)
    values = {name: random.uniform(0, 1, (count, 3)) for name in EVIDENCE}
    values["at_edge"] = (values["at_edge"] > 0.5).astype(float)
    values["fold"] = np.zeros((count, 3))
    values["chi2"][0, 0] = np.nan
    return values


def test_a_set_comes_back_with_scheme_provenance_and_positions_to_the_last_bit(tmp_path):
    made = make_set(table(), WING, {"producer": "test", "parameters": {"a": 1.5}}, "here")

    write_annotations(made, tmp_path / "i00.parquet")
    back = read_annotations(tmp_path / "i00.parquet")

    np.testing.assert_array_equal(back.points, made.points)
    assert back.scheme == WING
    assert back.provenance == {"producer": "test", "parameters": {"a": 1.5}}
    assert np.isnan(back.boxes).all()  # made without images


def test_equal_content_gives_equal_bytes_whatever_the_order_of_rows_and_however_often_it_is_rewritten(tmp_path):
    made = make_set(table(), WING, {"b": 1, "a": 2}, "here")
    shuffled = make_set(table().sample(frac=1, random_state=3), WING, {"a": 2, "b": 1}, "here")
    refined = made.moved(made.points + 1, 1, evidence(2), {})
    for name, content in (("one", made), ("two", shuffled), ("three", refined)):
        write_annotations(content, tmp_path / name)
    for name in ("one", "three"):
        write_annotations(read_annotations(tmp_path / name), tmp_path / f"{name} again")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == (tmp_path / "one again").read_bytes()
    assert (tmp_path / "three").read_bytes() == (tmp_path / "three again").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_evidence_is_null_where_nothing_was_searched(tmp_path):
    made = make_set(table(), WING, {}, "here")
    write_annotations(made.moved(made.points, 1, evidence(2), {}), tmp_path / "i01.parquet")

    stored = pq.read_table(tmp_path / "i01.parquet")

    assert stored["chi2"].null_count == 1
    assert stored.schema.field("at_edge").type == pa.bool_()
    assert set(stored["iteration"].to_pylist()) == {1}


def test_positions_are_as_short_as_they_can_be_kept_exactly(tmp_path):
    exact = make_set(table(), WING, {}, "here")
    write_annotations(exact, tmp_path / "read")
    write_annotations(exact.moved(exact.points + 0.1, 1, {}, {}), tmp_path / "moved")

    # 64ths of a pixel fit into four bytes, numbers that people wrote into eight.
    assert (exact.points % (1 / 64) != 0).any()
    assert pq.read_schema(tmp_path / "read").field("x").type == pa.float64()
    assert pq.read_schema(tmp_path / "moved").field("x").type == pa.float32()


def test_a_point_that_did_not_move_keeps_its_number(tmp_path):
    made = make_set(table(), WING, {}, "here")
    points = made.points.copy()
    points[0, 0] += 5
    points[1, 1] += 1e-9  # noise of arithmetic

    write_annotations(made.moved(points, 1, {}, {}), tmp_path / "i01.parquet")
    back = read_annotations(tmp_path / "i01.parquet").points

    np.testing.assert_array_equal(back[1], made.points[1])
    np.testing.assert_array_equal(back[0, 1:], made.points[0, 1:])
    np.testing.assert_array_equal(back[0, 0], np.round((made.points[0, 0] + 5) * 64) / 64)


def test_a_missing_point_is_null_and_not_labelled(tmp_path):
    rows = table()
    rows.loc[4, "x"] = np.nan
    made = make_set(rows, WING, {}, "here")
    write_annotations(made, tmp_path / "set")
    back = read_annotations(tmp_path / "set")

    assert np.isnan(back.points[1, 1]).all()
    assert back.labelled.tolist() == [[True, True, True], [True, False, True]]
    assert pq.read_table(tmp_path / "set")["y"].null_count == 1


TYPES = {
    "string": pa.string(), "int32": pa.int32(), "int16": pa.int16(), "int8": pa.int8(), "uint8": pa.uint8(),
    "float32": pa.float32(), "float64": pa.float64(), "bool": pa.bool_(),
}  # fmt: skip


def written_as_a_whole(labels, path, group=1 << 20):
    """What a file is: the long table in one piece, sorted, each column cast."""
    table = labels.frame.sort_values(["image", "instance", "landmark"], kind="stable")
    kinds = {name: kind for name, kind in {**COLUMNS, **EVIDENCE}.items() if name in table}
    arrays = []
    for name, kind in kinds.items():
        null = table[name].isna().to_numpy(bool)
        if kind == "string":
            texts = zip(table[name], null, strict=True)
            arrays.append(pa.array([None if gone else str(value) for value, gone in texts], pa.string()))
            continue
        values = table[name].to_numpy(np.float64, na_value=0.0, copy=True)
        values[null] = 0
        if name in ("x", "y"):
            values += 0.0
            kind = "float32" if np.array_equal(table[["x", "y"]].astype("float32"), table[["x", "y"]], True) else kind
            kinds[name] = kind
        arrays.append(pa.array(values.astype(TYPES[kind].to_pandas_dtype()), TYPES[kind], mask=null))
    header = {"version": 1, "scheme": labels.scheme.to_json(), "provenance": labels.provenance}
    schema = pa.schema(
        [pa.field(name, TYPES[kind]) for name, kind in kinds.items()],
        metadata={b"lmk": json.dumps(header, sort_keys=True).encode()},
    )
    floats = [name for name, kind in kinds.items() if kind in ("float32", "float64")]
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=schema),
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in kinds if name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        row_group_size=group,
    )


def with_everything(count, seed):
    """A set with every kind of column, nulls in all that may have them, names beyond ASCII, a negative zero."""
    random = np.random.default_rng(seed)
    images = np.array([f"bilder/ä{number:07d}_ß{'x' * (number % 7)}.jpg" for number in range(count)], object)
    rows = pd.DataFrame({"image": images.repeat(3), "instance": 0, "landmark": np.tile(np.arange(3), count)})
    rows[["x", "y"]] = random.uniform(-5, 300, (3 * count, 2))
    rows.loc[random.random(3 * count) < 0.1, "x"] = np.nan
    rows.loc[0, "x"] = -0.001
    known = random.random(count) < 0.9
    for name in ("width", "height", "box_x", "box_y", "box_size"):
        rows[name] = np.where(known, random.integers(1, 999, count) + (0.3 if "box" in name else 0), np.nan).repeat(3)
    rows["split"] = random.choice(["train", "val", "test"], count).repeat(3)
    rows["annotator"] = random.choice(np.array(["ann", "bén", None], object), 3 * count)
    rows["source"] = random.choice(np.array(["web", "", None], object), count).repeat(3)
    rows["gross"] = random.choice(np.array(["slip", "", None], object), 3 * count)
    made = make_set(rows, WING, {"producer": "test", "n": count}, "here")
    found = {name: random.uniform(0, 1, (count, 3)) for name in EVIDENCE}
    found["at_edge"] = np.round(found["at_edge"])
    found["fold"], found["repeats"] = np.round(5 * found["fold"]), np.full((count, 3), np.nan)
    for values in found.values():
        values[random.random((count, 3)) < 0.3] = np.nan
    found["reason"] = random.choice(np.array(["slip", "a wørd", None], object), (count, 3))
    return made, made.moved(made.points + 0.4, 3, found, {"producer": "search"})


@pytest.mark.parametrize(("part", "group"), [(1 << 18, 1 << 20), (7, 1 << 20), (40, 32)])
def test_a_file_has_the_bytes_of_the_long_table_written_as_a_whole(tmp_path, monkeypatch, part, group):
    monkeypatch.setattr("lmk.store.PART", part)
    monkeypatch.setattr("lmk.store.GROUP", group)
    human, refined = with_everything(50, seed=4)
    order = np.random.default_rng(0).permutation(50)
    cases = {
        "human": human,
        "refined": refined,
        "unsorted": refined.select(order),
        "empty": refined.select(np.zeros(50, bool)),
        "exact": refined.with_columns(at_edge=True, fold=0, repeats=2, peak=0.5),  # no nulls, so types without them
        "bare": human.with_columns(annotator=None, source=None, gross=None),
        "one": human.select(np.arange(50) == 7),
    }
    for name, labels in cases.items():
        write_annotations(labels, tmp_path / name)
        written_as_a_whole(labels, tmp_path / f"{name} as a whole", group)

        assert (tmp_path / name).read_bytes() == (tmp_path / f"{name} as a whole").read_bytes(), name
        if name != "empty":
            back = read_annotations(tmp_path / name)
            write_annotations(back, tmp_path / f"{name} again")
            assert (tmp_path / f"{name} again").read_bytes() == (tmp_path / name).read_bytes(), name
            stored = pq.read_table(tmp_path / name).to_pandas()
            flags = stored.columns.intersection(["at_edge"])  # objects, for pandas, as soon as one is null
            stored[flags] = stored[flags].astype(float)
            pd.testing.assert_frame_equal(back.frame, stored, check_dtype=False)
    assert (tmp_path / "unsorted").read_bytes() == (tmp_path / "refined").read_bytes()


def test_more_than_one_row_group_has_the_same_bytes_too(tmp_path):
    face, count = load_scheme("ibug68"), 2**20 // 68 + 2  # a group ends inside of an instance
    names = np.array([f"{number:06d}.jpg" for number in range(count)], object)
    rows = pd.DataFrame({"image": names.repeat(68), "instance": 0, "landmark": np.tile(np.arange(68), count)})
    rows[["x", "y"]] = np.random.default_rng(6).uniform(0, 300, (len(rows), 2))
    rows.loc[2**20 - 2, "x"] = np.nan
    made = make_set(rows, face, {}, "here").select(np.arange(count)[::-1])

    write_annotations(made, tmp_path / "set")
    written_as_a_whole(made, tmp_path / "as a whole")
    write_annotations(read_annotations(tmp_path / "set"), tmp_path / "again")

    assert pq.ParquetFile(tmp_path / "set").metadata.num_row_groups == 2
    assert digest_of(tmp_path / "set") == digest_of(tmp_path / "as a whole") == digest_of(tmp_path / "again")


def test_bytes_a_point_stay_few(tmp_path):
    rows = table(images=[f"{i:06d}.jpg" for i in range(4000)])

    rows[["x", "y"]] = rows[["x", "y"]].round(3)
    made = make_set(rows, WING, {}, "here")
    write_annotations(made, tmp_path / "read")
    write_annotations(made.moved(made.points + 1, 1, {}, {}), tmp_path / "moved")

    assert (tmp_path / "moved").stat().st_size / len(rows) < 8
    assert (tmp_path / "read").stat().st_size / len(rows) < 16


def test_a_file_cut_in_half_is_refused_in_one_line(tmp_path):
    write_annotations(make_set(table(), WING, {}, "here"), tmp_path / "i00.parquet")
    whole = (tmp_path / "i00.parquet").read_bytes()
    (tmp_path / "i00.parquet").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(FormatError, match="not a whole Parquet file") as error:
        read_annotations(tmp_path / "i00.parquet")
    assert "\n" not in str(error.value)


def test_a_file_of_a_newer_version_or_of_somebody_else_is_refused(tmp_path):
    write_annotations(make_set(table(), WING, {}, "here"), tmp_path / "set")
    stored = pq.read_table(tmp_path / "set")
    header = json.loads(stored.schema.metadata[b"lmk"]) | {"version": 99}
    pq.write_table(stored.replace_schema_metadata({b"lmk": json.dumps(header).encode()}), tmp_path / "newer")
    pq.write_table(stored.replace_schema_metadata({}), tmp_path / "other")

    with pytest.raises(FormatError, match=r"newer lmk .*upgrade"):
        read_annotations(tmp_path / "newer")
    with pytest.raises(FormatError, match="not an annotation set"):
        read_annotations(tmp_path / "other")
    with pytest.raises(DataError, match="no such annotation set"):
        read_annotations(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda rows: rows.iloc[:0], DataError, "no annotations"),
        (lambda rows: rows.iloc[:-1], SchemeError, "b.jpg instance 0 has 2 points, scheme wing has 3"),
        (lambda rows: rows.assign(landmark=rows["landmark"] + 1), SchemeError, "landmark 3, but scheme wing counts"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), DataError, "a.jpg instance 0 has landmark 0 twice"),
    ],
)
def test_a_set_that_is_not_whole_is_refused(change, error, says):
    with pytest.raises(error, match=says):
        make_set(change(table()), WING, {}, "here")


def test_digests_differ_by_content_and_by_order(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")

    assert digest_of(tmp_path / "a", {"x": 1, "y": 2}) == digest_of(tmp_path / "a", {"y": 2, "x": 1})
    assert len({digest_of(tmp_path / "a"), digest_of(tmp_path / "b"), digest_of("a"), digest_of("a", "b")}) == 4


def test_the_default_box_is_a_square_around_the_points():
    points = np.array([[[10.0, 20], [50, 40], [np.nan, np.nan]]])

    np.testing.assert_allclose(default_boxes(points, 1.5), [[30 - 30, 30 - 30, 60]])


def test_selecting_keeps_whole_instances():
    made = make_set(table().assign(split=["train"] * 3 + ["test"] * 3), WING, {}, "here")

    chosen = made.select(made.in_split("test"))

    assert isinstance(chosen, AnnotationSet)
    assert chosen.instances["image"].tolist() == ["b.jpg"]
    np.testing.assert_array_equal(chosen.points, made.points[1:])


def put(stored, name, values):
    return stored.set_column(stored.column_names.index(name), name, pa.array(values))


def test_a_file_that_another_program_has_sorted_filtered_or_stripped_is_refused(tmp_path):
    write_annotations(make_set(table(), WING, {}, "here"), tmp_path / "set")
    stored = pq.read_table(tmp_path / "set")
    changed = {
        "sorted": stored.sort_by([("x", "ascending")]),
        "filtered": stored.slice(0, 5),
        "empty": stored.slice(0, 0),
        "stripped": stored.drop_columns(["visibility"]),
        "twice": pa.concat_tables([stored, stored]),
        "torn": put(stored, "split", ["train"] * 4 + ["val"] + ["train"]),
        "texts": put(stored, "x", ["far left"] * 6),
        "numbers": put(stored, "image", [7] * 6),
        "damaged": stored.replace_schema_metadata({b"lmk": b"{"}),
        "unversioned": stored.replace_schema_metadata({b"lmk": b"{}"}),
    }
    for name, content in changed.items():
        pq.write_table(content, tmp_path / name)
        with pytest.raises(FormatError, match="make the set again") as error:
            read_annotations(tmp_path / name)
        assert "\n" not in str(error.value)
