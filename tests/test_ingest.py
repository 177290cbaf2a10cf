"""From a folder to i00, and everything that can be wrong with a folder."""

from __future__ import annotations

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lmk.errors import DataError, ImageError, UnknownName
from lmk.formats.pts import write_pts
from lmk.images import read_image
from lmk.ingest import ingest
from lmk.names import Folder
from lmk.scheme import load_scheme, parse_scheme
from lmk.synth.render import render_face
from tests.test_images import with_note

IBUG = load_scheme("ibug68")


def test_everything_that_is_known_is_in_the_set(rendered, human):
    assert len(human.instances) == 20
    assert human.instances["split"].value_counts().to_dict() == {"train": 12, "val": 4, "test": 4}
    assert set(human.instances["width"]) == set(human.instances["height"]) == {64}
    assert human.provenance["format"] == "pts"
    row = human.instances.iloc[0]
    assert read_image(rendered / "faces" / row["image"]).shape == (64, 64, 3)
    low, high = human.points.min(1), human.points.max(1)
    np.testing.assert_allclose(human.boxes[:, 2], (high - low).max(1) * 1.25)
    np.testing.assert_allclose(human.boxes[:, :2] + human.boxes[:, 2:] / 2, (low + high) / 2)


def test_provenance_follows_the_pixels(faces):
    before = ingest(faces, "pts", IBUG, 1.25).provenance
    again = ingest(faces, "pts", IBUG, 1.25).provenance
    shutil.copy(faces / "test" / "000000.jpg", faces / "train" / "000003.jpg")
    (faces / "test" / "000000.jpg").unlink()
    (faces / "test" / "000000.pts").unlink()

    assert before == again
    assert ingest(faces, "pts", IBUG, 1.25).provenance["images"] != before["images"]


def test_a_link_out_of_the_folder_is_refused_so_that_nothing_from_outside_ends_up_in_a_report(faces, tmp_path):
    image = faces / "train" / "000000.jpg"
    (tmp_path / "private").mkdir()
    secret = image.rename(tmp_path / "private" / "secret.jpg")
    image.symlink_to(secret)
    with pytest.raises(DataError, match=r"train/000000.jpg: a link that leads out of .*secret.jpg") as error:
        ingest(faces, "pts", IBUG, 1.25)
    assert "\n" not in str(error.value)

    image.unlink()
    image.symlink_to(secret.rename(faces / "kept.jpg"))  # inside, links are fine; so is a folder that is one
    (tmp_path / "link").symlink_to(faces)
    assert len(ingest(tmp_path / "link", "pts", IBUG, 1.25).instances) == 20


def test_a_linked_folder_of_images_outside_is_refused(faces, tmp_path):
    (faces / "train").rename(tmp_path / "elsewhere")
    (faces / "train").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DataError, match=r"train.*: a link that leads out of"):
        ingest(faces, "pts", IBUG, 1.25)


def test_links_are_followed_where_a_user_allows_it_and_the_set_is_the_same(faces, tmp_path):
    plain = ingest(faces, "pts", IBUG, 1.25)
    (tmp_path / "private").mkdir()
    (faces / "train").rename(tmp_path / "elsewhere")
    (faces / "train").symlink_to(tmp_path / "elsewhere")
    for number, file in enumerate(sorted((faces / "test").iterdir())):
        file.rename(tmp_path / "private" / f"{number}{file.suffix}")
        file.symlink_to(tmp_path / "private" / f"{number}{file.suffix}")

    followed = ingest(Folder(faces, "follow"), "pts", IBUG, 1.25)

    assert followed.frame.equals(plain.frame)
    with pytest.raises(DataError, match=r"allow links with --set data\.links=follow$"):
        ingest(faces, "pts", IBUG, 1.25)


def test_a_list_of_annotators_from_outside_is_refused_like_an_image(faces, tmp_path):
    (tmp_path / "list.csv").write_text("image,annotator\n")
    (faces / "annotators.csv").symlink_to(tmp_path / "list.csv")

    with pytest.raises(DataError, match=r"annotators.csv: a link that leads out"):
        ingest(faces, "pts", IBUG, 1.25)


