"""COCO keypoints: files as COCO, datumaro, Label Studio and pycocotools have them, and what is wrong with some."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO as PEER

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.coco import COCO
from lmk.formats.edges import contours_of
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.scheme import load_scheme, parse_scheme
from tests.formats.sets import table_of

WING = parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing")
CATEGORY = {"id": 7, "name": "wing", "supercategory": "", "keypoints": ["tip", "root"], "skeleton": [[1, 2]]}


def annotation(number, points, **more):
    return {"id": number, "image_id": 5, "category_id": 7, "iscrowd": 0, "keypoints": points, **more}


def dataset(*annotations, **more):
    return {
        "images": [{"id": 5, "file_name": "sub\\a.jpg", "width": 40, "height": 30}],
        "annotations": list(annotations),
        "categories": [CATEGORY],
        **more,
    }


GOOD = annotation(1, [3, 4.5, 2, 0, 0, 0])


def put(tmp_path, tree, name="labels.json"):
    file = tmp_path / name
    file.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return file


def reading_of(file, scheme=WING):
    reading = read(COCO, file, scheme, with_images=False)
    parts = [part.table for part in reading.parts]
    return make_set(parts, reading.scheme, {}, "here"), reading


def test_points_flags_and_sizes_are_read_as_they_stand(tmp_path):
    file = put(tmp_path, dataset(GOOD, annotation(2, [0, 0, 2, 7, 8, 1]), annotation(3, [1, 2, 0, 3, 3, 2])))

    made, reading = reading_of(file)

    assert made.instances[["image", "instance", "width", "height"]].to_numpy().tolist() == [
        ["sub/a.jpg", 0, 40, 30], ["sub/a.jpg", 1, 40, 30], ["sub/a.jpg", 2, 40, 30]
    ]  # fmt: skip
    np.testing.assert_array_equal(
        made.points[:, 0], [[3, 4.5], [0, 0], [np.nan, np.nan]]
    )  # v decides, not the position
    assert made.column("visibility").tolist() == [[2, 0], [2, 1], [0, 2]]
    assert [str(loss) for loss in reading.losses] == [
        "lost: positions of points that are said not to be labelled (1; the first: annotation 3)"
    ]


def test_images_may_stand_behind_annotations_and_the_rest_is_told(tmp_path):
    tree = dataset(
        GOOD,
        annotation(2, [1, 1, 2, 2, 2, 2], iscrowd=1),
        annotation(3, [], segmentation=[[1, 2, 3, 4]]),
        annotation(4, [0] * 6),
        annotation(5, [1, 1, 2, 2, 2, 2], category_id=8),
        annotation(6, [1, 1, 2, 2, 2, 2], image_id=99),
        annotation(7, [1, 1, 0.25, 2, 2, 2], score=0.5, bbox=[1, 1, 2, 2], attributes={}),
    )
    tree["images"].append({"id": "six", "file_name": "b.jpg"})
    order = {"categories": tree["categories"] + [{"id": 8, "name": "tree"}], "annotations": tree["annotations"]}

    made, reading = reading_of(put(tmp_path, {**order, "images": tree["images"]}))

    assert len(made.instances) == 2
    assert [(loss.kind, loss.count, loss.example) for loss in reading.losses] == [
        ("crowds", 1, "annotation 2"),
        ("annotations without keypoints", 1, "annotation 3"),
        ("annotations of other categories", 1, "annotation 5"),
        ("'score' of annotations", 1, "annotation 7"),
        ("boxes", 1, "annotation 7"),
        ("annotations of images that are not listed", 1, "annotation 6"),
        ("annotations without labelled points", 1, "annotation 4"),
        ("numbers other than 0, 1 and 2 as visibility", 1, "annotation 7"),
        ("images without labels", 1, "b.jpg"),
    ]


def test_names_and_chains_come_from_the_category_and_other_orders_are_put_right(tmp_path):
    category = {**CATEGORY, "keypoints": list("abcde"), "skeleton": [[3, 2], [1, 2], [4, 5]]}
    tree = dataset(annotation(1, [1, 1, 2, 2, 2, 2, 3, 3, 2, 4, 4, 2, 5, 5, 2]), categories=[category])
    other = parse_scheme('{"name": "other", "points": ["e", "d", "c", "b", "a"]}', "other")

    made, _ = reading_of(put(tmp_path, tree), None)
    turned, reading = reading_of(put(tmp_path, tree), other)
    _, third = reading_of(put(tmp_path, tree), parse_scheme('{"name": "third", "points": 5}', "third"))

    assert made.scheme.names == tuple("abcde")
    assert made.scheme.contours == ((0, 1, 2), (3, 4))
    assert turned.points[0, :, 0].tolist() == [5, 4, 3, 2, 1]
    assert reading.notes == []
    assert third.notes == ["landmarks are taken in the order of the file: it calls number 0 'a', scheme third 'p0'"]


@pytest.mark.parametrize(
    ("skeleton", "contours", "note"),
    [
        ([[0, 1]], ((0, 1),), "points of the skeleton count from 0, as datumaro writes them; COCO counts them from 1"),
        ([[1, 2], [2, 1]], ((0, 1),), None),
        ([[1, 3]], (), "the skeleton has points that the category does not name; it is not read"),
        ([[1, "a"]], (), "the skeleton is no list of pairs of points; it is not read"),
        (None, (), None),
    ],
)
def test_skeletons_count_from_one_unless_a_point_is_zero(tmp_path, skeleton, contours, note):
    made, reading = reading_of(put(tmp_path, dataset(GOOD, categories=[{**CATEGORY, "skeleton": skeleton}])), None)

    assert made.scheme.contours == contours
    assert reading.notes == ([note] if note else [])


def test_lines_that_branch_are_no_contour_and_closed_ones_end_where_they_start():
    found, left = contours_of([(5, 4), (4, 3), (3, 5), (0, 1), (0, 2), (0, 6), (9, 8), (8, 8)])

    assert found == [[3, 4, 5, 3], [8, 9]]
    assert left == [(0, 1), (0, 2), (0, 6)]


def test_numbers_for_names_are_no_names(tmp_path):
    face = {**CATEGORY, "keypoints": [str(k) for k in range(1, 99)], "skeleton": []}
    three = {**CATEGORY, "keypoints": ["1", "2", "3"]}

    assert (
        reading_of(put(tmp_path, dataset(annotation(1, [1] * 294), categories=[face])), None)[1].scheme.name == "wflw98"
    )
    assert (
        reading_of(put(tmp_path, dataset(annotation(1, [1] * 9), categories=[three])), None)[1].scheme.names[0] == "1"
    )


def test_of_several_categories_the_one_with_landmarks_is_read_or_the_user_is_asked(tmp_path):
    box, leaf = {"id": 1, "name": "box"}, {"id": 9, "name": "leaf", "keypoints": ["a", "b", "c"]}
    bird = {**CATEGORY, "id": 8, "name": "bird"}
    here, there = GOOD, annotation(2, [1, 1, 1] * 3, category_id=9)

    made, _ = reading_of(put(tmp_path, dataset(here, annotation(3, None, category_id=1), categories=[box, CATEGORY])))
    assert len(made.instances) == 1
    with pytest.raises(
        SchemeError, match=r"category 'wing' \(2 points\) and category 'leaf' \(3 points\) have different"
    ):
        reading_of(put(tmp_path, dataset(here, there, categories=[CATEGORY, leaf])), None)
    chosen, reading = reading_of(put(tmp_path, dataset(here, there, categories=[CATEGORY, leaf])), WING)
    assert len(chosen.instances) == 1
    assert reading.notes == ["read is category 'wing'; other categories have landmarks, too"]
    both, reading = reading_of(
        put(tmp_path, dataset(here, {**here, "category_id": 8}, categories=[CATEGORY, bird])), None
    )
    assert len(both.instances) == 2
    assert reading.notes == ["categories 'wing', 'bird' have the same landmarks, and are read as one"]
    assert [loss.kind for loss in reading.losses] == ["categories"]


def test_without_names_the_number_of_points_decides(tmp_path):
    tree = dataset(annotation(1, [5, 5, 2] * 98), categories=[{"id": 7, "name": "face"}])

    assert reading_of(put(tmp_path, tree), None)[1].scheme.name == "wflw98"
    with pytest.raises(SchemeError, match="98 points, but scheme wing has 2"):
        reading_of(put(tmp_path, tree), WING)
    with pytest.raises(FormatError, match="no annotation has keypoints"):
        reading_of(put(tmp_path, dataset(categories=[])), None)


@pytest.mark.parametrize(
    ("name", "split"),
    [("person_keypoints_val2017", "val"), ("Test", "test"), ("train-val", "train"), ("latest", "train"),
     ("face_validation", "val"), ("labels", "train")],
)  # fmt: skip
def test_the_name_of_the_file_says_the_split(tmp_path, name, split):
    made, reading = reading_of(put(tmp_path, dataset(GOOD), f"{name}.json"))

    assert made.instances["split"].tolist() == [split]
    assert bool(reading.notes) == (name not in ("train-val", "latest", "labels"))


@pytest.mark.parametrize("maker", ["Label Studio", "made by CVAT"])
def test_makers_whose_positions_count_from_the_corner_are_told(tmp_path, maker):
    _, reading = reading_of(put(tmp_path, dataset(GOOD, info={"contributor": maker, "year": 2026})))

    [note] = reading.notes
    assert "half a pixel more than COCO's definition; if these do, say --origin corner" in note


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (dataset(annotation(1, [1, 2, 2])), "annotation 1: keypoints has 3 numbers, expected 6: x, y, visibility of 2"),
        (dataset(annotation(1, [1, 2, 2, 3, None, 2])), "annotation 1: point 1 of its keypoints has None"),
        (dataset(annotation(1, [1, 2, 2, 3, "4", 2])), "annotation 1: point 1 of its keypoints has '4'"),
        (dataset(annotation(1, [1, 2, 2, 3, True, 2])), "annotation 1: point 1 of its keypoints has True"),
        (dataset(annotation(1, [1, 2, 2, 3, [4], 2])), "annotation 1: point 1 of its keypoints has "),
        (dataset(annotation(1, [1, 2, -1, 3, 4, 2])), "annotation 1: point 0 of its keypoints has -1"),
        (dataset(annotation(1, [1, 2, 2, 3, float("nan"), 2])), "annotation 1: point 1 of its keypoints has nan"),
        (json.dumps(dataset(GOOD)).replace("4.5", "1e999"), "annotation 1: its keypoints: not JSON"),
        (json.dumps(dataset(GOOD)).replace("4.5", "9" * 400), "annotation 1: its keypoints: not JSON .*400 digits"),
        (json.dumps(dataset(GOOD)).replace("4.5", "- 5"), "annotation 1: its keypoints: not JSON"),
        (dataset(annotation(1, 5)), "annotation 1: keypoints is a list of numbers, not 5"),
        (dataset({**GOOD, "image_id": None}), "annotation 1: no image_id"),
        (dataset([GOOD]), "an annotation is "),
        (dataset(GOOD, images=[]), "no images in it"),
        (dataset(GOOD, images=[{"id": True, "file_name": "a"}]), "an image has an id and a file_name"),
        (dataset(GOOD, images=[{"id": 2**64, "file_name": "a"}]), "an image has an id and a file_name"),
        (dataset(GOOD, images=[{"id": "\ud800", "file_name": "a"}]), "an image has an id and a file_name"),
        (dataset(GOOD, images=[{"id": 5, "file_name": "\ud800"}]), "an image has an id and a file_name"),
        (dataset({**GOOD, "image_id": "\ud800"}), "annotation 1: no image_id"),
        (dataset(GOOD, images=[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]), "two images have the id 1"),
        (dataset(GOOD, categories=[{**CATEGORY, "id": None}]), "category 'wing' has no id"),
        ([GOOD], "a list, as results of COCO are"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(tmp_path, tree, says):
    file = put(tmp_path, tree)

    with pytest.raises(FormatError, match=says) as error:
        reading_of(file)

    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_folder_is_no_coco_file(tmp_path):
    with pytest.raises(DataError, match="format coco reads one JSON file"):
        reading_of(tmp_path)


def test_numbers_that_stand_elsewhere_are_not_taken_for_keypoints(tmp_path):
    inner = annotation(1, [[1]], attributes={"keypoints": [9] * 6})
    good = annotation(2, [3, 4, 2, 0, 0, 0], attributes={"keypoints": [9] * 6})
    text = json.dumps(dataset(good))
    twice = text.replace('"iscrowd": 0', '"keypoints": [7, 7, 2, 8, 8, 2]').replace("[9, 9, 9, 9, 9, 9]", "null")

    assert reading_of(put(tmp_path, text))[0].points[0, 0].tolist() == [3, 4]
    assert reading_of(put(tmp_path, twice))[0].points[0, 0].tolist() == [3, 4]  # the last one counts
    with pytest.raises(FormatError, match="keypoints has 1 numbers"):
        reading_of(put(tmp_path, dataset(inner)))


def test_new_numbers_come_in_the_style_of_the_old_ones_and_nothing_else_changes(tmp_path):
    text = (
        '\ufeff{"info": {"é": "\\u00e9", "é": 1},\r\n "annotations": [ {"keypoints":[1.50,2,1 ,\n 30, 4.125,2],'
        '"bbox":[1,2,3,4],"image_id":"x","category_id":7,"id":1}, {"image_id":"x", "keypoints": [0,0,0,0,0,0], '
        '"category_id": 7}],\t"categories": ' + json.dumps([CATEGORY]) + ', "images": [{"file_name": "a.jpg", "id": '
        '"x"}], "more": [{}]}\n'
    )
    source, target = tmp_path / "labels.json", tmp_path / "new.json"
    source.write_bytes(text.encode())
    before, _ = reading_of(source)
    points = before.points.copy()
    points[0] += [[0.25, 0], [1, 0.5]]

    write_back(COCO, source, before, before.moved(points, 1, {}, {}), target)

    assert target.read_bytes() == text.replace("[1.50,", "[1.75,").replace("30, 4.125", "31, 4.625").encode()


def test_what_we_write_is_read_by_pycocotools(human, tmp_path):
    gone = np.zeros(human.labelled.shape, bool)
    gone[2, 5] = True
    some = human.without(gone)
    lost = write(COCO, some, tmp_path / "out.json")
    assert [loss.kind for loss in lost] == ["splits", *(["annotators"] if "annotator" in human.instances else [])]

    with contextlib.redirect_stdout(io.StringIO()):
        theirs = PEER(str(tmp_path / "out.json"))

    [category] = theirs.loadCats(theirs.getCatIds())
    assert tuple(category["keypoints"]) == human.scheme.names
    assert [1, 2] in category["skeleton"]
    for row, (identity, found) in enumerate(theirs.anns.items()):
        points = np.array(found["keypoints"]).reshape(-1, 3)
        image = theirs.imgs[found["image_id"]]
        there = some.labelled[row]
        assert identity == row + 1
        assert image["file_name"] == some.instances["image"][row]
        assert image["width"] == some.instances["width"][row]
        np.testing.assert_array_equal(points[there, :2], some.points[row][there])
        np.testing.assert_array_equal(points[:, 2], some.column("visibility")[row])
        assert found["num_keypoints"] == there.sum()
        left, top, width, height = found["bbox"]
        np.testing.assert_allclose([left - 0.5, top - 0.5], np.nanmin(some.points[row], 0), atol=0.006)
        np.testing.assert_allclose([width, height], np.ptp(some.points[row][there], axis=0), atol=0.006)
    info = json.loads((tmp_path / "out.json").read_text())["info"]
    assert info["pixel_origin"] == "centre"


def test_contours_come_back_through_the_skeleton(human, tmp_path):
    write(COCO, human, tmp_path / "out.json")

    assert read(COCO, tmp_path / "out.json", None, False).scheme.contours == load_scheme("ibug68").contours


def test_instances_get_numbers_without_gaps_and_that_is_told(tmp_path):
    made, _ = reading_of(put(tmp_path, dataset(GOOD)))
    odd = make_set(made.frame.assign(instance=4), WING, {}, "odd")

    lost = write(COCO, odd, tmp_path / "out.json")

    assert [str(loss) for loss in lost] == [
        "lost: instances that share an image (1; the first: sub/a.jpg instance 4 becomes instance 0)"
    ]


def test_a_file_is_recognised_although_its_images_fill_the_first_64_kib(tmp_path):
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 5, "height": 5} for k in range(3000)]
    file = put(tmp_path, {"info": {}, "licenses": [], "images": images, **dataset(GOOD, images=images)})

    form, guess = looks_like(file)

    assert form.name == "coco"
    assert guess.reason == "it is a JSON object whose images have file_name and id"
    assert len(table_of(COCO, file, WING, False)) == 2
