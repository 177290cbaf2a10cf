"""Files of DeepLabCut: a table of labels as CSV or H5, and what `config.yaml` says of a project."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lmk.config.yaml_text import parse_yaml
from lmk.errors import ConfigError, DataError, FormatError
from lmk.formats.hdf5 import checked
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.limits import DLC_BYTES, PARAMETER_BYTES, POINTS
from lmk.reading import check_file, whole

HEADER = ("scorer", "individuals", "bodyparts", "coords")
KEY = "df_with_missing"
VALUES = "block0_values"
LIKELIHOOD = "likelihood"
SINGLE = "single"  # what multi-animal projects call the individual of points that are there once
_ROWS = 1024  # of H5, that are read at a time
_SWOLLEN = 50  # bytes of names to one byte of the file that holds them; what is beyond is no table of labels
_WANTED = "expected rows scorer, perhaps individuals, bodyparts and coords, then a row an image"
Landmark = tuple[str, str]  # individual (empty where there are none) and body part


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        scorer: who labelled, or which network predicted.
        index: columns before the first number; an image's path is one, or three.
        landmarks: each (individual, body part), in order.
        x, y: (landmarks,) the column of each, counted behind the index.
        likelihood: how many columns say it.
    """

    scorer: str
    index: int
    landmarks: list[Landmark]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    likelihood: int

    @property
    def width(self) -> int:
        """Columns behind the index."""
        return 2 * len(self.landmarks) + self.likelihood


def columns_of(levels: Sequence[Sequence[str]], index: int, where: str) -> Columns:
    """The columns by the words above each: scorer, perhaps individual, body part, coordinate."""
    places: dict[tuple[Landmark, str], int] = {}
    for column, (scorer, *individual, part, coordinate) in enumerate(zip(*levels, strict=True)):
        key = ((individual[0] if individual else "", part), coordinate)
        if coordinate not in ("x", "y", LIKELIHOOD) or key in places or scorer != levels[0][0]:
            what = "is there twice" if key in places else "is not x, y or likelihood of the same scorer"
            raise FormatError(f"{where}: column {' '.join((scorer, *individual, part, coordinate))!r:.60} {what}")
        places[key] = column
    landmarks = list(dict.fromkeys(landmark for landmark, _ in places))
    if not 0 < len(landmarks) <= POINTS:
        raise FormatError(f"{where}: {len(landmarks)} body parts; {_WANTED}")
    try:
        x, y = (np.array([places[landmark, axis] for landmark in landmarks]) for axis in "xy")
    except KeyError as cause:
        raise FormatError(f"{where}: {cause.args[0][0][1]!r:.60} has no column {cause.args[0][1]}") from cause
    return Columns(levels[0][0], index, landmarks, x, y, len(places) - 2 * len(landmarks))


def csv_columns(rows: Iterator[list[str]], where: str) -> Columns:
    """What the first rows of a CSV say."""
    levels: list[list[str]] = []
    names: list[str] = []
    index = 0
    for row in rows:
        if not row:
            continue
        names.append(row[0])
        if len(names) == 1:
            index = 1 + next((k for k, cell in enumerate(row[1:]) if cell), 0)
        levels.append(row[index:])
        if row[0] == HEADER[-1] or len(names) == len(HEADER):
            break
    if names not in ([*HEADER], [HEADER[0], *HEADER[2:]]) or len({len(level) for level in levels}) > 1:
        raise FormatError(f"{where}: the first rows are {', '.join(names)!r:.60}; {_WANTED}")
    return columns_of(levels, index, where)


def csv_header(source: Source, file: Path) -> Columns:
    """What the columns of a CSV are."""
    with source.open_text(file) as stream:
        try:
            return csv_columns(csv.reader(stream), str(file))
        except csv.Error as cause:
            raise FormatError(f"{file}: not a CSV file ({cause}); {_WANTED}") from cause


