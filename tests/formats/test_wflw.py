"""WFLW's lists, as they are in its archive of annotations."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError
from lmk.formats.exchange import looks_like, read, write_back
from lmk.formats.wflw import WFLW
from lmk.scheme import load_scheme, parse_scheme
from tests.formats.sets import header

TWO = parse_scheme('{"name": "two", "points": 2}', "two")


def line(name, start=0.0, attributes="0 1 0 0 1 0"):
    return " ".join(f"{start + k:.6f}" for k in range(196)) + f" 10 20 205 215 {attributes} {name}"


def taken(path, scheme=None):
    reading = read(WFLW, path, scheme, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


def wflw(folder):
    lists = folder / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    text = f"{line('0--Parade/a b  c.jpg')}\r\n\r\n{line('0--Parade/a b  c.jpg', 300)}\r\n"
    (lists / "list_98pt_rect_attr_train.txt").write_bytes(text.encode())
    (lists / "list_98pt_rect_attr_test.txt").write_text(line("x.jpg", attributes="1 1 1 1 1 1"))
    (lists / "README").write_text("WFLW")
    header(folder / "WFLW_images" / "x.jpg", 9, 9)
    return folder


def test_the_dataset_as_its_archives_unpack(tmp_path):
    made, reading = taken(wflw(tmp_path))

    assert looks_like(tmp_path)[0] is WFLW
    assert made.scheme == load_scheme("wflw98")
    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["WFLW_images/0--Parade/a b  c.jpg", 0, "train"], ["WFLW_images/0--Parade/a b  c.jpg", 1, "train"],
        ["WFLW_images/x.jpg", 0, "test"],
    ]  # fmt: skip
    assert made.points[1, 97].tolist() == [494, 495]
    assert {loss.kind: loss.count for loss in reading.losses} == {
        "boxes": 3, "attribute pose": 1, "attribute expression": 3, "attribute illumination": 1,
        "attribute make-up": 1, "attribute occlusion": 3, "attribute blur": 1,
    }  # fmt: skip


def test_one_list_is_read_and_written_back_with_its_boxes_and_attributes(tmp_path):
    source = wflw(tmp_path) / "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt"
    made, _ = taken(source)
    points = made.points.copy()
    points[1, 1] += (0, 0.5)

    write_back(WFLW, source, made, made.moved(points, 1, {}, {}), tmp_path / "new.txt")

    assert looks_like(source)[0] is WFLW
    assert made.instances["image"].unique().tolist() == ["0--Parade/a b  c.jpg"]
    assert (tmp_path / "new.txt").read_bytes() == source.read_bytes().replace(b" 303.000000 ", b" 303.500000 ")


def test_a_list_with_another_name_has_as_many_points_as_the_scheme(tmp_path):
    (tmp_path / "faces_val.txt").write_text("1 2 3 4.5 0 0 9 9 0 0 0 0 0 0 a.jpg\n")

    made, _ = taken(tmp_path / "faces_val.txt", TWO)

    np.testing.assert_array_equal(made.points, [[[1, 2], [3, 4.5]]])
    assert made.instances["split"].tolist() == ["val"]


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 0", FormatError, "line 1: 14 words; expected 4 numbers of 2 points"),
        ("1 2 3 x 0 0 9 9 0 0 0 0 0 0 a.jpg", FormatError, "line 1: not a number"),
        ("1 2 3 nan 0 0 9 9 0 0 0 0 0 0 a.jpg", FormatError, "line 1: a number that is not finite"),
        ("\n1 2 3 4 0 0 9 9 0 0 0 0 0 7 a.jpg", FormatError, "line 2: attributes are 0 or 1, not '0 0 0 0 0 7'"),
        ("1 2 3 4 0 0 9 9 0 0 0 0 0 0 ../a.jpg", DataError, "leads out of the folder"),
        ("1" * 700_000, FormatError, "line 1: longer than"),
    ],
)
def test_what_is_wrong_is_one_line(text, kind, says, tmp_path):
    (tmp_path / "faces.txt").write_text(text)

    with pytest.raises(kind, match=says) as error:
        taken(tmp_path / "faces.txt", TWO)

    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
