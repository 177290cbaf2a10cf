"""DeepLabCut's files, as versions 2.3 and 3.0 write them."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError
from lmk.formats.deeplabcut import DEEPLABCUT
from lmk.formats.exchange import looks_like, read, write_back
from tests.formats.dlc_h5 import as_h5

SINGLE_ANIMAL = (
    "scorer,,,me,me,me,me\r\nbodyparts,,,nose,nose,tail,tail\r\ncoords,,,x,y,x,y\r\n"
    "labeled-data,vid one,img01.png,10.5,20,30.123456789,40\r\n"
    "labeled-data,vid one,img02.png,,,31,41\r\n"
    "labeled-data,vid one,img03.png,,,,\r\n"
)
MULTI = (
    "scorer,me,me,me,me,me,me,me,me,me,me\n"
    "individuals,mus1,mus1,mus1,mus1,mus2,mus2,mus2,mus2,single,single\n"
    "bodyparts,tail,tail,nose,nose,nose,nose,tail,tail,corner,corner\n"
    "coords,x,y,x,y,x,y,x,y,x,y\n"
    "labeled-data\\vid\\img1.png,1,2,3,4,5,6,7,8,9,9\n"
    "labeled-data\\vid\\img2.png,,,,,15,16,,,,\n"
)
CONFIG = """Task: mice
scorer: me
multianimalproject: true
individuals: [mus1, mus2]
uniquebodyparts: [corner]
multianimalbodyparts: [nose, tail]
bodyparts: MULTI!
skeleton:
- [nose, tail]
- [nose, unknown]
"""


SINGLE_COLUMNS = [("me", part, axis) for part in ("nose", "tail") for axis in "xy"]
SINGLE_PATHS = [("labeled-data", "vid one", f"img0{k}.png") for k in (1, 2, 3)]
SINGLE_VALUES = [[10.5, 20, 30.123456789, 40], [np.nan, np.nan, 31, 41], [np.nan] * 4]


def project(folder, table=SINGLE_ANIMAL, config=None, video="vid one"):
    inside = folder / "labeled-data" / video
    inside.mkdir(parents=True)
    if table:
        (inside / "CollectedData_me.csv").write_bytes(table.encode())
    if config:
        (folder / "config.yaml").write_text(config)
    return inside


def taken(path, scheme=None):
    reading = read(DEEPLABCUT, path, scheme, with_images=False)
    return make_set((part.table for part in reading.parts), reading.scheme, {}, "here"), reading


def test_files_of_the_tool_itself(shared_data):
    folder = shared_data / "formats" / "deeplabcut"

    made, _ = taken(folder)

    assert looks_like(folder)[0] is DEEPLABCUT
    assert made.scheme.names == ("Hand", "Finger1", "Tongue", "Joystick1", "Joystick2")
    assert made.scheme.contours == ((0, 1), (3, 4))
    assert len(made.instances) == 8
    assert made.instances["image"][0] == "labeled-data/reachingvideo1/img005.png"
    assert (folder / made.instances["image"][0]).is_file()
    assert made.points[0, 0].tolist() == [np.float32(185.25173502386923), np.float32(610.3622760638572)]
    assert made.column("visibility")[0].tolist() == [2, 2, 0, 2, 2]
    assert made.instances["annotator"].unique().tolist() == ["Mackenzie"]
    alone, _ = taken(folder / "labeled-data" / "reachingvideo1")
    assert alone.instances["image"][0] == "img005.png"


def test_a_path_in_three_columns_and_images_that_nobody_labelled(tmp_path):
    project(tmp_path)

    made, reading = taken(tmp_path)

    assert made.instances["image"].tolist() == [f"labeled-data/vid one/img0{k}.png" for k in (1, 2)]
    assert made.column("visibility").tolist() == [[2, 2], [0, 2]]
    assert [str(loss) for loss in reading.losses] == [
        "lost: images without a labelled point (1; the first: labeled-data/vid one/img03.png)"
    ]


def test_several_animals_with_backslashes_and_points_that_are_there_once(tmp_path):
    inside = project(tmp_path, MULTI, CONFIG, "vid")

    made, reading = taken(tmp_path)

    assert made.scheme.names == ("nose", "tail")
    assert made.scheme.contours == ((0, 1),)
    assert made.instances[["image", "instance"]].to_numpy().tolist() == [
        ["labeled-data/vid/img1.png", 0], ["labeled-data/vid/img1.png", 1], ["labeled-data/vid/img2.png", 1],
    ]  # fmt: skip
    assert made.points[:2].tolist() == [[[3, 4], [1, 2]], [[5, 6], [7, 8]]]
    assert [(loss.kind, loss.count) for loss in reading.losses] == [
        ("points that are there once for all individuals", 1)
    ]
    before, points = made, made.points.copy()
    points[1, 0] += (0.25, 1)

    write_back(DEEPLABCUT, tmp_path, before, before.moved(points, 1, {}, {}), tmp_path / "back")

    new = MULTI.replace(",5,6,", ",5.250,7,")
    assert (tmp_path / "back" / "labeled-data" / "vid" / "CollectedData_me.csv").read_text() == new
    assert (tmp_path / "back" / "config.yaml").read_text() == CONFIG
    assert inside.joinpath("CollectedData_me.csv").read_text() == MULTI


def test_h5_counts_and_both_are_written_back(tmp_path):
    inside = project(tmp_path / "p")
    as_h5(inside / "CollectedData_me.h5", SINGLE_COLUMNS, SINGLE_PATHS, SINGLE_VALUES)
    shutil.copytree(tmp_path / "p", tmp_path / "alone")
    (tmp_path / "alone/labeled-data/vid one/CollectedData_me.csv").unlink()

    made, _ = taken(tmp_path / "p")
    alone, _ = taken(tmp_path / "alone")
    points = made.points.copy()
    points[0, 1] += (1, 0)
    write_back(DEEPLABCUT, tmp_path / "p", made, made.moved(points, 1, {}, {}), tmp_path / "back")

    np.testing.assert_array_equal(alone.points, made.points)
    back = tmp_path / "back" / "labeled-data" / "vid one"
    with h5py.File(back / "CollectedData_me.h5") as h5:
        values = h5["df_with_missing/block0_values"][:]
    expected = np.array(SINGLE_VALUES)
    expected[0, 2] = 31.125  # a set's finest step is a 64th of a pixel
    np.testing.assert_array_equal(values, expected)
    assert (back / "CollectedData_me.csv").read_bytes() == SINGLE_ANIMAL.replace(
        "30.123456789", "31.125000000"
    ).encode()
    write_back(DEEPLABCUT, tmp_path / "p", made, made, tmp_path / "same")
    assert (tmp_path / "same/labeled-data/vid one/CollectedData_me.h5").read_bytes() == (
        inside / "CollectedData_me.h5"
    ).read_bytes()


def test_h5_with_python_objects_is_not_unpickled_and_the_csv_is_read(tmp_path):
    inside = project(tmp_path)
    as_h5(inside / "CollectedData_me.h5", SINGLE_COLUMNS, SINGLE_PATHS, SINGLE_VALUES, PSEUDOATOM=b"object")

    made, reading = taken(tmp_path)

    assert len(made.instances) == 2
    assert "lmk does not unpickle; CollectedData_me.csv beside it is read" in reading.notes[0]
    (inside / "CollectedData_me.csv").unlink()
    with pytest.raises(FormatError, match="does not unpickle"):
        taken(tmp_path)


def linked(file, target):
    with h5py.File(file, "w") as h5:
        h5["df_with_missing"] = target


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n not whole"), "not a whole H5 file of DeepLabCut"),
        (lambda file: linked(file, h5py.ExternalLink("/etc/x.h5", "/x")), "no table 'df_with_missing'"),
        (lambda file: linked(file, h5py.SoftLink("/x")), "no table 'df_with_missing'"),
        (lambda file: as_h5(file, SINGLE_COLUMNS, SINGLE_PATHS[:2], SINGLE_VALUES), "not one table of numbers"),
        (lambda file: as_h5(file, SINGLE_COLUMNS[:3], SINGLE_PATHS, np.zeros((3, 3))), "'tail' has no column y"),
    ],
)
def test_what_is_wrong_with_an_h5_is_one_line(make, says, tmp_path):
    file = project(tmp_path, None) / "CollectedData_me.h5"
    make(file)

    with pytest.raises(FormatError, match=says) as error:
        taken(file)

    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def elsewhere(file, name):
    """The numbers or names of a table lie in a file of somebody else's."""
    other = file.with_suffix(".raw")
    with h5py.File(file, "r+") as h5:
        data = h5[f"df_with_missing/{name}"]
        kept, shape, kind = data[:], data.shape, data.dtype
        other.write_bytes(kept.tobytes())
        del h5[f"df_with_missing/{name}"]
        h5["df_with_missing"].create_dataset(name, shape, kind, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
    return other


@pytest.mark.parametrize("name", ["block0_values", "axis0_level1", "axis1_label0"])
def test_numbers_that_lie_in_another_file_are_neither_read_nor_written(tmp_path, name):
    file = project(tmp_path, None) / "CollectedData_me.h5"
    as_h5(file, SINGLE_COLUMNS, SINGLE_PATHS, SINGLE_VALUES)
    assert len(taken(file)[0].instances)
    other = elsewhere(file, name)
    before = other.read_bytes()

    with pytest.raises(FormatError, match=f"{name} lies in another file"):
        taken(file)

    assert other.read_bytes() == before


def test_names_that_swell_are_refused(tmp_path):
    file = project(tmp_path, None) / "CollectedData_me.h5"
    as_h5(file, SINGLE_COLUMNS, SINGLE_PATHS, SINGLE_VALUES)
    with h5py.File(file, "r+") as h5:
        del h5["df_with_missing/axis1_level2"]
        h5["df_with_missing"].create_dataset("axis1_level2", (1 << 20,), "S4096", chunks=(1 << 10,), compression="gzip")

    with pytest.raises(FormatError, match="axis1_level2 says that it has 4,294,967,296 bytes"):
        taken(file)


def test_predictions_of_images_are_read_as_such_and_those_of_videos_are_not(tmp_path):
    text = "scorer,net,net,net\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n{},1.5,2,0.9\n"
    (tmp_path / "predictions.csv").write_text(text.format("labeled-data/vid/img1.png"))
    (tmp_path / "video.csv").write_text(text.format("0"))

    made, reading = taken(tmp_path / "predictions.csv")

    assert made.points.tolist() == [[[1.5, 2]]]
    assert "a network predicted these labels" in reading.notes[0]
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("likelihoods", 1)]
    with pytest.raises(FormatError, match="line 4: 0 is a frame of a video"):
        taken(tmp_path / "video.csv")


