"""XML of dlib, as imglab 1.18 of dlib 20 writes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.dlib_xml import DLIB
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.scheme import load_scheme, parse_scheme

HEAD = (
    "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
    "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n"
    "<dataset>\n<name>dataset containing bounding box labels on images</name>\n<comment>by hand</comment>\n<images>\n"
)
IMAGES = """  <image file='a.jpg' width='64' height='48'>
    <box top='1' left='2' width='30' height='20' pose='1'>
      <label>face</label>
      <part name='nose' x='10' y='11'/>
      <part name='chin' x='-3' y='20'/>
    </box>
    <box top='1' left='2' width='3' height='4' ignore='1'>
      <part name='nose' x='1' y='2'/>
    </box>
    <box top='5' left='6' width='7' height='8'/>
    <box top='5' left='6' width='7' height='8'>
      <part name='chin' x='7' y='8'/>
    </box>
  </image>
  <image file='sub\\ü.jpg'>
    <box top='5' left='6' width='7' height='8'>
      <part name='nose' x='9' y='9'/>
    </box>
  </image>
"""


def put(folder, images=IMAGES, encoding="utf-8"):
    file = folder / "faces.xml"
    file.write_bytes(f"{HEAD}{images}</images>\n</dataset>".encode(encoding))
    return file


def taken(file, scheme=None):
    reading = read(DLIB, file, scheme, False)
    made = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")
    return made, reading, {loss.kind: (loss.count, loss.example) for loss in reading.losses}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_boxes_with_parts_are_instances_and_the_rest_is_counted(encoding, tmp_path):
    made, reading, lost = taken(put(tmp_path, encoding=encoding))

    assert reading.scheme.names == ("nose", "chin")
    assert made.instances[["image", "instance"]].to_numpy().tolist() == [["a.jpg", 0], ["a.jpg", 1], ["sub/ü.jpg", 0]]
    np.testing.assert_array_equal(made.points, [[[10, 11], [-3, 20]], [[np.nan] * 2, [7, 8]], [[9, 9], [np.nan] * 2]])
    assert made.instances["width"].iloc[0] == 64
    assert made.instances["width"].isna().tolist() == [False, False, True]
    assert lost == {
        "what boxes say of pose, age, occlusion and the like": (1, "pose in a.jpg"),
        "labels of boxes": (1, "a.jpg"),
        "boxes that are to be ignored": (1, "a.jpg"),
        "boxes without parts": (1, "a.jpg"),
    }


def numbered(numbers):
    parts = "".join(f"<part name='{number}' x='{10 * int(number)}' y='1'/>" for number in numbers)
    return f"<image file='a.jpg'><box top='0' left='0' width='9' height='9'>{parts}</box></image>"


@pytest.mark.parametrize(("first", "form"), [(0, "d"), (0, "02d"), (1, "d")])
def test_parts_that_are_numbers_are_sorted_as_numbers(first, form, tmp_path):
    names = sorted(f"{number:{form}}" for number in range(first, first + 68))

    made, reading, _ = taken(put(tmp_path, numbered(names)))

    assert reading.scheme.name == "ibug68"
    np.testing.assert_array_equal(made.points[0, :, 0], 10 * np.arange(first, first + 68))
    assert reading.notes == (["parts are numbered from 1"] if first else [])


def test_numbers_that_nobody_used_are_missing_points_of_the_users_scheme(tmp_path):
    scheme = parse_scheme('{"name": "four", "points": 4}', "four")

    made, _, _ = taken(put(tmp_path, numbered(["0", "2"])), scheme)

    np.testing.assert_array_equal(made.points[0, :, 0], [0, np.nan, 20, np.nan])
    named = parse_scheme('{"name": "three", "points": ["ear", "chin", "nose"]}', "three")
    np.testing.assert_array_equal(taken(put(tmp_path), named)[0].points[0], [[np.nan] * 2, [-3, 20], [10, 11]])
    with pytest.raises(SchemeError, match="say with --scheme"):
        taken(put(tmp_path, numbered(["0", "2"])))
    with pytest.raises(SchemeError, match="5 points, but scheme four has 4"):
        taken(put(tmp_path, numbered(["0", "4"])), scheme)
    with pytest.raises(SchemeError, match="2 landmarks, but scheme ibug68 has 68"):
        taken(put(tmp_path), load_scheme("ibug68"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<dataset>", '<!DOCTYPE dataset SYSTEM "a.dtd"><dataset>', "has a DOCTYPE"),
        ("x='10'", "x='ten'", r"image a\.jpg: a part is at x and y, not 'ten', '11'"),
        ("x='10'", "", r"image a\.jpg: a part is at x and y, not '', '11'"),
        ("x='10'", "x='1;0'", "not '1;0'"),
        ("x='10'", "x='1e999'", "not '1e999'"),
        ("name='chin' x='-3'", "name='nose' x='-3'", r"image a\.jpg: part 'nose' of a box is there twice"),
        ("width='64'", "width='wide'", "width is a number of pixels, not 'wide'"),
        ("file='a.jpg'", "file='C:\\a.jpg'", "starts with a drive"),
        ("</dataset>", "", "not well-formed XML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(old, new, says, tmp_path):
    file = put(tmp_path)
    file.write_bytes(file.read_bytes().replace(old.encode(), new.encode(), 1))

    with pytest.raises((FormatError, DataError), match=says) as error:
        taken(file)
    assert str(file) in str(error.value)


def test_a_file_without_parts_and_a_folder_are_named(tmp_path):
    with pytest.raises(FormatError, match="no box in it has parts"):
        taken(put(tmp_path, "<image file='a.jpg'><box top='0' left='0' width='9' height='9'/></image>"))
    with pytest.raises(DataError, match="format dlib reads one"):
        taken(tmp_path)


@pytest.mark.parametrize("name", ["testing_with_face_landmarks", "training_with_face_landmarks"])
def test_files_of_dlib_are_read_and_written_back_to_the_byte(name, shared_data, tmp_path):
    file = shared_data / "formats" / "dlib-xml" / f"{name}.xml"

    made, reading, lost = taken(file)
    write_back(DLIB, file, made, made, tmp_path / "back.xml")

    assert looks_like(file)[0] is DLIB
    assert reading.scheme.name == "ibug68"
    assert lost == {}
    assert made.labelled.all()
    assert (tmp_path / "back.xml").read_bytes() == file.read_bytes()
    assert all((file.parent / image).is_file() for image in made.instances["image"])


def test_numbers_that_moved_are_rounded_in_their_place_and_the_rounding_is_told(tmp_path, capsys):
    file = put(tmp_path, IMAGES.replace("x='9' y='9'", 'y = " 9 " x="9.25"'))
    made, _, _ = taken(file)
    moved = made.points.copy()
    moved[0, 0] += (0.75, 2)
    moved[2, 0] += (0.5, -2)

    write_back(DLIB, file, made, made.moved(moved, 1, {}, {}), tmp_path / "new.xml")

    assert (tmp_path / "new.xml").read_bytes() == (
        file.read_bytes().replace(b"x='10' y='11'", b"x='11' y='13'").replace(b'" 9 " x="9.25"', b'" 7 " x="9.75"')
    )
    assert "lost: positions between pixels (1; the first: a.jpg landmark 0)" in capsys.readouterr().err


def test_landmarks_of_a_shipped_scheme_are_written_by_number_so_that_dlib_keeps_their_order(tmp_path):
    scheme = load_scheme("ibug68")
    rows = [("a.jpg", 0, k, 3 * k, 2 * k) for k in range(68)]
    made = make_set(pd.DataFrame(rows, columns=["image", "instance", "landmark", "x", "y"]), scheme, {}, "here")

    write(DLIB, made, tmp_path / "out.xml")

    names = [line.split('"')[1] for line in (tmp_path / "out.xml").read_text().splitlines() if "<part" in line]
    assert names == sorted(names)
    again, reading, _ = taken(tmp_path / "out.xml")
    assert reading.scheme == scheme
    np.testing.assert_array_equal(again.points, made.points)


def test_an_instance_without_a_point_is_left_out_and_told(tmp_path):
    scheme = parse_scheme('{"name": "two", "points": 2}', "two")
    rows = [("a.jpg", 0, 0, np.nan, 5.0), ("a.jpg", 0, 1, np.nan, 2.0), ("a.jpg", 1, 0, 3, 4), ("a.jpg", 1, 1, 5, 6)]
    made = make_set(pd.DataFrame(rows, columns=["image", "instance", "landmark", "x", "y"]), scheme, {}, "here")

    lost = write(DLIB, made, tmp_path / "out.xml")

    assert [loss.kind for loss in lost] == ["instances without a labelled point", "instances that share an image"]
    assert taken(tmp_path / "out.xml", scheme)[0].points.tolist() == [[[3, 4], [5, 6]]]


def test_written_boxes_are_as_large_as_their_points_and_names_are_escaped(tmp_path):
    scheme = parse_scheme('{"name": "two", "points": 2}', "two")
    rows = [("it's & b.jpg", 0, 0, 3.4, 5.0), ("it's & b.jpg", 0, 1, 7.6, -0.2)]
    made = make_set(pd.DataFrame(rows, columns=["image", "instance", "landmark", "x", "y"]), scheme, {}, "here")

    lost = write(DLIB, made, tmp_path / "out.xml")

    text = (tmp_path / "out.xml").read_text()
    assert '<box top="0" left="3" width="6" height="6">' in text
    assert '<part name="0" x="3" y="5"/>' in text
    assert [str(loss) for loss in lost] == [
        "lost: positions between pixels (2; the first: it's & b.jpg instance 0 landmark 0)"
    ]
    assert set(taken(tmp_path / "out.xml", scheme)[0].instances["image"]) == {"it's & b.jpg"}