@pytest.mark.parametrize("links", ["refuse", "follow"])
@pytest.mark.parametrize("name", ["../secret.jpg", "{outside}/secret.jpg", "train/../../secret.jpg"])
def test_a_name_out_of_the_folder_is_refused_although_the_image_is_there(faces, tmp_path, name, links):
    shutil.copy(faces / "train" / "000000.jpg", tmp_path / "secret.jpg")
    name = name.format(outside=tmp_path)
    rows = [f"{name},0,{k},{k},{k}" for k in range(68)]
    (faces / "labels.csv").write_text("\n".join(["image,instance,landmark,x,y", *rows]))

    with pytest.raises(DataError, match=r"labels.csv: image '.*secret.jpg' .*; name each image relative"):
        ingest(Folder(faces / "labels.csv", links), "csv", IBUG, 1.25)


def test_labels_alone_need_no_images(faces):
    for image in faces.rglob("*.jpg"):
        image.unlink()

    labels = ingest(faces, "pts", IBUG, 1.25, with_images=False)

    assert labels.instances["width"].isna().all()
    assert len(labels.instances) == 20


def test_a_missing_and_a_broken_image_are_named(faces):
    broken = faces / "val" / "000001.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(ImageError, match=r"val/000001.jpg: truncated"):
        ingest(faces, "pts", IBUG, 1.25)
    broken.unlink()
    with pytest.raises(ImageError, match=r"val/000001.pts: no image beside it"):
        ingest(faces, "pts", IBUG, 1.25)


def test_the_same_face_twice_is_refused_and_two_faces_of_one_picture_are_not(faces):
    for ending in ("jpg", "pts"):
        shutil.copy(faces / "train" / f"000000.{ending}", faces / "test" / f"again.{ending}")
    with pytest.raises(DataError, match=r"same image and object as .*; keep one"):
        ingest(faces, "pts", IBUG, 1.25)
    lines = (faces / "test" / "again.pts").read_text().splitlines()
    moved = [f"{float(x) + 100} {y}" for x, y in (line.split() for line in lines[3:-1])]
    (faces / "test" / "again.pts").write_text("\n".join([*lines[:3], *moved, "}"]))

    assert len(ingest(faces, "pts", IBUG, 1.25).instances) == 21


