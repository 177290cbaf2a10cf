"""COCO-WholeBody: all 133 points, and its parts; files as its authors give them (version 1.0)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import FormatError, SchemeError
from lmk.formats.coco_wholebody import COCO_WHOLEBODY
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.landmarks import chosen
from lmk.scheme import load_scheme
from tests.formats.sets import counted

SIZES = {"face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21, "foot_kpts": 6, "keypoints": 17}
STARTS = {"keypoints": 0, "foot_kpts": 17, "face_kpts": 23, "lefthand_kpts": 91, "righthand_kpts": 112}


def person(number, **more):
    """Each point is at its number among the 133, and the person's number."""
    lists = {key: [value for k in range(size) for value in (STARTS[key] + k, number + 0.5, 2)]
             for key, size in SIZES.items()}  # fmt: skip
    boxes = {key.replace("_kpts", "_box"): [1.0, 2.0, 3.0, 4.0] for key in SIZES if "foot" not in key}
    valid = {key.replace("_kpts", "_valid"): True for key in SIZES if key != "keypoints"}
    return {"iscrowd": 0, "image_id": 785, "bbox": [1, 2, 3, 4], "category_id": 1, "id": number, "num_keypoints": 17,
            **boxes, **valid, **lists, **more}  # fmt: skip


def put(tmp_path, *people):
    names = list(load_scheme("coco17").names)
    tree = {
        "info": {"description": "COCO-WholeBody", "version": "1.0"},
        "images": [{"id": 785, "file_name": "000000000785.jpg", "width": 640, "height": 425}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": [[16, 14]]}],
    }
    file = tmp_path / "coco_wholebody_val_v1.0.json"
    file.write_text(json.dumps(tree))
    return file


def reading_of(file, scheme=None):
    reading = read(COCO_WHOLEBODY, file, scheme, with_images=False)
    return make_set([part.table for part in reading.parts], reading.scheme, {}, "here"), reading


def test_all_points_come_in_the_order_body_feet_face_hands(tmp_path):
    file = put(tmp_path, person(1), person(2))

    made, _ = reading_of(file)

    assert looks_like(file)[0].name == "coco-wholebody"
    assert made.scheme.name == "wholebody133"
    assert made.points[:, :, 0].tolist() == [list(range(133))] * 2
    assert made.points[:, 0, 1].tolist() == [1.5, 2.5]
    assert made.instances["split"].tolist() == ["val", "val"]
    names = made.scheme.names
    assert [names[k] for k in (16, 17, 22, 23, 91, 112)] == [
        "right_ankle", "left_big_toe", "right_heel", "face_00", "left_hand_wrist", "right_hand_wrist"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "first"),
    [(load_scheme("coco17"), 0), (counted(23), 0), (counted(6), 17), (load_scheme("ibug68"), 23)],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_size_of_a_scheme_asks_for_a_part(tmp_path, scheme, first):
    made, reading = reading_of(put(tmp_path, person(1)), scheme)

    assert made.points[0, :, 0].tolist() == list(range(first, first + scheme.size))
    assert "'lefthand_kpts' of annotations" in [loss.kind for loss in reading.losses]


def test_each_hand_is_an_instance(tmp_path):
    file = put(tmp_path, person(1, lefthand_valid=False), person(2))

    made, reading = reading_of(file, load_scheme("hand21"))

    assert made.points[:, 0].tolist() == [[112, 1.5], [91, 2.5], [112, 2.5]]
    assert made.instances["instance"].tolist() == [0, 1, 2]
    assert reading.notes[0] == "the left and the right hand of a person are two instances, in this order"
    told = {loss.kind: loss.count for loss in reading.losses}
    assert told["lefthand_kpts that are said not to be valid"] == 1
    assert told["annotations without labelled points"] == 1


def test_new_numbers_find_their_list_wherever_it_stands(tmp_path):
    file, target = put(tmp_path, person(1), person(2, lefthand_kpts=[], foot_kpts=None)), tmp_path / "new.json"
    for scheme in (None, load_scheme("hand21")):
        before, _ = reading_of(file, scheme)
        after = before.moved(before.points + 0.25, 1, {}, {})

        write_back(COCO_WHOLEBODY, file, before, after, target)

        np.testing.assert_array_equal(reading_of(target, scheme)[0].points, after.points)
        old, new = (json.loads(path.read_text())["annotations"] for path in (file, target))
        rest = [{key: value for key, value in each.items() if key not in SIZES} for each in old]
        assert [{key: each[key] for key in kept} for each, kept in zip(new, rest, strict=True)] == rest
        write_back(COCO_WHOLEBODY, file, before, before, target)
        assert target.read_bytes() == file.read_bytes()


def test_what_we_write_has_all_five_lists_as_the_benchmarks_tools_expect(tmp_path):
    face, _ = reading_of(put(tmp_path, person(1)), load_scheme("ibug68"))

    write(COCO_WHOLEBODY, face, tmp_path / "out.json")

    [found] = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert {key: len(found[key]) // 3 for key in SIZES} == SIZES
    assert (found["num_keypoints"], found["face_valid"], found["foot_valid"]) == (0, True, False)
    assert looks_like(tmp_path / "out.json")[0].name == "coco-wholebody"
    np.testing.assert_array_equal(reading_of(tmp_path / "out.json", face.scheme)[0].points, face.points)


def test_other_sizes_and_hands_of_nobody_are_refused(tmp_path):
    file = put(tmp_path, person(1))
    hands, _ = reading_of(file, load_scheme("hand21"))

    with pytest.raises(SchemeError, match=r"has 133 points, or 17 of the body, .*; scheme wflw98 has 98"):
        reading_of(file, load_scheme("wflw98"))
    with pytest.raises(FormatError, match="says which hand it is, a set does not; use format coco"):
        write(COCO_WHOLEBODY, hands, tmp_path / "out.json")


def test_points_that_two_schemes_have_as_many_of_are_asked_for():
    with pytest.raises(SchemeError, match="21 points without names; aflw21 and hand21 have as many; say with --scheme"):
        chosen(None, 21, "here")
    assert chosen(None, 133, "here").name == "wholebody133"


def test_the_schemes_of_people_agree_with_each_other():
    whole, body, hand, face = (load_scheme(name) for name in ("wholebody133", "coco17", "hand21", "ibug68"))

    assert whole.names[:17] == body.names
    assert whole.mirror[: len(body.mirror)] == body.mirror
    for start, side in ((91, "left"), (112, "right")):
        assert whole.names[start : start + 21] == tuple(f"{side}_hand_{name}" for name in hand.names)
        assert {tuple(k + start for k in chain) for chain in hand.contours} <= set(whole.contours)
    assert {tuple(k + 23 for k in chain) for chain in face.contours} <= set(whole.contours)
    assert {(left + 23, right + 23) for left, right in face.mirror} <= set(whole.mirror)
    sides = [(whole.names[left], whole.names[right]) for left, right in whole.mirror if left < 23 or left > 90]
    assert all(left.replace("left", "right") == right for left, right in sides)
    assert len(whole.mirror) == 8 + 3 + len(face.mirror) + 21
