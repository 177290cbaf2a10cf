"""SPIGA's lists of faces, as its repository has them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats import spiga
from lmk.formats.exchange import looks_like, read
from lmk.formats.spiga import IDS, SPIGA
from lmk.scheme import load_scheme
from tests.formats.sets import counted


def face(ids=IDS[68], image="images/01345.jpg", **more):
    landmarks = [[float(place), place + 0.5] for place in range(len(ids))]
    return {"imgpath": image, "bbox": [1.5, 2, 3, 4], "headpose": [0.0] * 6, "ids": list(ids), "landmarks": landmarks,
            "visible": [float(place % 2) for place in range(len(ids))], **more}  # fmt: skip


def put(tmp_path, *faces, name="test.json"):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(faces))
    return file


def reading_of(file, scheme=None):
    reading = read(SPIGA, file, scheme, with_images=False)
    return make_set([part.table for part in reading.parts], reading.scheme, {}, "here"), reading


def test_ids_are_those_of_the_authors_framework():
    # `ldm_ids` in db_info.json of merlrav and of wflw.
    merlrav = """101 102 103 104 105 106 107 108 24 110 111 112 113 114 115 116 117 1 119 2 121 3 4 124 5 126 6 128 129
        130 17 16 133 134 135 18 7 138 139 8 141 142 11 144 145 12 147 148 20 150 151 22 153 154 21 156 157 23 159 160
        161 162 163 164 165 166 167 168"""
    wflw = """100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 24 117 118 119 120 121 122 123 124 125 126
        127 128 129 130 131 132 1 134 2 136 3 138 139 140 141 4 143 5 145 6 147 148 149 150 151 152 153 17 16 156 157
        158 18 7 161 9 163 8 165 10 167 11 169 13 171 12 173 14 175 20 177 178 22 180 181 21 183 184 23 186 187 188 189
        190 191 192 193 194 195 196 197"""
    assert [IDS[68], IDS[98]] == [[int(word) for word in text.split()] for text in (merlrav, wflw)]


def test_landmarks_come_in_the_order_of_their_ids_and_absent_ones_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(spiga, "PART_ROWS", 70)
    turned = face(IDS[68][::-1], image="b.jpg")
    few = face(IDS[68][:10], image="b.jpg")
    file = put(tmp_path, face(), turned, few)

    made, reading = reading_of(file)

    assert looks_like(file)[0].name == "spiga"
    assert made.scheme == load_scheme("ibug68")
    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["b.jpg", 0, "test"], ["b.jpg", 1, "test"], ["images/01345.jpg", 0, "test"]
    ]  # fmt: skip
    assert made.points[0, :, 0].tolist() == list(range(67, -1, -1))
    assert made.labelled[1].tolist() == [True] * 10 + [False] * 58
    assert made.column("visibility")[2, :4].tolist() == [1, 2, 1, 2]
    assert [(loss.kind, loss.count, loss.example) for loss in reading.losses] == [
        ("boxes", 3, "face 0"), ("head poses", 3, "face 0")
    ]  # fmt: skip
    assert reading.notes == ["all instances are of split test, as the file's name says"]


def test_the_database_of_a_matlab_file_is_told(tmp_path):
    _, reading = reading_of(put(tmp_path, face(visible=None), name="cofw68/all.json"))

    assert reading.notes == ["positions of cofw68 count from 1, as in its authors' MATLAB file; say --origin one"]


def test_other_ids_are_taken_in_order_where_all_faces_have_the_same(tmp_path):
    made, _ = reading_of(put(tmp_path, face([7, 5, 9]), face([9, 7, 5], image="b.jpg")), counted(3))
    np.testing.assert_array_equal(made.points[:, :, 0], [[1, 2, 0], [0, 1, 2]])

    assert reading_of(put(tmp_path, face(IDS[98])))[0].scheme.name == "wflw98"
    with pytest.raises(SchemeError, match="among 68 and among 98; say with --scheme"):
        reading_of(put(tmp_path, face([101, 102])))
    with pytest.raises(SchemeError, match="faces have different ids"):
        reading_of(put(tmp_path, face([901, 902]), face([901, 903])))
    with pytest.raises(SchemeError, match="68 points, but scheme some has 3"):
        reading_of(put(tmp_path, face()), counted(3))


@pytest.mark.parametrize(
    ("faces", "says"),
    [
        ([face(ids=[1])], None),
        ([[1]], "face 0: has no ids, imgpath, landmarks"),
        ([face(), face(ids=[1, 1])], "face 1: ids are different whole numbers"),
        ([{**face(), "ids": [1]}], "face 0: ids and landmarks are two lists of one length"),
        ([{**face(), "ids": ["1"] * 68}], "face 0: ids are different whole numbers"),
        ([face(imgpath=5)], "face 0: imgpath is 5"),
        ([face(visible=[1])], "face 0: visible is a list with a number for each landmark"),
        ([face(visible=[0.5] * 68)], r"with visible 0 or 1, not \[0.0, 0.5\] with 0.5"),
        ([face(landmarks=[[1, None]] * 68)], "leave the id of a missing one out"),
        ([face(landmarks=[[1, float("inf")]] * 68)], "leave the id of a missing one out"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, faces, says):
    file = put(tmp_path, *faces)

    if says is None:
        assert reading_of(file, load_scheme("ibug68"))[0].labelled.sum() == 1
        return
    with pytest.raises(FormatError, match=says) as error:
        reading_of(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_folder_is_none(tmp_path):
    with pytest.raises(DataError, match="format spiga reads one JSON file"):
        reading_of(tmp_path)