@pytest.mark.parametrize(
    ("old", "new", "kind", "says"),
    [
        ("scorer,,,", "x,,,", FormatError, "the first rows are 'x, bodyparts, coords'"),
        ("tail,tail", "nose,nose", FormatError, "'me nose x' is there twice"),
        ("x,y,x,y", "x,y,x,z", FormatError, "'me tail z' is not x, y or likelihood"),
        (",31,41", ",31", FormatError, "line 5: 3 numbers, but the header names 4"),
        (",31,41", ",31,a", FormatError, "line 5: not a number"),
        (",31,41", ",31,inf", FormatError, "line 5: a position that is not finite"),
        ("img01.png", "../../../x.png", DataError, "leads out of the folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_is_one_line(old, new, kind, says, tmp_path):
    project(tmp_path, SINGLE_ANIMAL.replace(old, new))

    with pytest.raises(kind, match=says) as error:
        taken(tmp_path)

    assert str(tmp_path) in str(error.value)


def test_two_scorers_in_one_folder_are_refused_unless_the_project_says_which(tmp_path):
    inside = project(tmp_path)
    shutil.copy(inside / "CollectedData_me.csv", inside / "CollectedData_you.csv")

    with pytest.raises(DataError, match="labels of several scorers"):
        taken(tmp_path)
    (tmp_path / "config.yaml").write_text("scorer: me\nbodyparts: [tail, nose]\n")
    assert taken(tmp_path)[0].scheme.names == ("tail", "nose")
