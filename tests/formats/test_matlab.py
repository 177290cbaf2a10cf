"""Benchmarks that come as MATLAB's files or as a database: 300W-LP, COFW, AFLW."""

from __future__ import annotations

import sqlite3
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, ImageError, LmkError, SchemeError
from lmk.formats.aflw import AFLW
from lmk.formats.cofw import COFW, pictures
from lmk.formats.exchange import looks_like, read
from lmk.formats.lp300w import LP300W
from lmk.formats.mat5 import variables
from lmk.formats.source import Source
from lmk.images import read_image
from lmk.scheme import load_scheme, parse_scheme

TWO = parse_scheme('{"name": "two", "points": 2}', "two")


def taken(form, path, scheme=None, with_images=False):
    reading = read(form, path, scheme, with_images)
    made = make_set((part.table for part in reading.parts), reading.scheme, {}, "here")
    return made, reading, {loss.kind: (loss.count, loss.example) for loss in reading.losses}


# MATLAB 5: what SciPy writes, packed and not.


@pytest.mark.parametrize("packed", [True, False])
def test_variables_are_what_scipy_has_written(packed, tmp_path):
    rng = np.random.default_rng(3)
    content = {
        "number": 3.5, "table": rng.normal(size=(3, 4)), "small": np.array([[1, 2]], np.uint8),
        "empty": np.zeros((0, 3)), "deep": rng.normal(size=(2, 3, 2)).astype(np.float32),
        "words": np.array([["a/b.jpg"], ["ü"]], object),
        "text": "hello", "complex": np.array([1j]), "other": {"a": 1},
    }  # fmt: skip
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=packed)

    found = variables((tmp_path / "a.mat").read_bytes(), frozenset({*content, "absent"}), "a.mat")

    theirs = scipy.io.loadmat(tmp_path / "a.mat")
    for name in ("number", "table", "small", "empty", "deep"):
        np.testing.assert_array_equal(found.pop(name), theirs[name])
    assert found == {"words": ["a/b.jpg", "ü"], "text": ["hello"]}


def packed_file(variable):
    body = zlib.compress(variable)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(body)) + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x89HDF\r\n\x1a\n", "not a file of MATLAB 5 to 7"),
        (b"MATLAB 5.0 MAT-file", "not a whole file of MATLAB"),
        (packed_file(struct.pack("<II", 14, 1 << 30)), "bytes too early"),
        (packed_file(struct.pack("<II", 14, (1 << 28) - 8) + bytes(1 << 28)), "more than 128 MiB, unpacked"),
        (packed_file(struct.pack("<II", 14, 0)), "a variable that is not whole"),
        (packed_file(b"")[:-8] + b"damaged!", "not a whole file of MATLAB"),
    ],
)
def test_a_file_that_lies_about_itself_is_one_line(data, says):
    with pytest.raises(FormatError, match=says):
        variables(data, frozenset({"pt2d"}), "a.mat")


def test_lists_within_lists_are_refused(tmp_path):
    inner = np.empty((1, 1), object)
    inner[0, 0] = np.array([["a"]], object)
    scipy.io.savemat(tmp_path / "a.mat", {"nameList": inner})

    with pytest.raises(FormatError, match="'nameList' is no list of texts"):
        variables((tmp_path / "a.mat").read_bytes(), frozenset({"nameList"}), "a.mat")


# 300W-LP


def put_lp(folder, name, points, image=True, **more):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    about = {"roi": np.array([[1, 2, 3, 4]]), "Pose_Para": np.zeros((1, 7)), **more}
    if points is not None:
        about["pt2d"] = points
    scipy.io.savemat(folder / f"{name}.mat", about, do_compression=True)
    if image:
        (folder / f"{name}.jpg").write_bytes(b"there")


