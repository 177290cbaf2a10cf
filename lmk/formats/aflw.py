"""AFLW: its SQLite database (21 landmarks, absent where they cannot be seen), or `AFLWinfo_release.mat` (19).

Nothing says where positions count from; they are taken as they are, pixels from 0.  A landmark of the 19 that the mask
says cannot be seen has a position all the same: it is read as occluded.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.landmarks import chosen
from lmk.formats.mat5 import SIGNATURE, Variable, variables
from lmk.formats.source import Source, head
from lmk.limits import PIECE_BYTES, ROWS_AT_ONCE, TABLE_BYTES
from lmk.names import Folder
from lmk.reading import check_file, whole
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme, load_scheme

ORIGIN: Origin = "centre"
_SQLITE = b"SQLite format 3\0"
_LANDMARKS = 21  # numbered from 1 in FeatureCoords; the database names more, which nobody labelled
_TABLES = {
    "FaceImages": ("file_id", "filepath", "width", "height"),
    "Faces": ("face_id", "file_id"),
    "FeatureCoords": ("face_id", "feature_id", "x", "y"),
}
_NOT_READ = {"FaceRect": "boxes", "FaceEllipse": "ellipses", "FacePose": "poses", "FaceMetaData": "what faces are like"}
_TEXT_BYTES = 1 << 16  # of one value
_WIDEST = 1e6  # pixels; what is beyond is no size
_SECONDS = 5.0  # of a question between two rows of its answer; a whole table of AFLW takes one
_TRAIN = 20_000  # of the 24,386 faces in the order of `ra`, as everybody splits them
_MAT = frozenset({"data", "mask_new", "nameList", "ra", "bbox"})
_FOLDERS = ("", "flickr/", "data/flickr/")  # where the images lie, seen from the file


def _sniff(path: Path, start: bytes) -> Guess | None:
    if start.startswith(_SQLITE) and (b"FeatureCoords" in start or "aflw" in path.name.lower()):
        return Guess(1.0, "it is an SQLite database with AFLW's tables or name")
    if start.startswith(SIGNATURE) and "aflwinfo" in path.name.lower():
        return Guess(0.95, "it is a MATLAB file that is called AFLWinfo")
    return None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    path = source.path
    if not path.is_file():
        raise DataError(f"{path}: no such file; format aflw reads aflw.sqlite or AFLWinfo_release.mat")
    losses, notes = Losses(), list[str]()
    if head(path).startswith(_SQLITE):
        scheme = chosen(asked or load_scheme("aflw21"), _LANDMARKS, str(path))
        return Reading(_of_database(source, scheme, losses, notes), scheme, losses, notes)
    found = variables(source.data(path, PIECE_BYTES), _MAT, str(path))
    table = _numbers(found, "data", path)
    if table.ndim != 2 or not table.shape[1] or table.shape[1] % 2:
        raise FormatError(f"{path}: data has the shape {table.shape}, not faces x (all x, all y)")
    scheme = chosen(asked, table.shape[1] // 2, str(path))
    return Reading(_of_mat(source, found, scheme, losses, notes), scheme, losses, notes)


def _of_mat(
    source: Source, found: dict[str, Variable], scheme: LandmarkScheme, losses: Losses, notes: list[str]
) -> Iterator[Part]:
    path, size = source.path, scheme.size
    table, seen = (_numbers(found, name, path) for name in ("data", "mask_new"))
    names = found.get("nameList")
    order = _numbers(found, "ra", path).reshape(-1)
    count = len(table)
    if not isinstance(names, list) or len(names) != count or seen.shape != (count, size):
        raise FormatError(f"{path}: data, mask_new and nameList are not of as many faces")
    if not np.array_equal(np.sort(order), np.arange(1, count + 1)):
        raise FormatError(f"{path}: ra is not an order of the {count} faces")
    splits = np.full(count, "test", object)
    splits[order[:_TRAIN].astype(np.int64) - 1] = "train"
    if "bbox" in found:
        losses.add("boxes", count, names[0] if names else "")
    points = table.astype(np.float64).reshape(count, 2, size)
    if not np.isfinite(points).all():
        raise FormatError(f"{path}: data has a position that is no number")
    visibility = np.where(seen != 0, 2, 1)
    visibility[(points == 0).all(axis=1)] = 0
    faces = pd.DataFrame({"image": names, "split": splits})
    yield from _given(source, faces, points.transpose(0, 2, 1), visibility, notes)


def _numbers(found: dict[str, Variable], name: str, path: Path) -> NDArray[Any]:
    table = found.get(name)
    if not isinstance(table, np.ndarray):
        raise FormatError(f"{path}: no table {name!r} in it; is it AFLWinfo_release.mat?")
    return table


def _of_database(source: Source, scheme: LandmarkScheme, losses: Losses, notes: list[str]) -> Iterator[Part]:
    path, size = source.path, scheme.size
    with _opened(path) as database:
        images, faces, coordinates = (_table(database, name, path) for name in _TABLES)
        for name, what in _NOT_READ.items():
            if count := _count(database, name):
                losses.add(f"{what} ({name})", count, "row 1")
    for table, key in ((images, "file_id"), (faces, "face_id")):
        if table[key].duplicated().any() or table[key].isna().any():
            raise FormatError(f"{path}: two rows have the {key} {table[key][table[key].duplicated()].head(1).tolist()}")
    with whole(path, "a table of numbers has something else in it"):
        faces = faces.merge(images, on="file_id", how="left", sort=False)
        coordinates = coordinates.assign(row=pd.Index(faces["face_id"]).get_indexer(coordinates["face_id"]))
        number = coordinates["feature_id"].to_numpy(np.float64)
        xy = coordinates[["x", "y"]].to_numpy(np.float64)
    known = (number >= 1) & (number <= _LANDMARKS) & (number % 1 == 0)
    _count_gone(coordinates, ~known, "features that are none of the 21 landmarks", losses)
    _count_gone(
        coordinates, known & (coordinates["row"].to_numpy() < 0), "landmarks of faces that are not there", losses
    )
    known &= coordinates["row"].to_numpy() >= 0
    rows, landmarks = coordinates["row"].to_numpy()[known], number[known].astype(np.int64) - 1
    if not np.isfinite(xy[known]).all():
        raise FormatError(f"{path}: FeatureCoords has a position that is no number")
    if len(np.unique(rows * size + landmarks)) < len(rows):
        raise FormatError(f"{path}: FeatureCoords has one landmark of a face twice")
    points = np.full((len(faces), size, 2), np.nan)
    points[rows, landmarks] = xy[known]
    there = ~np.isnan(points[..., 0])
    some = there.any(axis=1)
    if not some.all():
        losses.add("faces without landmarks", int((~some).sum()), f"face_id {faces['face_id'][~some].iloc[0]}")
    if not some.any():
        raise FormatError(f"{path}: no face in it has a landmark")
    names = faces["filepath"][some].tolist()
    if not all(isinstance(name, str) for name in names):
        raise FormatError(f"{path}: a face is in an image that FaceImages does not have")
    sizes = faces[["width", "height"]][some].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    sizes = sizes.where((sizes > 0) & (sizes < _WIDEST)).reset_index(drop=True)
    named = pd.DataFrame({"image": names, "split": "train", **sizes})
    yield from _given(source, named, points[some], np.where(there[some], 2, 0), notes)


def _count_gone(table: pd.DataFrame, gone: NDArray[np.bool_], what: str, losses: Losses) -> None:
    if gone.any():
        row = table.iloc[int(np.argmax(gone))]
        losses.add(what, int(gone.sum()), f"feature_id {_plain(row['feature_id'])} of face_id {_plain(row['face_id'])}")


def _plain(value: Any) -> str:
    return str(value).removesuffix(".0")


def _given(
    source: Source, faces: pd.DataFrame, points: NDArray[np.float64], visibility: NDArray[np.int64], notes: list[str]
) -> Iterator[Part]:
    """Parts of all faces: a row a face, (N, K, 2) points, (N, K) whether they are seen."""
    names = faces["image"].tolist()
    before = _before(source, names)
    if before:
        notes.append(f"images are in {before}")
    faces = faces.assign(image=[before + name for name in names])
    faces["instance"] = faces.groupby("image", sort=False).cumcount()
    count, size = visibility.shape
    step = max(1, PART_ROWS // size)
    for start in range(0, count, step):
        some = slice(start, start + step)
        part = faces[some].loc[lambda table: table.index.repeat(size)].reset_index(drop=True)
        part["landmark"] = np.tile(np.arange(size), len(part) // size)
        part["x"], part["y"] = points[some].reshape(-1, 2).T
        part["visibility"] = visibility[some].reshape(-1)
        yield Part(part)


def _before(source: Source, names: list[str]) -> str:
    """The folder of the images, where it is one of those that AFLW has, and the first image lies there."""
    root = Folder(source.path, source.links, source.images).root.path
    for before in _FOLDERS if len(names) else ():
        try:
            if (root / f"{before}{names[0]}").is_file():
                return before
        except (OSError, ValueError):
            return ""
    return ""


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that can be read and nothing else: no writing, no functions of its own, no view for a table."""
    check_file(path, TABLE_BYTES)
    with whole(path, "not a whole SQLite database"):
        place = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(place, uri=True)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _TEXT_BYTES)
            for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
                database.execute(f"PRAGMA {pragma}")
            yield database