def csv_rows(source: Source, file: Path) -> Iterator[tuple[Columns, int, str, NDArray[np.float64]]]:
    """Each row of a CSV: what its columns are, its line, the image's path, its numbers, NaN where a cell is empty."""
    with source.open_text(file) as stream:
        rows = csv.reader(stream)
        try:
            columns = csv_columns(rows, str(file))
            for row in rows:
                if row:
                    path, cells = row[: columns.index], row[columns.index :]
                    yield (
                        columns,
                        rows.line_num,
                        image_path(path),
                        csv_numbers(cells, columns, f"{file}: line {rows.line_num}"),
                    )
        except csv.Error as cause:
            raise FormatError(f"{file}: not a CSV file ({cause}); {_WANTED}") from cause


def csv_numbers(cells: Sequence[str], columns: Columns, place: str) -> NDArray[np.float64]:
    """The numbers of a row."""
    if len(cells) != columns.width:
        raise FormatError(f"{place}: {len(cells)} numbers, but the header names {columns.width} columns of them")
    try:
        return np.array([cell.strip() or "nan" for cell in cells], np.float64)
    except ValueError as cause:
        raise FormatError(f"{place}: not a number ({cause})") from cause


def points_of(numbers: NDArray[np.float64], columns: Columns, place: str) -> Points:
    """(landmarks, 2) the points of a row, NaN where x or y is missing."""
    points = np.stack([numbers[columns.x], numbers[columns.y]], -1)
    if np.isinf(points).any():
        raise FormatError(f"{place}: a position that is not finite")
    return np.where(np.isnan(points).any(axis=1, keepdims=True), np.nan, points)


def image_path(parts: Sequence[str]) -> str:
    """A path in one column or three, from Windows or not."""
    return "/".join(parts).replace("\\", "/")


def image_of(path: str, file: Path, root: Path) -> str:
    """The name of an image, relative to the folder that names start from.

    A table lies beside its images, and its paths start from the project, wherever that is now; where they do not end in
    the table's folder, they start from there.
    """
    inside = file.parent.relative_to(root)
    asked = PurePosixPath(path)
    folders = asked.parts[:-1]
    here = file.parent.resolve().parts
    if not folders or here[-len(folders) :] == folders:
        return str(PurePosixPath(inside.as_posix()) / asked.name)
    return str(PurePosixPath(inside.as_posix()) / path)


class Unreadable(FormatError):
    """An H5 file whose names of columns only PyTables can read, by running what is in it."""


def h5_columns(file: Path) -> tuple[Columns, list[str]]:
    """What the columns of an H5 file are, and the image's path of each row."""
    with opened_h5(file) as group:
        levels = _labels(group, "axis0", file)
        index = _labels(group, "axis1", file)
        if len(levels) not in (3, 4):
            raise FormatError(f"{file}: {len(levels)} rows of header; {_WANTED}")
        columns = columns_of(levels, len(index), str(file))
        values = data_of(group, VALUES, file)
        if "block1_values" in group or values.shape != (len(index[0]), columns.width) or values.dtype.kind != "f":
            raise Unreadable(f"{file}: not one table of numbers, {len(index[0])} images x {columns.width}")
        if _labels(group, "block0_items", file) != levels:
            raise Unreadable(f"{file}: its columns lie in another order than their names")
        return columns, [image_path(parts) for parts in zip(*index, strict=True)]


def h5_rows(file: Path) -> Iterator[tuple[Columns, int, str, NDArray[np.float64]]]:
    """The same of an H5 file as `csv_rows` of a CSV; rows count from 0."""
    columns, paths = h5_columns(file)
    for start in range(0, len(paths), _ROWS):
        with opened_h5(file) as group:
            numbers = np.asarray(data_of(group, VALUES, file)[start : start + _ROWS], np.float64)
        for row, values in enumerate(numbers, start):
            yield columns, row, paths[row], values


@contextmanager
def opened_h5(file: Path, mode: str = "r") -> Iterator[Any]:
    """The one group of an H5 file that DeepLabCut writes; whatever is wrong with it is one line."""
    check_file(file, DLC_BYTES)
    with whole(file, "not a whole H5 file of DeepLabCut"), h5py.File(file, mode) as h5:
        if not isinstance(h5.get(KEY, getlink=True), h5py.HardLink):
            raise FormatError(f"{file}: no table {KEY!r} in it; DeepLabCut writes its labels there")
        yield h5[KEY]