def test_points_of_300w_lp_count_from_one(tmp_path):
    points = np.random.default_rng(3).uniform(1, 450, (2, 68)).astype(np.float32)
    points[:, 5] = -1
    put_lp(tmp_path, "HELEN/a_0", points)
    put_lp(tmp_path, "HELEN/b_1", points + 1)
    put_lp(tmp_path, "HELEN/c", None)
    put_lp(tmp_path, "landmarks/a_0_pts", None, image=False, pts_2d=points.T)

    made, reading, lost = taken(LP300W, tmp_path, with_images=True)

    assert reading.scheme.name == "ibug68"
    assert made.instances["image"].tolist() == ["HELEN/a_0.jpg", "HELEN/b_1.jpg"]
    expected = points.T.astype(np.float64) - 1
    expected[5] = np.nan
    np.testing.assert_array_equal(made.points[0], expected)
    assert lost == {
        ".mat files without pt2d": (1, "HELEN/c.mat"),
        ".mat files without an image beside them": (1, "landmarks/a_0_pts.mat"),
    }
    assert looks_like(tmp_path)[0] is LP300W


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (np.zeros((3, 68)), r"a\.mat: pt2d is not 2 x K numbers"),
        (np.full((2, 68), np.inf), r"a\.mat: pt2d has a position that is no number"),
        (np.zeros((2, 67)), "67 points without names; say with --scheme"),
        ("text", r"a\.mat: pt2d is not 2 x K numbers"),
        (None, "no pt2d in it"),
    ],
)
def test_what_is_wrong_with_a_file_of_300w_lp_is_one_line(points, says, tmp_path):
    put_lp(tmp_path, "a", points)

    with pytest.raises((FormatError, SchemeError), match=says):
        taken(LP300W, tmp_path, with_images=True)


def test_a_folder_without_labels_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no \.mat files with images"):
        taken(LP300W, tmp_path)
    put_lp(tmp_path, "a", np.ones((2, 68)), image=False)
    with pytest.raises(ImageError, match=r"no \.mat files with images"):
        taken(LP300W, tmp_path, with_images=True)
    assert taken(LP300W, tmp_path)[0].instances["image"].tolist() == ["a"]
    with pytest.raises(DataError, match="no such folder"):
        taken(LP300W, tmp_path / "nowhere")


# COFW


def put_cofw(file, tables, faces, boxes="bboxesT", lists="IsT"):
    """As MATLAB 7.3 writes it: axes the other way round, a list as references into #refs#."""
    with h5py.File(file, "w", userblock_size=512) as root:
        for name, table in tables.items():
            root[name] = np.asarray(table, np.float64).T
        if boxes:
            root[boxes] = np.zeros((4, len(faces)))
        if lists:
            listed = np.empty((1, len(faces)), h5py.ref_dtype)
            for k, face in enumerate(faces):
                root[f"#refs#/{chr(97 + k)}"] = np.asarray(face).T
                listed[0, k] = root[f"#refs#/{chr(97 + k)}"].ref
            root.create_dataset(lists, data=listed, dtype=h5py.ref_dtype)
    data = file.read_bytes()
    file.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + data[512:])
    return file


COLOUR = np.random.default_rng(4).integers(0, 255, (20, 30, 3)).astype(np.uint8)
GREY = np.random.default_rng(5).integers(0, 255, (25, 15)).astype(np.uint8)


