"""Parquet files of Hugging Face's datasets, as version 3 of its library writes them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmk.annotations import make_set
from lmk.errors import FormatError
from lmk.formats.exchange import looks_like, read, write
from lmk.formats.hf_parquet import HF_PARQUET
from lmk.scheme import parse_scheme

TWO = parse_scheme('{"name": "two", "points": 2}', "two")
FLAT = {"bbox": [[0.0, 0, 9, 9], [1, 1, 5, 5]], "keypoints": [[1.5, 2, 2, 3, 4, 1], [5, 6, 2, 7, 8, 0]]}


def taken(path):
    reading = read(HF_PARQUET, path, TWO, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


def put(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def test_a_struct_of_lists_with_pictures_inside(tmp_path):
    rows = [{"image_id": 1, "image": {"bytes": b"picture", "path": "a b.jpg"}, "width": 9, "objects": FLAT}]
    put(tmp_path / "data" / "validation-00000-of-00001.parquet", rows)

    made, reading = taken(tmp_path)

    assert looks_like(tmp_path)[0] is HF_PARQUET
    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["a b.jpg", 0, "val"], ["a b.jpg", 1, "val"],
    ]  # fmt: skip
    assert made.column("visibility").tolist() == [[2, 1], [2, 0]]
    np.testing.assert_array_equal(made.points, [[[1.5, 2], [3, 4]], [[5, 6], [np.nan] * 2]])
    assert reading.notes == ["pictures inside the file are not opened; --images names the folder that has them"]
    assert [(loss.kind, loss.example) for loss in reading.losses] == [("columns", "objects.bbox")]


@pytest.mark.parametrize(
    "keypoints", [[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0, 2.0], [3.0, 4.0, 1.0]], [1.0, 2.0, 3.0, 4.0]]
)
def test_a_list_of_structs_and_other_ways_to_write_keypoints(keypoints, tmp_path):
    file = put(tmp_path / "x.parquet", [{"file_name": "s\\a.jpg", "objects": [{"keypoints": keypoints}]}])

    made, _ = taken(file)

    assert made.instances[["image", "split"]].to_numpy().tolist() == [["s/a.jpg", "train"]]
    assert made.points.tolist() == [[[1, 2], [3, 4]]]


def test_what_is_written_says_what_its_columns_are(human, tmp_path):
    write(HF_PARQUET, human, tmp_path / "out")

    table = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    first = table.to_pylist()[0]
    assert features.keys() == set(table.column_names)
    assert features["objects"]["feature"].keys() == first["objects"].keys()
    assert first["image"]["bytes"] is None
    assert len(first["objects"]["keypoints"][0]) == 3 * 68


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"image": {"path": None, "bytes": b"x"}, "objects": FLAT}, "row 0: the image has no path"),
        ({"file_name": "a.jpg", "objects": {"bbox": [[1]]}}, r"no column objects\.keypoints; expected"),
        ({"name": "a.jpg", "objects": FLAT}, r"no column image\.path; expected"),
        ({"file_name": "a.jpg", "objects": {"keypoints": [[1.0, 2, 7, 3, 4, 1]]}}, "visibility is 0"),
        ({"file_name": "a.jpg", "objects": {"keypoints": ["a"]}}, "keypoints are not numbers"),
        ({"file_name": "a.jpg", "objects": {"keypoints": [[1.0, 2, 3, float("inf")]]}}, "expected two or three finite"),
        ({"file_name": "a.jpg", "objects": {"keypoints": [[]]}}, "no object with keypoints"),
    ],
)
def test_what_is_wrong_is_one_line(row, says, tmp_path):
    file = put(tmp_path / "x.parquet", [row])

    with pytest.raises(FormatError, match=says) as error:
        taken(file)

    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