def data_of(group: Any, name: str, file: Path) -> Any:
    """One data set: here, not elsewhere, and about as large as the file that holds it."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Unreadable(f"{file}: not laid out as pandas' fixed tables are, no {name!r} in it")
    data = checked(group[name], "SiufO", name)
    size = data.dtype.itemsize * math.prod(data.shape)
    if name != VALUES and size > _SWOLLEN * file.stat().st_size:
        raise FormatError(f"{file}: {name} says that it has {size:,} bytes; the file has {file.stat().st_size:,}")
    return data


def _labels(group: Any, axis: str, file: Path) -> list[list[str]]:
    """The words of an axis, by level."""
    if axis in group:
        return [_words(data_of(group, axis, file), file)]
    found: list[list[str]] = []
    while f"{axis}_level{len(found)}" in group and len(found) < 5:
        words = _words(data_of(group, f"{axis}_level{len(found)}", file), file)
        codes = data_of(group, f"{axis}_label{len(found)}", file)[:]
        if codes.dtype.kind not in "iu" or (codes < 0).any():
            raise FormatError(f"{file}: {axis} has no word for one of its rows or columns")
        found.append([words[code] for code in codes.tolist()])
    if not found:
        raise Unreadable(f"{file}: not laid out as pandas' fixed tables are, no {axis!r} in it")
    return found


def _words(data: Any, file: Path) -> list[str]:
    if "PSEUDOATOM" in data.attrs or data.dtype.kind not in "SiuO" or data.ndim != 1:
        raise Unreadable(f"{file}: its names are kept as Python objects, which lmk does not unpickle")
    if data.dtype.kind == "O" and h5py.check_string_dtype(data.dtype) is None:
        raise Unreadable(f"{file}: its names are kept as Python objects, which lmk does not unpickle")
    return [word.decode("utf-8") if isinstance(word, bytes) else str(word) for word in data[:].tolist()]


def config_of(source: Source) -> dict[str, Any]:
    """A project's `config.yaml`, empty where the folder has none."""
    file = source.path / "config.yaml"
    if not source.path.is_dir() or not file.is_file():
        return {}
    source.check(file)
    try:
        found = parse_yaml(source.text(file, PARAMETER_BYTES), str(file), "not YAML")
    except ConfigError as cause:
        raise FormatError(str(cause)) from cause
    if not isinstance(found, dict):
        raise FormatError(f"{file}: not the description of a DeepLabCut project")
    return found


def tables_of(source: Source, scorer: str | None) -> list[tuple[Path | None, Path | None]]:
    """The tables of labels in a folder, each as H5, CSV or both; or the one that is named, and what lies beside it."""
    if not source.path.is_dir():
        if not source.path.is_file():
            raise DataError(f"{source.path}: no such file or folder")
        beside = [source.path.with_suffix(ending) for ending in (".h5", ".csv")]
        pair = [file if file.is_file() and source.path.name.startswith("CollectedData") else None for file in beside]
        return [(pair[0], pair[1])] if any(pair) else [(None, source.path)]
    found: dict[Path, dict[str, Path]] = {}
    for file in source.files(".h5", ".csv"):
        if file.name.startswith("CollectedData"):
            found.setdefault(file.with_suffix(""), {})[file.suffix.lower()] = file
    asked = f"CollectedData_{scorer}"
    if any(stem.name == asked for stem in found):
        found = {stem: files for stem, files in found.items() if stem.name == asked}
    folders = [stem.parent for stem in found]
    if twice := next((stem for stem in found if folders.count(stem.parent) > 1), None):
        raise DataError(f"{twice.parent}: labels of several scorers, {twice.name} for one; name the file to read")
    if not found:
        raise DataError(
            f"{source.path}: no CollectedData_….csv or .h5 in it; format deeplabcut reads a project, or one"
        )
    return [(files.get(".h5"), files.get(".csv")) for files in found.values()]
