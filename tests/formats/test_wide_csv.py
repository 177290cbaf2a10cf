"""Tables with a row for each object, however their columns are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.exchange import looks_like, read, write_back
from lmk.formats.wide_csv import WIDE_CSV
from lmk.scheme import parse_scheme
from tests.formats.sets import header

TWO = parse_scheme('{"name": "two", "points": 2}', "two")


def taken(path, scheme=None, form=WIDE_CSV):
    reading = read(form, path, scheme, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


@pytest.mark.parametrize(
    ("header", "names", "pattern"),
    [
        ("file,eye left_x,eye left_y,nose_x,nose_y", ("eye left", "nose"), "NAME_x, NAME_y"),
        ("file,eye.X,eye.Y,nose.X,nose.Y", ("eye", "nose"), "NAME_x, NAME_y"),
        ("x_eye,y_eye,x_nose,y_nose,file", ("eye", "nose"), "x_NAME, y_NAME"),
        ("file,x0,y0,x1,y1", None, "x1, y1"),
        ("X1,X2,Y1,Y2,file", None, "x1, y1"),
        ("file,landmark_1_x,landmark_1_y,landmark_2_x,landmark_2_y", None, "NAME_x, NAME_y"),
        ("file,p1x,p1y,p2x,p2y", None, "NAME1x, NAME1y"),
        ("file,eye_x,eye_y,nose_x,nose_y,x_size,y_size", ("eye", "nose"), "NAME_x, NAME_y"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_pattern_of_the_header_is_found(header, names, pattern, separator, tmp_path):
    source = tmp_path / "labels.csv"
    cells = header.split(",")
    numbers = {name: str(10 + place) for place, name in enumerate(cells)} | {"file": "a b.jpg"}
    lines = [separator.join(cells), separator.join(numbers[name] for name in cells)]
    source.write_text("\n".join(lines))

    made, reading = taken(source, None if names else TWO)

    assert looks_like(source)[0] is WIDE_CSV
    assert made.scheme.names == (names or TWO.names)
    assert f"columns {pattern}, " in reading.notes[-1]
    assert "'file' names the image" in reading.notes[-1]
    assert made.instances["image"].tolist() == ["a b.jpg"]
    x = [float(numbers[name]) for name in cells if "x" in name.lower() and "size" not in name]
    assert made.points[0, :, 0].tolist() == x


def test_the_examples_of_ml_morph(shared_data):
    folder = shared_data / "formats" / "tps"
    scheme = parse_scheme('{"name": "wing", "points": 12}', "wing")

    made, reading = taken(folder / "csv-example.csv", scheme)

    assert made.points[0, :2].tolist() == [[290, 108], [100, 179]]
    assert made.instances["image"][0] == "63001.jpg"
    assert "x1, y1, X1 and Y1 the first; 'id' names the image" in reading.notes[0]
    assert WIDE_CSV.sniff(folder, b"image,point,x,y,x_tps,y_tps\n") is None
    with pytest.raises(SchemeError, match="12 points without names"):
        taken(folder / "csv-example.csv")
    with pytest.raises(DataError, match=r"nobody says how large 63001\.jpg is"):
        taken(folder / "csv-example.csv", scheme, replace(WIDE_CSV, origin="bottom"))


def test_positions_that_count_from_the_bottom_are_read_with_the_heights_of_the_images(tmp_path):
    source = tmp_path / "labels.csv"
    source.write_text("image,a_x,a_y,b_x,b_y\ns/a.jpg,1,2,3,4\nb.jpg,5,6,7,8\n")
    header(tmp_path / "s" / "a.jpg", 30, 20)
    header(tmp_path / "b.jpg", 30, 40)

    made, _ = taken(source, form=replace(WIDE_CSV, origin="bottom"))

    assert made.instances[["image", "width", "height"]].to_numpy().tolist() == [["b.jpg", 30, 40], ["s/a.jpg", 30, 20]]
    assert made.points.tolist() == [[[5, 34], [7, 32]], [[1, 18], [3, 16]]]


def test_missing_points_other_columns_and_rows_of_one_image(tmp_path):
    source = tmp_path / "labels.csv"
    source.write_text(
        "\ufeffName,split,age,eye_x,eye_y,eye_v,nose_x,nose_y\r\n\r\n"
        'b\\a.jpg,val,7,1,2,1,,\r\n"b\\a.jpg",val,7,3,4,0,NaN,5\r\n"b\\a.jpg",val,7,3,4,,6,5\r\n'
    )

    made, reading = taken(source)

    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["b/a.jpg", 0, "val"], ["b/a.jpg", 2, "val"],
    ]  # fmt: skip
    assert made.column("visibility").tolist() == [[1, 0], [2, 2]]
    assert [(loss.kind, loss.count) for loss in reading.losses] == [
        ("columns", 1), ("coordinates without the other one", 1),
        ("positions of points that are said not to be labelled", 1), ("instances without a labelled point", 1),
    ]  # fmt: skip


def test_new_numbers_go_into_their_cells(tmp_path):
    source, target = tmp_path / "labels.csv", tmp_path / "new.csv"
    text = 'nose_y,"image",eye_x,eye_y,nose_x,note\r\n 3.50,"a,1.jpg","7",8,9.000,"says ""hm"""\r\n,b.jpg,1,2,,\r\n'
    source.write_text(text, newline="")
    made, _ = taken(source)
    points = made.points.copy()
    points[0, 0] += (0.25, 1)
    points[0, 1] += (0, 1)

    write_back(WIDE_CSV, source, made, made.moved(points, 1, {}, {}), target)

    assert made.scheme.names == ("nose", "eye")
    assert target.read_bytes().decode() == text.replace("3.50,", "4.50,").replace("9.000", "9.250").replace(
        ",8,", ",9,"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,a,b\n", "the header is 'image,a,b'; expected a column of images"),
        ("a_x,a_y,b_x,b_y\n1,2,3,4\n", "expected a column of images"),
        ("image,a_x,a_y,b_x,b_y\na.jpg,1,2,3\n", "line 2: 4 cells, but the header names 5"),
        ("image,a_x,a_y,b_x,b_y\na.jpg,1,2,3,u\n", "line 2: not a number"),
        ("image,a_x,a_y,b_x,b_y\na.jpg,1,2,3,1e999\n", "line 2: a number that is not finite"),
        ("image,a_x,a_y,b_x,b_y,a_v\na.jpg,1,2,3,4,7\n", "line 2: visibility is 0 .*, not 7"),
        ("image,a_x,a_y,b_x,b_y,split\na.jpg,1,2,3,4,both\n", "line 2: a split is train, val, test, not 'both'"),
        ("image,a_x,a_y,b_x,b_y,instance\na.jpg,1,2,3,4,-1\n", "line 2: an instance is a whole number"),
        ("", "the header is ''"),
    ],
)
def test_what_is_wrong_is_one_line(text, says, tmp_path):
    (tmp_path / "labels.csv").write_text(text)

    with pytest.raises(FormatError, match=says) as error:
        taken(tmp_path / "labels.csv")

    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_separators_are_not_written_back(tmp_path):
    source = tmp_path / "labels.csv"
    source.write_text("image;a_x;a_y;b_x;b_y\na.jpg;1;2;3;4\n")
    made, _ = taken(source)

    with pytest.raises(FormatError, match="where commas are between the cells"):
        write_back(WIDE_CSV, source, made, made, tmp_path / "new.csv")
    np.testing.assert_array_equal(made.points, [[[1, 2], [3, 4]]])
