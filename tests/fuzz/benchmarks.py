"""Good files of the benchmarks that are only read, for fuzzing: as MATLAB and SQLite write them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from lmk.formats import cofw
from lmk.formats.exchange import format_named, read
from lmk.formats.source import Source

_RNG = np.random.default_rng(5)


def lp300w(folder: Path) -> None:
    """One image with its file, which is not packed, so that damage reaches what is in it."""
    (folder / "faces").mkdir()
    about = {"roi": np.ones((1, 4)), "pt2d": _RNG.uniform(1, 99, (2, 68)), "Pose_Para": np.zeros((1, 7))}
    scipy.io.savemat(folder / "faces" / "a.mat", about)
    (folder / "faces" / "a.jpg").write_bytes(b"image")


def aflw_info(folder: Path) -> None:
    """Three faces."""
    names = np.array([["0/a.jpg"], ["0/a.jpg"], ["3/b.jpg"]], object)
    about = {"data": _RNG.uniform(1, 99, (3, 38)), "mask_new": np.ones((3, 19)), "nameList": names,
             "ra": np.array([[2, 1, 3]])}  # fmt: skip
    scipy.io.savemat(folder / "AFLWinfo.mat", about)


def aflw(folder: Path) -> None:
    """Two faces in one image."""
    database = sqlite3.connect(folder / "aflw.sqlite")
    database.executescript(
        "CREATE TABLE Faces (face_id INTEGER, file_id TEXT);"
        "CREATE TABLE FaceImages (file_id TEXT, filepath TEXT, width INTEGER, height INTEGER);"
        "CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL);"
        "CREATE TABLE FaceRect (face_id INTEGER);"
        "INSERT INTO FaceImages VALUES ('a', '0/a.jpg', 64, 48); INSERT INTO Faces VALUES (1, 'a'), (2, 'a');"
        "INSERT INTO FeatureCoords VALUES (1, 1, 2, 3), (1, 2, 4, 5), (2, 21, 5, 6); INSERT INTO FaceRect VALUES (1);"
    )
    database.close()


def cofw_set(folder: Path) -> None:
    """Two faces with their pictures."""
    with h5py.File(folder / "cofw.mat", "w") as root:
        root["phisT"] = np.concatenate([_RNG.uniform(1, 9, (58, 2)), np.zeros((29, 2))])
        listed = np.empty((1, 2), h5py.ref_dtype)
        for number in range(2):
            root[f"#refs#/{number}"] = _RNG.integers(0, 255, (3, 9, 8)).astype(np.uint8)
            listed[0, number] = root[f"#refs#/{number}"].ref
        root.create_dataset("IsT", data=listed, dtype=h5py.ref_dtype)


def reader(form: str, name: str) -> Callable[[Path], None]:
    """Reads a file, and its pictures where there are some."""

    def taken(folder: Path) -> None:
        reading = read(format_named(form), folder / name, None, False)
        for _ in reading.parts:
            pass
        list(reading.losses)
        if form == "cofw":
            shutil.rmtree(folder / "pictures", ignore_errors=True)
            cofw.pictures(Source(folder / name), folder / "pictures")

    return taken
