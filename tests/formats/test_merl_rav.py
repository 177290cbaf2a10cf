"""MERL-RAV, as its organised folders are laid out."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError
from lmk.formats.exchange import looks_like, read, write, write_back
from lmk.formats.merl_rav import MERL_RAV
from lmk.scheme import parse_scheme

FOUR = parse_scheme('{"name": "four", "points": 4}', "four")
TEXT = "version: 1\r\nn_points: 4\r\n{\r\n10.5 20\r\n-1 -1\r\n-30.25\t-40.125\r\n0 -0\r\n}\r\n".replace("0 -0", "1 1")


def taken(path):
    reading = read(MERL_RAV, path, FOUR, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


def faces(folder, text=TEXT, place="lefthalf/testset"):
    (folder / place).mkdir(parents=True)
    (folder / place / "image00002_1.pts").write_bytes(text.encode())
    (folder / place / "image00002_1.jpg").write_bytes(b"image")
    return folder


@pytest.mark.parametrize(("place", "split"), [("lefthalf/testset", "test"), ("frontal/trainset", "train")])
def test_signs_say_what_is_hidden_and_folders_the_split(place, split, tmp_path):
    made, reading = taken(faces(tmp_path, place=place))

    assert [looks_like(folder)[0] for folder in (tmp_path, tmp_path / place)] == [MERL_RAV] * 2
    assert made.instances[["image", "split"]].to_numpy().tolist() == [[f"{place}/image00002_1.jpg", split]]
    assert made.column("visibility").tolist() == [[2, 0, 1, 2]]
    np.testing.assert_array_equal(made.points, [[[10.5, 20], [np.nan] * 2, [30.25, 40.125], [1, 1]]])
    assert list(reading.losses) == []


def test_writing_back_keeps_signs_and_all_else(tmp_path):
    made, _ = taken(faces(tmp_path / "s"))
    points = made.points.copy()
    points[0, 2] += (1, 0)
    points[0, 3] += (0, 0.5)

    write_back(MERL_RAV, tmp_path / "s", made, made.moved(points, 1, {}, {}), tmp_path / "new")

    new = TEXT.replace("-30.25\t", "-31.25\t").replace("1 1\r\n}", "1 1.500\r\n}")
    assert (tmp_path / "new/lefthalf/testset/image00002_1.pts").read_bytes() == new.encode()
    points[0, 3] -= (3, 0)
    with pytest.raises(DataError, match="landmark 3 moved out of its image"):
        write_back(MERL_RAV, tmp_path / "s", made, made.moved(points, 1, {}, {}), tmp_path / "out")


def test_what_is_written_keeps_signs_and_what_has_none_is_refused(tmp_path):
    made, _ = taken(faces(tmp_path / "s"))
    occluded = made.with_columns(visibility=np.array([[2, 0, 1, 1]]))

    assert write(MERL_RAV, occluded, tmp_path / "new") == []

    lines = (tmp_path / "new/lefthalf/testset/image00002_1.pts").read_text().split("\n")[3:7]
    assert lines == ["10.500000 20.000000", "-1 -1", "-30.250000 -40.125000", "-1.000001 -1.000001"]
    with pytest.raises(FormatError, match="landmark 0 lies left of or above its image"):
        write(MERL_RAV, made.with_columns(x=made.column("x") - 11), tmp_path / "outside")
    assert not (tmp_path / "outside").exists()


def test_numbers_of_two_signs_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"image00002_1\.pts: point 0 is 10\.5 -20; in MERL-RAV both"):
        taken(faces(tmp_path, TEXT.replace("10.5 20", "10.5 -20")))