@pytest.mark.parametrize(("split", "suffix"), [("train", "Tr"), ("test", "T")])
def test_cofw_has_occluded_points_and_its_pictures_inside(split, suffix, tmp_path):
    table = np.random.default_rng(3).uniform(1, 200, (2, 87))
    table[:, 58:] = 0
    table[1, 58 + 7] = 1
    file = put_cofw(tmp_path / "COFW.mat", {f"phis{suffix}": table}, [COLOUR, GREY], f"bboxes{suffix}", f"Is{suffix}")

    made, reading, lost = taken(COFW, file)
    count = pictures(Source(file), tmp_path / "pictures")

    assert reading.scheme.name == "cofw29"
    assert made.instances[["image", "split"]].to_numpy().tolist() == [
        [f"{split}/0001.png", split], [f"{split}/0002.png", split]]  # fmt: skip
    np.testing.assert_array_equal(made.points, table[:, :58].reshape(2, 2, 29).transpose(0, 2, 1) - 1)
    assert np.argwhere(made.column("visibility") == 1).tolist() == [[1, 7]]
    assert lost == {"boxes": (2, f"{split}/0001.png")}
    assert f"writes them as {split}/0001.png" in reading.notes[0]
    assert count == 2
    np.testing.assert_array_equal(read_image(tmp_path / "pictures" / split / "0001.png"), COLOUR)
    np.testing.assert_array_equal(read_image(tmp_path / "pictures" / split / "0002.png")[..., 1], GREY)
    assert looks_like(file)[0] is COFW
    with pytest.raises(DataError, match="is there already"):
        pictures(Source(file), tmp_path / "pictures")


@pytest.mark.parametrize(
    ("tables", "faces", "says"),
    [
        ({"phis": np.zeros((1, 87))}, [GREY], "no phisTr or phisT in it"),
        ({"phisT": np.zeros((1, 86))}, [GREY], r"has the shape \(1, 86\)"),
        ({"phisT": np.full((1, 87), np.nan)}, [GREY], "face 1 has a position, or an occlusion, that is no number"),
        ({"phisT": np.full((1, 87), 2)}, [GREY], "face 1 has a position, or an occlusion, that is no number"),
        ({"phisT": np.zeros((1, 87))}, [GREY, GREY], "1 faces, but 2 pictures"),
        ({"phisT": np.zeros((1, 9))}, [GREY], "3 points without names; say with --scheme"),
    ],
)
def test_what_is_wrong_with_a_file_of_cofw_is_one_line(tables, faces, says, tmp_path):
    file = put_cofw(tmp_path / "COFW.mat", tables, faces)

    with pytest.raises((FormatError, SchemeError), match=says) as error:
        taken(COFW, file)
    assert str(file) in str(error.value)


def test_pictures_of_cofw_that_are_none_are_refused(tmp_path):
    table = {"phisT": np.zeros((1, 87))}
    floats = put_cofw(tmp_path / "floats.mat", table, [np.zeros((3, 3))])
    empty = put_cofw(tmp_path / "empty.mat", table, [np.zeros((0, 3), np.uint8)])
    without = put_cofw(tmp_path / "without.mat", table, [GREY], lists=None)

    for file, says in (
        (floats, "a kind that does not belong there"),
        (empty, "a picture is grey or RGB"),
        (without, "no pictures in it"),
    ):
        with pytest.raises(LmkError, match=says):
            pictures(Source(file), tmp_path / "pictures")
        assert not (tmp_path / "pictures").exists()
    assert len(taken(COFW, without)[0].instances) == 1


# AFLW

SCHEMA = """
CREATE TABLE Faces (face_id INTEGER PRIMARY KEY NOT NULL, file_id TEXT, db_id TEXT);
CREATE TABLE FaceImages (image_id INTEGER PRIMARY KEY, db_id TEXT, file_id TEXT, filepath TEXT, bw INTEGER,
                         width INTEGER, height INTEGER);
CREATE TABLE FeatureCoordTypes (feature_id INTEGER PRIMARY KEY, descr TEXT, code TEXT, x REAL, y REAL, z REAL);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL, annot_type_id INTEGER);
CREATE TABLE FaceRect (face_id INTEGER PRIMARY KEY, x INTEGER, y INTEGER, w INTEGER, h INTEGER, annot_type_id INTEGER);
INSERT INTO FaceImages VALUES (1, 'aflw', 'image1.jpg', '0/image1.jpg', 0, 640, 480);
INSERT INTO FaceImages VALUES (2, 'aflw', 'image2.jpg', '3/image2.jpg', 0, 0, NULL);
INSERT INTO Faces VALUES (39341, 'image1.jpg', 'aflw'), (39342, 'image1.jpg', 'aflw'), (39343, 'image2.jpg', 'aflw');
INSERT INTO Faces VALUES (50000, 'image2.jpg', 'aflw');
INSERT INTO FeatureCoords VALUES (39341, 1, 10.5, 11.25, 1), (39341, 21, 20, 21, 1), (39343, 14, 3, 4, 1);
INSERT INTO FeatureCoords VALUES (39342, 17, 5, 6, 1), (39342, 30, 7, 8, 1), (7, 1, 7, 8, 1);
INSERT INTO FaceRect VALUES (39341, 1, 2, 3, 4, 1);
"""


