"""Sets on disk: equal content, equal bytes; whole or not there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmk.annotations import EVIDENCE, AnnotationSet, default_boxes, make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.scheme import parse_scheme
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


def test_a_set_comes_back_with_scheme_provenance_and_positions_to_a_64th_of_a_pixel(tmp_path):
    made = make_set(table(), WING, {"producer": "test", "parameters": {"a": 1.5}}, "here")

    write_annotations(made, tmp_path / "i00.parquet")
    back = read_annotations(tmp_path / "i00.parquet")

    np.testing.assert_allclose(back.points, made.points, atol=1 / 128)
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
    assert stored.schema.field("x").type == pa.float32()
    assert set(stored["iteration"].to_pylist()) == {1}


def test_a_missing_point_is_null_and_not_labelled(tmp_path):
    rows = table()
    rows.loc[4, "x"] = np.nan
    made = make_set(rows, WING, {}, "here")
    write_annotations(made, tmp_path / "set")
    back = read_annotations(tmp_path / "set")

    assert np.isnan(back.points[1, 1]).all()
    assert back.labelled.tolist() == [[True, True, True], [True, False, True]]
    assert pq.read_table(tmp_path / "set")["y"].null_count == 1


def test_bytes_a_point_stay_few(tmp_path):
    rows = table(images=[f"{i:06d}.jpg" for i in range(4000)])

    write_annotations(make_set(rows, WING, {}, "here"), tmp_path / "large")

    assert (tmp_path / "large").stat().st_size / len(rows) < 8


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


def test_a_file_that_another_program_has_sorted_filtered_or_stripped_is_refused(tmp_path):
    write_annotations(make_set(table(), WING, {}, "here"), tmp_path / "set")
    stored = pq.read_table(tmp_path / "set")
    changed = {
        "sorted": stored.sort_by([("x", "ascending")]),
        "filtered": stored.slice(0, 5),
        "empty": stored.slice(0, 0),
        "stripped": stored.drop_columns(["visibility"]),
        "damaged": stored.replace_schema_metadata({b"lmk": b"{"}),
        "unversioned": stored.replace_schema_metadata({b"lmk": b"{}"}),
    }
    for name, content in changed.items():
        pq.write_table(content, tmp_path / name)
        with pytest.raises(FormatError, match="make the set again") as error:
            read_annotations(tmp_path / name)
        assert "\n" not in str(error.value)