def _table(database: sqlite3.Connection, name: str, path: Path) -> pd.DataFrame:
    """The columns of one table that are read, row by row."""
    _check_table(database, name, path)
    columns = _TABLES[name]
    there = {row[1].lower() for row in database.execute(f"PRAGMA table_info({name})")}
    if gone := [column for column in columns if column not in there]:
        raise FormatError(f"{path}: {name} has no column {gone[0]!r}; is it AFLW's database?")
    until = time.monotonic() + _SECONDS
    database.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    rows: list[Any] = []
    answer = database.execute(f"SELECT {', '.join(columns)} FROM {name}")
    while some := answer.fetchmany(1 << 14):
        rows += some
        until = time.monotonic() + _SECONDS
        if len(rows) > ROWS_AT_ONCE:
            raise FormatError(f"{path}: {name} has more than {ROWS_AT_ONCE:,} rows; AFLW's largest has 380,000")
    return pd.DataFrame(rows, columns=list(columns))


def _count(database: sqlite3.Connection, name: str) -> int:
    """How many rows a table has that is not read, 0 where there is none."""
    found = database.execute("SELECT sql FROM sqlite_master WHERE name = ? AND type = 'table'", (name,)).fetchone()
    if found is None or not _is_plain(found[0]):
        return 0
    return int(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0])


def _check_table(database: sqlite3.Connection, name: str, path: Path) -> None:
    found = database.execute("SELECT type, sql FROM sqlite_master WHERE lower(name) = lower(?)", (name,)).fetchall()
    if not found:
        raise FormatError(f"{path}: no table {name!r} in it; is it AFLW's database?")
    if any(kind != "table" or not _is_plain(sql) for kind, sql in found):
        raise FormatError(f"{path}: {name} is no plain table, as AFLW's are, but something that computes its rows")


def _is_plain(sql: Any) -> bool:
    return isinstance(sql, str) and re.match(r"\s*CREATE\s+TABLE\b", sql, re.IGNORECASE) is not None


AFLW = Format(
    name="aflw",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.SPLIT, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
)