def put_aflw(file, more="", schema=SCHEMA):
    database = sqlite3.connect(file)
    database.executescript(schema + more)
    database.close()
    return file


def test_landmarks_of_aflw_that_have_no_row_are_missing(tmp_path):
    (tmp_path / "flickr" / "0").mkdir(parents=True)
    (tmp_path / "flickr" / "0" / "image1.jpg").write_bytes(b"there")
    file = put_aflw(tmp_path / "aflw.sqlite")

    made, reading, lost = taken(AFLW, file)

    assert reading.scheme.name == "aflw21"
    assert made.instances[["image", "instance"]].to_numpy().tolist() == [
        ["flickr/0/image1.jpg", 0], ["flickr/0/image1.jpg", 1], ["flickr/3/image2.jpg", 0]]  # fmt: skip
    assert made.instances["width"].tolist()[:2] == [640, 640]
    assert made.instances["width"].isna().tolist() == [False, False, True]
    assert [(row, k, *made.points[row, k]) for row, k in np.argwhere(made.labelled)] == [
        (0, 0, 10.5, 11.25), (0, 20, 20, 21), (1, 16, 5, 6), (2, 13, 3, 4)]  # fmt: skip
    assert lost == {
        "boxes (FaceRect)": (1, "row 1"),
        "features that are none of the 21 landmarks": (1, "feature_id 30 of face_id 39342"),
        "landmarks of faces that are not there": (1, "feature_id 1 of face_id 7"),
        "faces without landmarks": (1, "face_id 50000"),
    }
    assert reading.notes == ["images are in flickr/"]
    assert looks_like(file)[0] is AFLW
    with pytest.raises(SchemeError, match="21 points, but scheme aflw19 has 19"):
        taken(AFLW, file, load_scheme("aflw19"))


