"""YOLO pose, as Ultralytics 8.3 and Roboflow lay it out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.yolo import YOLO
from lmk.scheme import parse_scheme
from tests.formats.sets import header, placed, sized, table_of

YAML = """# made by hand
path: ../datasets/wings
train: images/train
val: images/val  # 1 image
test:
kpt_shape: [3, 3]
flip_idx: [0, 2, 1]
names:
  0: wing
  1: leg
kpt_names:
  0: [tip, left, right]
skeleton: [[1, 0], [0, 2]]
"""
LINES = (
    "\ufeff0 0.5 0.5 0.2 0.2 0.250000 0.50 2 0.1 0.2 1 0 0 0\r\n\r\n"
    "1 0.5 0.5 0.2 0.2  0.75 0.5 2\t0.3 0.3 2 0.4 0.4 0\r\n"
    "0 0.5 0.5 0.2 0.2 0 0 0 0 0 0 0 0 0"
)


def wings(folder, yaml=YAML, lines=LINES):
    for name, text in {"data.yaml": yaml, "labels/train/a b.txt": lines,
                       "labels/val/c.txt": "0 .5 .5 1 1 0 0 2 1 1 2 .5 .5 2\n"}.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return read_sizes(folder, {"images/train/a b.jpg": (200, 100), "images/val/c.png": (64, 32)})


def read_sizes(folder, sizes):
    for name, size in sizes.items():
        header(folder / name, *size)
    return folder


def test_a_dataset_as_the_tool_lays_it_out(tmp_path):
    reading = read(YOLO, wings(tmp_path), None, with_images=True)
    table = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")

    assert looks_like(tmp_path)[0] is YOLO
    assert looks_like(tmp_path / "data.yaml")[0] is YOLO
    assert (reading.scheme.names, reading.scheme.mirror, reading.scheme.contours) == (
        ("tip", "left", "right"), ((1, 2),), ((1, 0, 2),),
    )  # fmt: skip
    instances = table.instances
    assert instances["image"].tolist() == ["images/train/a b.jpg"] * 2 + ["images/val/c.png"]
    assert instances["split"].tolist() == ["train", "train", "val"]
    assert table.column("visibility").tolist() == [[2, 1, 0], [2, 2, 0], [2, 2, 2]]
    np.testing.assert_allclose(table.points[0, :2], [[49.5, 49.5], [19.5, 19.5]])
    np.testing.assert_allclose(table.points[2], [[-0.5, -0.5], [63.5, 31.5], [31.5, 15.5]])
    assert {loss.kind: (loss.count, loss.example.partition("txt: ")[2]) for loss in reading.losses} == {
        "boxes": (4, "line 1"),
        "classes of objects": (1, "line 3: class 1, and the first has 0"),
        "positions of points that are said not to be labelled": (1, "line 3: point 2"),
        "instances without a labelled point": (1, "line 4"),
    }


def test_two_numbers_a_point_no_names_lists_of_images_and_what_roboflow_writes(tmp_path):
    yaml = "train: ../train.txt\nval: [b/images, ./c]\nkpt_shape: [5, 2]\nnames: [a, b]\n"
    (tmp_path / "data.yaml").write_text(yaml)
    (tmp_path / "train.txt").write_text("./d/images/x.jpg\r\n\r\nd/images/y.jpg\n")
    read_sizes(tmp_path, dict.fromkeys(["d/images/x.jpg", "d/images/y.jpg", "b/images/z.png", "c/z.png"], (100, 100)))
    for name in ("d/labels/x.txt", "b/labels/z.txt", "c/z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("0 .5 .5 1 1 0 0 .1 .1 .2 .2 .3 .3 .4 .4\n")
    scheme = parse_scheme('{"name": "five", "points": 5}', "five")

    reading = read(YOLO, tmp_path, scheme, with_images=True)
    table = make_set((part.table for part in reading.parts), scheme, {}, "here")

    assert dict(zip(table.instances["image"], table.instances["split"], strict=True)) == {
        "b/images/z.png": "val", "c/z.png": "val", "d/images/x.jpg": "train",
    }  # fmt: skip
    assert table.column("visibility").tolist() == [[0, 2, 2, 2, 2]] * 3
    assert [(loss.kind, loss.count, loss.example) for loss in reading.losses][1] == (
        "images without a label file", 1, "d/images/y.jpg",
    )  # fmt: skip


def test_new_numbers_have_the_style_of_the_old_ones_and_all_else_stays(tmp_path):
    source, target = wings(tmp_path / "source"), tmp_path / "target"
    reading = read(YOLO, source, None, True)
    before = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")
    points = before.points.copy()
    points[0, 0] += (1, 0)
    points[1, 1] += (0, -1.5)

    write_back(YOLO, source, before, before.moved(points, 1, {}, {}), target)

    new = LINES.replace("0.250000", "0.255000").replace("\t0.3 0.3 2", "\t0.3 0.285000 2")
    assert (target / "labels/train/a b.txt").read_bytes() == new.encode()
    assert (target / "data.yaml").read_bytes() == YAML.encode()
    assert sorted(file.name for file in target.rglob("*.*")) == ["a b.txt", "c.txt", "data.yaml"]


def test_names_mirror_pairs_and_contours_are_written_and_read(tmp_path):
    scheme = parse_scheme(
        '{"name": "tail", "points": ["a: \\"é\\"", "b", "c"], "contours": [[0, 1, 2, 0]], "mirror": [[1, 2]]}', "tail"
    )
    rows = [("x/a.png", k, 10.0 + k, 20.0 - 3 * k, "val") for k in range(3)]
    made = sized(make_set(table_from(rows), scheme, {}, "made"), sizes=[(30, 24)])

    assert write(YOLO, made, tmp_path / "out") == []
    reading = read(YOLO, placed(made, tmp_path / "out"), None, True)
    again = make_set((part.table for part in reading.parts), reading.scheme, {}, "again")

    assert (again.scheme.names, again.scheme.contours, again.scheme.mirror) == (
        scheme.names, scheme.contours, scheme.mirror,
    )  # fmt: skip
    np.testing.assert_allclose(again.points, made.points, atol=1e-9)
    assert (tmp_path / "out" / "x" / "a.txt").read_text() == (
        "0 0.38333 0.72917 0.10000 0.29167 0.35000 0.8541666666666666 2 0.38333333333333336 0.7291666666666666 2 "
        "0.4166666666666667 0.6041666666666666 2\n"
    )


def table_from(rows):
    return pd.DataFrame(rows, columns=["image", "landmark", "x", "y", "split"]).assign(instance=0)


@pytest.mark.parametrize(
    ("yaml", "lines", "kind", "says"),
    [
        (YAML.replace("[3, 3]", "[3, 4]"), LINES, FormatError, r"kpt_shape is \[3, 4\]; expected"),
        (YAML.replace("[3, 3]", "[99999999999, 3]"), LINES, FormatError, "kpt_shape is"),
        (YAML.replace("[3, 3]", "&a [*a, 3]"), LINES, FormatError, "data.yaml: not YAML"),
        (YAML.replace("images/", "nowhere/"), LINES, DataError, "nowhere/train: no images in it"),
        (YAML.replace("images/train", "/data/train"), LINES, FormatError, "is a place on the machine"),
        (YAML.replace("images/train", "a/../../x.txt"), LINES, DataError, "leads out of the folder"),
        (YAML.replace("train: images/train", "").replace("val: ", "x: "), LINES, FormatError, "says of no split"),
        (YAML.replace("[0, 2, 1]", "[1, 2, 0]"), LINES, FormatError, "flip_idx is"),
        (YAML.replace("[1, 0]", "[1, 3]"), LINES, FormatError, "skeleton is"),
        (YAML.replace("tip,", "left,"), LINES, FormatError, "names of landmarks are"),
        (YAML.replace("kpt_names", "other"), LINES, SchemeError, "3 points without names"),
        (YAML, LINES + " 1", FormatError, r"b\.txt: line 4: 15 numbers; .* \[3, 3\], so there are 14"),
        (YAML, LINES.replace("0.50 2", "0.50 3"), FormatError, "line 1: visibility is 0 .*, not 3"),
        (YAML, LINES.replace("0.50 2", "x 2"), FormatError, "line 1: not a number"),
        (YAML, LINES.replace("0.50 2", "inf 2"), FormatError, "line 1: a number that is not finite"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(yaml, lines, kind, says, tmp_path):
    with pytest.raises(kind, match=says) as error:
        list(read(YOLO, wings(tmp_path, yaml, lines), None, True).parts)

    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_two_images_with_one_label_file_are_refused(tmp_path):
    rows = [(name, k, 1.0, 2.0 + k, "val") for name in ("a.png", "a.jpg") for k in range(3)]
    made = sized(make_set(table_from(rows), parse_scheme('{"name": "t", "points": 3}', "t"), {}, "made"))

    with pytest.raises(DataError, match=r"would get the label file of another, a\.txt"):
        write(YOLO, made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_points_beyond_the_edge_are_told_as_the_tool_leaves_their_image_out(tmp_path):
    rows = [("a.png", k, 1.0, -2.0 + k, "val") for k in range(3)]
    made = sized(make_set(table_from(rows), parse_scheme('{"name": "t", "points": 3}', "t"), {}, "made"))

    [loss] = write(YOLO, made, tmp_path / "out")

    assert str(loss) == "lost: images that Ultralytics leaves out, as points lie outside of them (1; the first: a.png)"
    table = table_of(YOLO, tmp_path / "out", made.scheme, False, placed(made, tmp_path / "images"))
    np.testing.assert_allclose(table["y"], [-2, -1, 0])