def test_an_object_without_any_point_is_refused(tmp_path):
    rows = [f"a.jpg,0,{k},," for k in range(68)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,instance,landmark,x,y", *rows]))

    with pytest.raises(DataError, match=r"a.jpg instance 0 has no labelled point"):
        ingest(tmp_path / "labels.csv", "csv", IBUG, 1.25, with_images=False)


def test_what_a_file_says_in_vain_is_printed_and_kept(tmp_path, capsys):
    rows = [f"a.jpg,0,{k},{k},5,{2 if k else 0}" for k in range(68)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,instance,landmark,x,y,visibility", *rows]))

    labels = ingest(tmp_path / "labels.csv", "csv", IBUG, 1.25, with_images=False)

    assert labels.labelled.sum() == 67
    assert "labels.csv: lost: positions of points that are said not to be labelled (1; the" in capsys.readouterr().err
    assert labels.provenance["lost"][0]["count"] == 1


def test_unknown_formats_and_folders_are_named(tmp_path):
    with pytest.raises(UnknownName, match="unknown format 'cocoa'; known: 300w-lp, aflw, coco, "):
        ingest(tmp_path, "cocoa", IBUG, 1.25)
    with pytest.raises(DataError, match="no such file or folder"):
        ingest(tmp_path / "nowhere", "pts", IBUG, 1.25)


def test_real_photographs_are_read(shared_data):
    folder = shared_data / "frl-london"

    labels = ingest(folder, "pts", load_scheme(str(folder / "scheme.json")), 1.25)

    assert labels.points.shape == (102, 189, 2)
    assert set(labels.instances["width"]) == {256}
    assert labels.points.min() > 0
    assert labels.points.max() < 256


def test_an_object_of_one_point_is_refused_because_nobody_knows_its_size(faces):
    rows = [f"train/000000.jpg,0,{k},," if k else "train/000000.jpg,0,0,5,5" for k in range(68)]
    (faces / "one.csv").write_text("\n".join(["image,instance,landmark,x,y", *rows]))

    with pytest.raises(DataError, match="all its points in one place"):
        ingest(faces / "one.csv", "csv", IBUG, 1.25)


def test_mirror_pairs_that_a_scheme_does_not_name_are_found_and_an_empty_list_is_believed(tmp_path, capsys):
    picture = np.zeros((64, 64, 3), np.uint8)
    for index in range(40):
        picture[0, 0] = index  # the same picture twice would be refused
        cv2.imwrite(str(tmp_path / f"{index:02d}.png"), picture)
        write_pts(tmp_path / f"{index:02d}.pts", render_face(5, index, 64).points, decimals=3)

    found = ingest(tmp_path, "pts", replace(IBUG, mirror=(), says_mirror=False), 1.25)

    assert set(map(frozenset, found.scheme.mirror)) == set(map(frozenset, IBUG.mirror))
    assert "names no mirror pairs, and its points show 29" in capsys.readouterr().err
    assert ingest(tmp_path, "pts", replace(IBUG, mirror=()), 1.25).scheme.mirror == ()


def pair(tmp_path, second, more=("", "")):
    """One image with two objects, as a CSV of the scheme pair; perhaps with annotators, or splits."""
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    first = [(10, 10), (40, 12), (25, 40)]
    rows = [f"a.png,{number},{k},{x},{y},{more[number]}" for number, points in enumerate((first, second))
            for k, (x, y) in enumerate(points)]  # fmt: skip
    header = "image,instance,landmark,x,y,annotator" + ",split" * (more[0].count(","))
    (tmp_path / "labels.csv").write_text(header + "\n" + "\n".join(rows) + "\n")
    return ingest(tmp_path / "labels.csv", "csv", parse_scheme('{"name": "three", "points": 3}', "three"), 1.25)


def test_the_same_object_twice_in_one_image_is_refused_and_two_that_overlap_are_not(tmp_path):
    assert len(pair(tmp_path, [(18, 14), (49, 17), (33, 45)]).instances) == 2
    with pytest.raises(DataError, match=r"a\.png: instances 0 and 1 are the same object, labelled twice; keep one"):
        pair(tmp_path, [(10, 10), (40, 12), (25, 40)])
    with pytest.raises(DataError, match="labelled twice"):  # by two people
        pair(tmp_path, [(11, 10), (40, 13), (24, 40)])


def test_an_object_that_two_people_labelled_is_there_twice_and_each_is_told_by_name(tmp_path):
    same = [(11, 10), (40, 13), (24, 40)]
    labels = pair(tmp_path, same, ("anna", "ben"))

    assert labels.instances["annotator"].tolist() == ["anna", "ben"]
    with pytest.raises(DataError, match="labelled twice"):
        pair(tmp_path, same, ("anna", "anna"))
    with pytest.raises(DataError, match=r"a\.png: ben and anna labelled it for different splits"):
        pair(tmp_path, same, ("anna,train", "ben,test"))


def test_a_cameras_note_is_told_and_labels_of_the_turned_image_are_refused(tmp_path, capsys):
    scheme = parse_scheme('{"name": "three", "points": 3}', "three")
    (tmp_path / "a.jpg").write_bytes(with_note(".jpg", np.zeros((40, 60, 3), np.uint8)))
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 3\n{\n10 10\n50 12\n30 35\n}\n")

    labels = ingest(tmp_path, "pts", scheme, 1.25)

    assert "cameras' notes (EXIF) that an image is to be turned; labels are taken to count" in capsys.readouterr().err
    assert labels.provenance["lost"][0]["count"] == 1
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 3\n{\n10 10\n30 12\n35 55\n}\n")  # 40 wide, 60 high
    with pytest.raises(DataError, match=r"a\.jpg: a camera's note \(EXIF\) says .* its labels are of the turned image"):
        ingest(tmp_path, "pts", scheme, 1.25)


def test_labels_of_the_turned_image_are_refused_whichever_object_of_the_image_shows_it(tmp_path):
    (tmp_path / "a.jpg").write_bytes(with_note(".jpg", np.zeros((40, 60, 3), np.uint8)))
    points = [[(5, 5), (25, 7), (15, 20)], [(10, 10), (30, 12), (35, 55)]]
    rows = [f"a.jpg,{one},{k},{x},{y}" for one, each in enumerate(points) for k, (x, y) in enumerate(each)]
    (tmp_path / "labels.csv").write_text("image,instance,landmark,x,y\n" + "\n".join(rows) + "\n")

    with pytest.raises(DataError, match="its labels are of the turned image"):
        ingest(tmp_path / "labels.csv", "csv", parse_scheme('{"name": "three", "points": 3}', "three"), 1.25)