RECURSIVE = """
DROP TABLE FeatureCoords;
CREATE VIEW FeatureCoords AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
    SELECT x AS face_id, 1 AS feature_id, x, x AS y FROM n;
"""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("UPDATE FeatureCoords SET feature_id = 'a', face_id = x'00';", "something else in it"),
        (RECURSIVE, "FeatureCoords is no plain table"),
        ("DROP TABLE Faces; CREATE VIRTUAL TABLE Faces USING fts5(face_id, file_id);", "Faces is no plain table"),
        ("DROP TABLE Faces;", "no table 'Faces' in it"),
        ("ALTER TABLE FeatureCoords RENAME COLUMN x TO u;", "FeatureCoords has no column 'x'"),
        ("INSERT INTO FeatureCoords VALUES (39341, 2, 'wide', 3, 1);", "a table of numbers has something else in it"),
        ("INSERT INTO FeatureCoords VALUES (39341, 2, 9e999, 3, 1);", "a position that is no number"),
        ("INSERT INTO FeatureCoords VALUES (39341, 2, NULL, 3, 1);", "a position that is no number"),
        ("INSERT INTO FeatureCoords VALUES (39341, 1, 2, 3, 1);", "has one landmark of a face twice"),
        ("UPDATE FaceImages SET file_id = 'image1.jpg';", "two rows have the file_id"),
        ("DELETE FROM FaceImages WHERE image_id = 1;", "a face is in an image that FaceImages does not have"),
        ("UPDATE FaceImages SET filepath = x'00ff';", "a face is in an image that FaceImages does not have"),
        ("UPDATE FaceImages SET filepath = NULL, file_id = 3;", "image that FaceImages does not have|two rows have"),
        ("DELETE FROM FeatureCoords;", "no face in it has a landmark"),
        ("UPDATE FaceImages SET filepath = '../image1.jpg';", "leads out of the folder"),
        ("UPDATE FaceImages SET filepath = CAST(zeroblob(100000) AS TEXT);", "not a whole SQLite database"),
        ("UPDATE FaceImages SET filepath = CAST(x'ff00' AS TEXT);", "not a whole SQLite database"),
    ],
)
def test_what_is_wrong_with_a_database_is_one_line(more, says, tmp_path):
    file = put_aflw(tmp_path / "aflw.sqlite", more)

    with pytest.raises((FormatError, DataError), match=says) as error:
        taken(AFLW, file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_database_is_not_written_to_and_nothing_lies_beside_it_afterwards(tmp_path):
    file = put_aflw(tmp_path / "aflw.sqlite", "CREATE TRIGGER t AFTER INSERT ON Faces BEGIN DELETE FROM Faces; END;")
    before = file.read_bytes()
    file.chmod(0o400)

    taken(AFLW, file)

    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["aflw.sqlite"]


def put_info(file, count=3, **more):
    rng = np.random.default_rng(3)
    names = np.empty((count, 1), object)
    names[:, 0] = [f"0/image{k // 2}.jpg" for k in range(count)]
    about = {
        "data": rng.uniform(1, 300, (count, 38)), "mask_new": np.ones((count, 19)), "nameList": names,
        "ra": np.arange(count, 0, -1)[None].astype(np.uint16), "bbox": np.zeros((count, 4)), **more,
    }  # fmt: skip
    scipy.io.savemat(file, {name: value for name, value in about.items() if value is not None}, do_compression=True)
    return file, about


def test_the_19_landmarks_of_aflw_are_occluded_where_the_mask_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("lmk.formats.aflw._TRAIN", 2)
    mask = np.ones((3, 19))
    mask[1, 4] = 0
    file, about = put_info(tmp_path / "AFLWinfo_release.mat", mask_new=mask)

    made, reading, lost = taken(AFLW, file)

    assert reading.scheme.name == "aflw19"
    assert made.instances[["image", "instance", "split"]].to_numpy().tolist() == [
        ["0/image0.jpg", 0, "test"], ["0/image0.jpg", 1, "train"], ["0/image1.jpg", 0, "train"]]  # fmt: skip
    np.testing.assert_array_equal(made.points, about["data"].reshape(3, 2, 19).transpose(0, 2, 1))
    assert np.argwhere(made.column("visibility") == 1).tolist() == [[1, 4]]
    assert lost == {"boxes": (3, "0/image0.jpg")}
    assert looks_like(file)[0] is AFLW


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"data": None}, "no table 'data' in it"),
        ({"data": np.zeros((3, 37))}, r"data has the shape \(3, 37\)"),
        ({"data": np.full((3, 38), np.nan)}, "data has a position that is no number"),
        ({"mask_new": np.ones((2, 19))}, "are not of as many faces"),
        ({"nameList": np.zeros((3, 1))}, "are not of as many faces"),
        ({"ra": np.array([[1, 1, 2]])}, "ra is not an order of the 3 faces"),
        ({"ra": None}, "no table 'ra' in it"),
    ],
)
def test_what_is_wrong_with_the_information_is_one_line(more, says, tmp_path):
    file, _ = put_info(tmp_path / "AFLWinfo_release.mat", **more)

    with pytest.raises(FormatError, match=says) as error:
        taken(AFLW, file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("form", [COFW, AFLW])
def test_a_folder_is_none_of_these_files(form, tmp_path):
    with pytest.raises(DataError, match="no such file; format"):
        taken(form, tmp_path)
