"""SLEAP's `.slp`: HDF5 with tables of frames, instances and points; versions from 1.0 on, packages too.

A point that is not visible is missing: its position is where the program dropped it.  Videos are never opened.  The
name of a video's frame is `video.mp4/000123`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import DataError, FormatError
from lmk.formats.base import EMPTY, PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.hdf5 import columns, data_at, is_hdf5, opened, values
from lmk.formats.landmarks import named
from lmk.formats.sleap_file import (
    CENTRES_FROM,
    FRAMES,
    INSTANCES,
    PREDICTED,
    USER,
    Skeleton,
    Video,
    format_id,
    skeletons_of,
    videos_of,
)
from lmk.formats.sleap_write import write
from lmk.formats.source import Source, check_encoding
from lmk.reading import opened as opened_bytes
from lmk.reading import whole
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_WANTED = "format sleap reads one .slp file"
_POINTS = {USER: "points", PREDICTED: "pred_points"}
_BATCH = 1 << 16  # rows of a table that are held at once


@dataclass(frozen=True)
class _Rows:
    """The instances that are read, in the order of the file.

    Attributes:
        image: (n,) the name of the picture of each.
        number: (n,) its number within the picture.
        size: (n, 2) width and height of the picture, NaN where the file does not say them.
        first: (n,) its first point in the table of points.
        kind: USER or PREDICTED: which table.
    """

    image: NDArray[np.object_]
    number: NDArray[np.int64]
    size: NDArray[np.float64]
    first: NDArray[np.int64]
    kind: int


def _sniff(path: Path, head: bytes) -> Guess | None:
    if not is_hdf5(head) or not (path.suffix.lower() == ".slp" or b"videos_json" in head):
        return None
    return Guess(1.0, "it is an HDF5 file that is called .slp or has videos_json in it, as SLEAP's do")


def _origin(source: Source) -> Origin:
    """Where positions of a file count from: before version 1.1 from the corner."""
    with _opened(source) as root:
        return "centre" if format_id(root) >= CENTRES_FROM else "corner"


def _opened(source: Source, mode: str = "r") -> Any:
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; {_WANTED}")
    with opened_bytes(source.path) as stream:
        check_encoding(source.path, stream.read(4))
    return opened(source.path, mode)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    notes: list[str] = []
    losses = Losses()
    with _opened(source) as root:
        if format_id(root) < CENTRES_FROM:
            notes.append("a file of SLEAP before 1.1, which counted from the corner")
        skeleton, which = _chosen(root, asked)
        brought = skeleton.scheme(str(source.path))
        scheme, order = named(asked, brought, str(source.path), notes)
        _notes(videos_of(root), notes)
    return Reading(_parts(source, which, order, scheme, losses, notes), scheme, losses, notes)


def _notes(videos: list[Video], notes: list[str]) -> None:
    if any(video.embedded for video in videos):
        notes.append(
            "a package with pictures in it; lmk.formats.sleap_pictures writes them into a folder, for --images"
        )
    elif films := [video for video in videos if not video.is_list]:
        name = films[0].image(0)
        notes.append(f"frames of videos have names like {name}; extract their pictures under these names, for --images")
    if before := next((video.before for video in videos if video.before), ""):
        notes.append(f"names of pictures are taken from {before} on")


def _chosen(root: Any, asked: LandmarkScheme | None) -> tuple[Skeleton, int]:
    """The skeleton that is read, and its number: one that the user's scheme fits, else that of the first instance."""
    skeletons = skeletons_of(root)
    instances = data_at(root, INSTANCES, "iufb")
    if not skeletons or not len(instances):
        raise FormatError(f"{root.file.filename}: no labelled instance in it")
    first = int(_column(values(instances, 0, 1), "skeleton", root)[0])
    fitting = [k for k, each in enumerate(skeletons) if asked is not None and set(each.nodes) == set(asked.names)]
    fitting = fitting or [k for k, each in enumerate(skeletons) if asked is not None and len(each.nodes) == asked.size]
    which = first if first in fitting or not fitting else fitting[0]
    if not 0 <= which < len(skeletons):
        raise FormatError(f"{root.file.filename}: an instance is of skeleton {which}, but there are {len(skeletons)}")
    return skeletons[which], which


def _column(table: NDArray[Any], name: str, root: Any) -> NDArray[Any]:
    if table.dtype.names is None or name not in table.dtype.names:
        raise FormatError(f"{root.file.filename}: a table without a column {name!r}")
    column: NDArray[Any] = table[name]
    return column


