"""TPS files, as tpsDig 2.3 writes them."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, ImageError, SchemeError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.tps import TPS
from lmk.scheme import parse_scheme
from tests.formats.sets import header, sized

TWO = parse_scheme('{"name": "two", "points": 2}', "two")
FIVE = parse_scheme('{"name": "five", "points": 5}', "five")
TEXT = (
    "LM=2\r\n10.00000 90.00000\r\n 3  4.50\r\nCURVES=1\r\nPOINTS=3\r\n1 1\r\n2 2\r\n3 3\r\n"
    "IMAGE=a b.jpg\r\nID=0\r\nSCALE=0.250000\r\n"
    "lm=2\r\n-1.00000 -1.00000\r\n5 6\r\nCURVES=1\r\nPOINTS=3\r\n1 1\r\nNA NA\r\n-3 3\r\n"
    "IMAGE=a b.jpg\r\nID=1\r\nCOMMENT=left wing"
)


def wings(folder, text=TEXT):
    header(folder / "a b.jpg", 200, 100)
    (folder / "wings.tps").write_bytes(text.encode())
    return folder / "wings.tps"


def taken(path, scheme=None):
    reading = read(TPS, path, scheme, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


def test_the_example_of_ml_morph(shared_data, tmp_path):
    text = (shared_data / "formats" / "tps" / "tps-example.tps").read_text()
    (tmp_path / "wings.tps").write_text(text)
    for name in {line.partition("=")[2] for line in text.splitlines() if line.startswith("IMAGE")}:
        header(tmp_path / name, 632, 480)
    scheme = parse_scheme('{"name": "wing", "points": 12}', "wing")

    made, reading = taken(tmp_path / "wings.tps", scheme)

    assert looks_like(tmp_path / "wings.tps")[0] is TPS
    assert made.points.shape == (58, 12, 2)
    assert made.points[0, :2].tolist() == [[290, 372], [100, 301]]  # as its landmarks_image_coords.csv has them
    assert [str(loss) for loss in reading.losses] == [
        f"lost: ID= (58; the first: {tmp_path / 'wings.tps'}: line 1: ID=0)"
    ]
    with pytest.raises(SchemeError, match="12 points without names"):
        taken(tmp_path / "wings.tps")


def test_curves_are_contours_where_there_is_place(tmp_path):
    source = wings(tmp_path)

    made, reading = taken(source)

    assert made.scheme.contours == ((2, 3, 4),)
    assert reading.notes == ["points of 1 curves are landmarks 2 to 4, each curve a contour"]
    assert made.instances[["image", "instance"]].to_numpy().tolist() == [["a b.jpg", 0], ["a b.jpg", 1]]
    np.testing.assert_array_equal(
        made.points, [[[10, 10], [3, 95.5], [1, 99], [2, 98], [3, 97]],
                      [[np.nan] * 2, [5, 94], [1, 99], [np.nan] * 2, [-3, 97]]],
    )  # fmt: skip
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("ID=", 2), ("SCALE=", 1), ("COMMENT=", 1)]
    np.testing.assert_array_equal(taken(source, FIVE)[0].points, made.points)
    few, reading = taken(source, TWO)
    np.testing.assert_array_equal(few.points, made.points[:, :2])
    assert ("points of curves", 6) in [(loss.kind, loss.count) for loss in reading.losses]


def test_curves_that_differ_and_outlines_are_lost(tmp_path):
    text = "LM=2\n1 2\n3 4\nOUTLINES=1\nPOINTS=2\n1 1\n2 2\nIMAGE=a b.jpg\nLM=2\n1 2\n3 4\nIMAGE=a b.jpg\n"

    made, reading = taken(wings(tmp_path, text), TWO)

    assert made.points.shape == (2, 2, 2)
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("OUTLINES=", 1), ("points of curves", 2)]


def test_new_numbers_stand_where_the_old_ones_did(tmp_path):
    source, target = wings(tmp_path), tmp_path / "new.tps"
    made, _ = taken(source)
    points = made.points.copy()
    points[0, 0] += (0, 1)
    points[0, 1] += (2, 0.25)
    points[1, 4] += (1, 0)

    write_back(TPS, source, made, made.moved(points, 1, {}, {}), target)

    new = TEXT.replace("90.00000", "89.00000").replace(" 3  4.50", " 5  4.25").replace("-3 3", "-2 3")
    assert target.read_bytes() == new.encode()


def test_a_point_that_would_be_taken_for_missing_is_told(tmp_path):
    made, _ = taken(wings(tmp_path), TWO)
    points = made.points.copy()
    points[0, 0] = (-2, 103)

    [loss] = write(TPS, sized(made.moved(points, 1, {}, {}), [(200, 100)]), tmp_path / "new.tps")

    assert (loss.count, loss.example) == (1, "a b.jpg landmark 0")
    assert (tmp_path / "new.tps").read_text().startswith("LM=2\n-1 -1\n3.000000 4.500000\nIMAGE=a b.jpg\nID=0\nLM=2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LM3=2\n1 2 3\n4 5 6\nIMAGE=a.jpg\n", "line 1: LM3= are points in three dimensions"),
        ("LM=3\n1 2\nIMAGE=a.jpg\n", "line 1: 2 points less than the block says"),
        ("LM=1\n1 2\n3 4\nIMAGE=a.jpg\n", "line 3: '3 4' belongs to nothing"),
        ("LM=2\n1 2\n3 4\nID=1\n", "line 1: no IMAGE= in the block"),
        ("LM=2\n1 2\n3 inf\nIMAGE=a.jpg\n", "line 3: a position that is not finite"),
        ("LM=2\n1 2\n3 4 5\nIMAGE=a.jpg\n", "line 3: want a point, x and y"),
        ("LM=99999999999999\n", "LM=99999999999999; expected a number of points"),
        ("LM=2\n1 2\n3 4\nPOINTS=1\n1 1\nIMAGE=a.jpg\n", "POINTS= behind neither"),
        ("LM=2\n1 2\n3 4\nIMAGE=a b.jpg\nLM=1\n1 2\nIMAGE=a b.jpg\n", "line 5: 1 points, but the scheme two has 2"),
        ("LM=2\n1 2\n3 4\nCOMMENT=" + "x" * 70000, "line 4: longer than 65536"),
        ("LM=2\n1 2\n3 4\n" + "\n" * 30000, "more than 1000 lines of a block that are no points"),
        ("ID=1\n", "no LM= with points in it"),
    ],
)
def test_what_is_wrong_is_one_line(text, says, tmp_path):
    source = wings(tmp_path, text)

    with pytest.raises(FormatError, match=says) as error:
        taken(source, TWO)

    assert str(source) in str(error.value)
    assert "\n" not in str(error.value)


def test_heights_come_from_images_that_have_to_be_there(tmp_path):
    source = wings(tmp_path)
    (tmp_path / "a b.jpg").unlink()

    with pytest.raises(DataError, match=r"nobody says how large a b\.jpg is"):
        taken(source)
    (tmp_path / "a b.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="not an image"):
        taken(source)
