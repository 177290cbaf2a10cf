"""LabelMe's files, as version 5.5 writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.labelme import LABELME
from lmk.formats.labelme_file import opened
from lmk.formats.source import Source
from lmk.scheme import parse_scheme

WING = parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing")


def shape(label, x, y, group=None, kind="point", **more):
    return {"label": label, "points": [[x, y]], "group_id": group, "description": "", "shape_type": kind, "flags": {},
            "mask": None, **more}  # fmt: skip


def put(folder, name, *shapes, **more):
    tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name.rpartition('/')[2]}.png",
            "imageData": None, "imageHeight": 60, "imageWidth": 80, **more}  # fmt: skip
    file = folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree, indent=2, ensure_ascii=False))
    return file


PAIR = [shape("tip", 3.5, 4), shape("root", 0.5, 0.5)]


def reading_of(folder, scheme=WING):
    reading = read(LABELME, folder, scheme, with_images=False)
    return make_set([part.table for part in reading.parts], reading.scheme, {}, "here"), reading


def test_points_count_from_the_corner_and_groups_are_objects(tmp_path):
    put(
        tmp_path,
        "a",
        *PAIR,
        shape("root", 9.5, 9.5, group=7),
        shape("tip", 8.5, 8.5, group=7),
        shape("tip", 1, 1, group=2),
    )
    put(tmp_path, "deep/ä b", *PAIR, imageHeight=None)

    made, reading = reading_of(tmp_path, None)

    assert looks_like(tmp_path)[0].name == "labelme"
    assert made.scheme.names == ("tip", "root")
    assert made.instances[["image", "instance"]].to_numpy().tolist() == [
        ["a.png", 0], ["a.png", 1], ["a.png", 2], ["deep/ä b.png", 0]
    ]  # fmt: skip
    np.testing.assert_array_equal(
        made.points[:3], [[[3, 3.5], [0, 0]], [[8, 8], [9, 9]], [[0.5, 0.5], [np.nan, np.nan]]]
    )
    assert made.instances["width"].tolist()[:3] == [80, 80, 80]
    assert np.isnan(made.instances["width"][3])
    assert list(reading.losses) == []


def test_what_does_not_come_through_is_counted(tmp_path):
    box = shape("bird", 1, 1, group=1, kind="rectangle")
    put(tmp_path, "a", *PAIR, box, shape("tip", 2, 2, group=1, flags={"occluded": True, "other": False}))
    put(tmp_path, "b", box)
    (tmp_path / "scheme.json").write_text('{"name": "wing"}')

    _, reading = reading_of(tmp_path)

    assert [(loss.kind, loss.count) for loss in reading.losses] == [
        ("JSON files that are not of LabelMe", 1),
        ("shapes of type 'rectangle'", 2),
        ("flags of points", 1),
        ("files without points", 1),
    ]


@pytest.mark.parametrize(
    ("path", "image", "noted"),
    [
        ("a.png", "deep/a.png", False),
        ("..\\pictures\\a.png", "pictures/a.png", False),
        ("../../a.png", "deep/a.png", True),
        ("C:\\Users\\ann\\a.png", "deep/a.png", True),
        ("/home/ann/a.png", "deep/a.png", True),
    ],
)
def test_paths_of_images_are_relative_to_the_file_and_stay_in_the_folder(tmp_path, path, image, noted):
    put(tmp_path, "deep/x", *PAIR, imagePath=path)

    made, reading = reading_of(tmp_path)

    assert made.instances["image"].tolist() == [image]
    assert len(reading.notes) == noted


def test_the_picture_in_a_file_is_neither_held_nor_parsed(tmp_path, monkeypatch):
    file = put(tmp_path, "a", *PAIR, imageData="A" * 5_000_000)
    held = []
    monkeypatch.setattr(
        "lmk.formats.labelme_file.parsed", lambda each, file: held.append(each) or json.loads(each.data)
    )

    opened(Source(tmp_path), file, None)

    assert sorted(each.key for each in held) == ["imageHeight", "imagePath", "imageWidth", "shapes", "shapes"]


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (
            [*PAIR, shape("tip", 1, 1)],
            "label 'tip' is there twice in group None; give the points of each",
        ),
        ([shape("tip", "1", 1)], "point 'tip' is at .* which is no"),
        ([shape("tip", float("nan"), 1)], "point 'tip' is at .* which is no"),
        ([{**PAIR[0], "points": [[1, 2], [3, 4]]}], "point 'tip' is at .* which is no"),
        ([{**PAIR[0], "points": None}], "point 'tip' is at None, which is no"),
        ([shape("", 1, 1)], "a point has the label ''"),
        ([shape("tip", 1, 1, group=[1])], r"point 'tip' has the group_id \[1\]"),
        ([[1]], r"a shape is \[1\]"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, shapes, says):
    file = put(tmp_path, "a", *shapes)

    with pytest.raises(FormatError, match=says) as error:
        reading_of(tmp_path)

    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_folders_without_points_and_single_files_are_named(tmp_path):
    file = put(tmp_path, "a", shape("bird", 1, 1, kind="circle"))

    with pytest.raises(DataError, match="no points of LabelMe in it"):
        reading_of(tmp_path)
    with pytest.raises(DataError, match="no such folder; format labelme reads a folder"):
        reading_of(file)
    with pytest.raises(FormatError, match="imagePath is 5"):
        reading_of(put(tmp_path, "a", *PAIR, imagePath=5).parent)


def test_new_numbers_come_into_their_shapes_and_the_picture_stays(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    file = put(source, "sub/a", shape("bird", 3.5, 4, kind="rectangle"), *PAIR, imageData="QUJD", extra={"é": [3.5]})
    put(source, "b", *PAIR)
    (source / "b.png").write_bytes(b"picture")
    before, _ = reading_of(source)
    points = before.points.copy()
    points[1, 0] += [0.25, 1]

    write_back(LABELME, source, before, before.moved(points, 1, {}, {}), target)

    expected = file.read_text().replace(
        '"tip",\n      "points": [\n        [\n          3.5,\n          4\n',
        '"tip",\n      "points": [\n        [\n          3.750,\n          5\n',
    )
    assert expected != file.read_text()
    assert {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*.*")} == {
        "sub/a.json": expected, "b.json": (source / "b.json").read_text()
    }  # fmt: skip


def test_what_we_write_looks_as_labelme_writes_it(tmp_path):
    put(tmp_path / "in", "sub/a", *PAIR, shape("tip", 9, 9, group=1))
    made, _ = reading_of(tmp_path / "in")

    write(LABELME, made, tmp_path / "out")

    found = json.loads((tmp_path / "out" / "sub" / "a.json").read_text())
    theirs = json.loads((tmp_path / "in" / "sub" / "a.json").read_text())
    for each, group in zip(theirs["shapes"], (0, 0, 1), strict=True):
        each["group_id"] = group
    assert found == theirs
    twice = make_set(made.frame.assign(image=made.frame["instance"].map({0: "a.png", 1: "a.jpg"})), WING, {}, "x")
    with pytest.raises(DataError, match="two images would get the same JSON file"):
        write(LABELME, twice, tmp_path / "again")
