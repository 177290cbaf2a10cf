"""Label Studio's tasks, as version 1.20 exports them as JSON."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.label_studio import LABEL_STUDIO
from lmk.formats.label_studio_tasks import image_of
from lmk.ingest import ingest
from lmk.scheme import parse_scheme

WING = parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing")
SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def keypoint(identity, label, x, y, **more):
    value = {"x": x, "y": y, "width": 0.4, "keypointlabels": [label]}
    return {**SIZE, "value": value, "id": identity, "from_name": "kp", "to_name": "image", "type": "keypointlabels",
            "origin": "manual", **more}  # fmt: skip


def rectangle(identity):
    value = {"x": 1, "y": 1, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["bird"]}
    return {**SIZE, "value": value, "id": identity, "from_name": "box", "to_name": "image", "type": "rectanglelabels"}


def annotation(*regions, who=1, **more):
    return {
        "id": 7,
        "completed_by": who,
        "result": list(regions),
        "was_cancelled": False,
        "ground_truth": False,
        **more,
    }


def task(*annotations, image="/data/upload/3/0a1b2c3d-bird%201.png", **more):
    return {"id": 4, "annotations": list(annotations), "file_upload": "0a1b2c3d-bird 1.png", "drafts": [],
            "predictions": [], "data": {"image": image}, "meta": {}, **more}  # fmt: skip


THREE = [keypoint("a", "tip", 1, 1), keypoint("c", "tip", 9, 9), keypoint("b", "root", 2, 2)]
PAIR = [keypoint("a", "tip", 50, 50), keypoint("b", "root", 0.25, 99.5)]


def put(tmp_path, *tasks):
    file = tmp_path / "project-1-at-2026-11-25.json"
    file.write_text(json.dumps(tasks))
    return file


def reading_of(file, scheme=WING):
    reading = read(LABEL_STUDIO, file, scheme, with_images=False)
    return make_set([part.table for part in reading.parts], reading.scheme, {}, "here"), reading


def test_percentages_are_of_the_image_and_count_from_its_corner(tmp_path):
    file = put(tmp_path, task(annotation(*PAIR)))

    made, reading = reading_of(file, None)

    assert looks_like(file)[0].name == "label-studio"
    assert made.scheme.names == ("tip", "root")
    np.testing.assert_allclose(made.points[0], [[99.5, 49.5], [0, 99]])
    assert made.instances[["image", "width", "height", "annotator"]].to_numpy().tolist() == [
        ["bird 1.png", 200, 100, "1"]
    ]
    assert list(reading.losses) == []


@pytest.mark.parametrize(
    "joined",
    [
        [rectangle("r"), rectangle("s"), keypoint("a", "tip", 1, 1, parentID="r"),
         keypoint("c", "tip", 9, 9, parentID="s"), keypoint("b", "root", 2, 2, parentID="r")],
        [rectangle("r"), rectangle("s"), *THREE,
         {"type": "relation", "from_id": "a", "to_id": "r", "direction": "right"},
         {"type": "relation", "from_id": "r", "to_id": "b", "direction": "right"},
         {"type": "relation", "from_id": "s", "to_id": "c", "direction": "bi"}],
        [*THREE,
         {"type": "relation", "from_id": "b", "to_id": "a", "direction": "left"}],
    ],
)  # fmt: skip
def test_rectangles_or_relations_say_what_belongs_together(tmp_path, joined):
    made, _ = reading_of(put(tmp_path, task(annotation(*joined))))

    np.testing.assert_allclose(made.points, [[[1.5, 0.5], [3.5, 1.5]], [[17.5, 8.5], [np.nan, np.nan]]])


def test_each_annotators_labels_are_instances_of_their_own(tmp_path):
    ann, bob = annotation(*PAIR, who={"id": 5, "email": "ann@lab"}), annotation(*PAIR[::-1], who=2)
    file = put(tmp_path, task(ann, bob, annotation(was_cancelled=True)), task(annotation(*PAIR), image="b.png"))

    made, reading = reading_of(file)

    assert made.instances[["image", "instance", "annotator"]].to_numpy().tolist() == [
        ["b.png", 0, "1"], ["bird 1.png", 0, "ann@lab"], ["bird 1.png", 1, "2"]
    ]  # fmt: skip
    assert len(reading.notes) == 1
    assert "1 tasks have several annotations: each annotator's labels are instances of their own" in reading.notes[0]
    assert [str(loss).split(";")[0] for loss in reading.losses] == ["lost: cancelled annotations (1"]


def test_two_people_may_label_one_object_and_one_may_not_do_so_twice(tmp_path):
    (tmp_path / "bird 1.png").write_bytes(cv2.imencode(".png", np.zeros((100, 200, 3), np.uint8))[1].tobytes())

    assert len(ingest(put(tmp_path, task(annotation(*PAIR), annotation(*PAIR, who=2))), None, WING, 1.5).instances) == 2
    with pytest.raises(DataError, match="instances 0 and 1 are the same object, labelled twice"):
        ingest(put(tmp_path, task(annotation(*PAIR), annotation(*PAIR))), None, WING, 1.5)


def test_what_does_not_come_through_is_counted(tmp_path):
    brush = {**SIZE, "id": "x", "type": "brushlabels", "value": {"rle": [1], "brushlabels": ["a"]}}
    bare = keypoint("n", "tip", 1, 1)
    bare["value"] = {"x": 1, "y": 1}
    turned = annotation(*[{**region, "image_rotation": 90} for region in PAIR])
    predicted = {"model_version": "v1", "result": PAIR}

    _, reading = reading_of(
        put(tmp_path, task(annotation(rectangle("r"), *PAIR, brush, bare), turned, predictions=[predicted]))
    )

    assert [(loss.kind, loss.count) for loss in reading.losses] == [
        ("predictions", 1),
        ("regions of type 'rectanglelabels'", 1),
        ("regions of type 'brushlabels'", 1),
        ("regions of type 'keypointlabels' without a label", 1),
        ("annotations of images that are turned in Label Studio", 1),
    ]


def test_predictions_are_read_where_nobody_annotated(tmp_path):
    made, reading = reading_of(put(tmp_path, task(predictions=[{"model_version": "v1", "result": PAIR}])))

    assert made.labelled.all()
    assert "annotator" not in made.instances
    assert reading.notes == ["no task has annotations, so predictions are read"]


def test_labels_that_are_numbers_are_landmarks_by_number(tmp_path):
    pair = [keypoint("a", "2", 50, 50), keypoint("b", "1", 1, 1)]

    made, reading = reading_of(put(tmp_path, task(annotation(*pair))))

    np.testing.assert_allclose(made.points[0], [[1.5, 0.5], [99.5, 49.5]])
    assert reading.notes == ["labels are numbers of landmarks, and count from 1"]
    assert reading_of(put(tmp_path, task(annotation(*pair))), None)[0].scheme.names == ("1", "2")
    with pytest.raises(SchemeError, match="label 'beak' is no landmark of scheme wing"):
        reading_of(put(tmp_path, task(annotation(keypoint("a", "beak", 1, 1)))))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/3/0a1b2c3d-a%20b.png", "a b.png"),
        ("/data/upload/a.png", "a.png"),
        ("/data/local-files/?d=sets/one%20a.png", "sets/one a.png"),
        ("s3://bucket/deep/a.png", "deep/a.png"),
        ("https://host:8080/x/a.png?token=1", "x/a.png"),
        ("sub\\a.png", "sub/a.png"),
        ("50% a#1.png", "50% a#1.png"),
    ],
)
def test_an_image_is_called_what_its_address_says(address, name):
    assert image_of({"data": {"image": address}}, "here") == name
    assert image_of({"data": {"photo": address, "text": "words"}}, "here") == name


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([task(annotation(*PAIR, keypoint("c", "tip", 1, 1)))], "task 4: label 'tip' is there twice, and nothing"),
        ([task(annotation(keypoint("a", "tip", "5", 1)))], "task 4: keypoint 'a' is at '5', 1, no percentages"),
        ([task(annotation(keypoint("a", "tip", float("nan"), 1)))], "keypoint 'a' is at nan, 1, no percentages"),
        ([task(annotation(*PAIR), image="data:image/png;base64,AAAA")], "task 4: its image is inside of it"),
        ([task(annotation(*PAIR), data={"text": "words"})], "task 4: data names no image"),
        ([task(annotation(*PAIR, who=[1]))], r"task 4: completed_by is \[1\]"),
        ([task(annotation(PAIR[0], {**PAIR[1], "original_width": 9}))], "regions of one image disagree on its size"),
        ([task(annotation(rectangle("r")))], "no keypoint with a label in it"),
        ([{"image": "a.png", "kp": []}], "entry 0 is no task .* export as JSON, not JSON-MIN"),
        ([], "no keypoint with a label in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(tmp_path, tasks, says):
    file = put(tmp_path, *tasks)

    with pytest.raises(FormatError, match=says) as error:
        reading_of(file)

    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_size_that_no_region_says_is_that_of_the_image(tmp_path):
    bare = [{key: value for key, value in region.items() if key not in SIZE} for region in PAIR]
    (tmp_path / "bird 1.png").write_bytes(cv2.imencode(".png", np.zeros((50, 400, 3), np.uint8))[1].tobytes())

    made, _ = reading_of(put(tmp_path, task(annotation(*bare))))

    np.testing.assert_allclose(made.points[0, 0], [199.5, 24.5])


def test_new_numbers_replace_old_ones_in_annotations_and_old_exports(tmp_path):
    old = {"id": 4, "completions": [annotation(*PAIR)], "data": {"image": "a.png"}}
    source, target = put(tmp_path, task(annotation(rectangle("r"), *PAIR), who=3), old), tmp_path / "new.json"
    before, _ = reading_of(source)
    points = before.points.copy()
    points[:, 0] += [1, 0]

    write_back(LABEL_STUDIO, source, before, before.moved(points, 1, {}, {}), target)

    assert target.read_text() == source.read_text().replace('"x": 50,', '"x": 50.5000,')
    np.testing.assert_allclose(reading_of(target)[0].points, points, atol=1e-3)


def test_what_we_write_are_predictions_with_a_rectangle_for_each_instance(tmp_path):
    made, _ = reading_of(put(tmp_path, task(annotation(*PAIR))))

    write(LABEL_STUDIO, made.moved(made.points + 1, 3, {}, {}), tmp_path / "out.json")

    [found] = json.loads((tmp_path / "out.json").read_text())
    [prediction] = found["predictions"]
    box, tip, root = prediction["result"]
    assert found["data"] == {"image": "/data/local-files/?d=bird%201.png"}
    assert prediction["model_version"] == "lmk i03"
    assert (tip["parentID"], tip["value"]["keypointlabels"], root["value"]["x"]) == (box["id"], ["tip"], 0.75)
    assert box["value"] == {"x": 0.75, "y": 51.0, "width": 49.75, "height": 49.5, "rotation": 0,
                            "rectanglelabels": ["wing"]}  # fmt: skip
    assert {key: root[key] for key in SIZE} == SIZE