def _rows(root: Any, which: int, size: int, losses: Losses) -> _Rows:
    """All instances of a skeleton that people made; those of a network only where there are no others."""
    where = root.file.filename
    videos = videos_of(root)
    ids, film, at = columns(data_at(root, FRAMES, "iufb"), "frame_id", "video", "frame_idx")
    kind, skeleton, frame, first, last = columns(
        data_at(root, INSTANCES, "iufb"), "instance_type", "skeleton", "frame_id", "point_id_start", "point_id_end"
    )
    ours = USER if (kind == USER).any() else PREDICTED
    for gone, what in (
        (kind != ours, "predicted instances"),
        ((kind == ours) & (skeleton != which), "instances of other skeletons"),
    ):
        if gone.any():
            losses.add(what, int(gone.sum()), f"instance {int(np.argmax(gone))}")
    taken = (kind == ours) & (skeleton == which)
    if (last - first != size)[taken].any():
        row = int(np.argmax(taken & (last - first != size)))
        raise FormatError(f"{where}: instance {row} has {last[row] - first[row]} points, but its skeleton {size}")
    order = np.argsort(ids, kind="stable")
    place = order[np.minimum(np.searchsorted(ids[order], frame[taken]), len(ids) - 1)] if len(ids) else ids
    if not len(ids) or (ids[place] != frame[taken]).any():
        raise FormatError(f"{where}: an instance is on a frame that is not there")
    if not ((film >= 0) & (film < len(videos))).all():
        raise FormatError(f"{where}: a frame is of a video that is not there")
    with whole(where, "its frames are not as SLEAP writes them"):
        names = np.array([videos[v].image(t) for v, t in zip(film.tolist(), at.tolist(), strict=True)], object)
    sizes = np.array([videos[v].size for v in film.tolist()], np.float64).reshape(-1, 2)
    images = names[place]
    numbers = pd.Series(images).groupby(images, sort=False).cumcount().to_numpy()
    return _Rows(images, np.asarray(numbers, np.int64), sizes[place], np.asarray(first[taken], np.int64), ours)


def _parts(
    source: Source,
    which: int,
    order: NDArray[np.int64],
    scheme: LandmarkScheme,
    losses: Losses,
    notes: list[str],
) -> Iterator[Part]:
    size = scheme.size
    with _opened(source) as root:
        rows = _rows(root, which, size, losses)
        if rows.kind == PREDICTED:
            notes.append("all instances are predictions of a network")
        table = data_at(root, _POINTS[rows.kind], "iufb")
        step = max(1, PART_ROWS // size)
        for start in range(0, len(rows.image), step):
            some = slice(start, start + step)
            points = np.full((len(rows.image[some]), size, 2), np.nan)
            points[:, order] = _positions(table, rows.first[some], size, root)
            there = ~np.isnan(points).all(axis=(1, 2))
            if not there.all():
                losses.add(EMPTY, int((~there).sum()), str(rows.image[some][~there][0]))
            width, height = rows.size[some][there].T
            about = {"image": rows.image[some][there], "instance": rows.number[some][there]}
            about, points = {**about, "width": width, "height": height}, points[there]
            part = pd.DataFrame({name: np.repeat(column, size) for name, column in about.items()})
            part["landmark"] = np.tile(np.arange(size), len(points))
            part["x"], part["y"] = points.reshape(-1, 2).T
            yield Part(part)


def _positions(table: Any, first: NDArray[np.int64], size: int, root: Any) -> NDArray[np.float64]:
    """(n, K, 2) the points of instances, NaN where they are not visible."""
    if (first < 0).any() or (first + size > len(table)).any():
        raise FormatError(f"{root.file.filename}: an instance has points that are not there")
    low, high = int(first.min()), int(first.max()) + size
    if high - low <= 4 * len(first) * size:  # one behind the other, as SLEAP writes them
        records = values(table, low, high)[(first - low)[:, None] + np.arange(size)]
    else:
        records = np.stack([values(table, start, start + size) for start in first.tolist()])
    x, y = (_column(records, name, root).astype(np.float64) for name in ("x", "y"))
    there = _column(records, "visible", root).astype(np.bool_) & ~np.isnan(x) & ~np.isnan(y)
    if np.isinf(np.where(there, x + y, 0)).any():
        raise FormatError(f"{root.file.filename}: a point is infinitely far away")
    return np.where(there[..., None], np.stack([x, y], -1), np.nan)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Copy the file, and write the points that moved in their places."""
    if target.resolve() == source.path.resolve():
        raise DataError(f"{target}: is what the labels were read from; name another file")
    with _opened(source) as root:
        skeleton, which = _chosen(root, changes.scheme)
        _, order = named(changes.scheme, skeleton.scheme(str(source.path)), str(source.path), [])
        rows = _rows(root, which, changes.scheme.size, Losses())
        moved = list(_moved(rows, order, changes, root))
    changes.check_all_seen(str(source.path))
    with replacing(target) as temporary:
        shutil.copyfile(source.path, temporary)
        if moved:
            with opened(temporary, "r+") as root:
                table = data_at(root, _POINTS[rows.kind], "iufb")
                for place, records in moved:
                    table[place : place + len(records)] = records


def _moved(rows: _Rows, order: NDArray[np.int64], changes: Changes, root: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """The records of instances of which a point moved, and where they are."""
    table = data_at(root, _POINTS[rows.kind], "iufb")
    size = changes.scheme.size
    for image, number, first in zip(rows.image.tolist(), rows.number.tolist(), rows.first.tolist(), strict=True):
        row = changes.keys.get((image, number))
        if row is None:
            continue
        points = _positions(table, np.array([first]), size, root)[0]
        records, differs = values(table, first, first + size).copy(), False
        for node, (landmark, (x, y)) in enumerate(zip(order.tolist(), points.tolist(), strict=True)):
            new = changes.new(row, landmark, (x, y), root.file.filename)
            for axis, value in zip(("x", "y"), new, strict=True):
                if value is not None:
                    records[axis][node] = value
                    differs = True
        if differs:
            yield first, records


SLEAP = Format(
    name="sleap",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.NAMES, Trait.SUBPIXEL}),
    origin_of=_origin,
    sniff=_sniff,
    read=_read,
    write=write,
    write_back=_write_back,
)
