"""Wide CSV: a row an object, and two columns for each landmark, whatever these are called.

`nose_x,nose_y`, `x0,y0`, `X1,Y1`, `x_nose`, `landmark_1_x`, `p1x`: the pattern that most columns follow counts.  A
third column `nose_v` is visibility.  Which column names the image is found by its name; a note says how a file was
read.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.csv_cells import WORD, cell_text, records
from lmk.formats.folders import check_other
from lmk.formats.landmarks import chosen, named, scheme_of
from lmk.formats.pixels import Points, text_of
from lmk.formats.rows import Counted, Rows, says_nothing
from lmk.formats.source import Source
from lmk.formats.wide_header import PATTERNS, Header, header_of
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_NONE = {"", "na", "n/a", "nan", "null", "none"}  # what people write for a missing number
_COUNTED = re.compile(r"(\D*)[0-9]+")
_LONGEST_HEADER = 1 << 20  # characters
_HALVES = "coordinates without the other one"


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _sniff(path: Path, head: bytes) -> Guess | None:
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    if not lines or "\0" in lines[0]:
        return None
    try:
        cells = next(csv.reader(lines[:1], delimiter=_separator(lines[0])))
    except (csv.Error, StopIteration):
        return None
    found = header_of(cells)
    if found is None:
        return None
    return Guess(0.9, f"its first line has two columns for each of {len(found.names)} landmarks, {found.pattern}")


def _opening(source: Source) -> tuple[Header, str]:
    """The header of a file, and what is between its cells."""
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format wide-csv reads one file with a row for each object")
    with source.open_text(source.path) as file:
        line = file.readline(_LONGEST_HEADER)
        while line and not line.strip():
            line = file.readline(_LONGEST_HEADER)
    separator = _separator(line)
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error as cause:
        raise FormatError(f"{source.path}: not a CSV file ({cause})") from cause
    if (found := header_of(cells)) is None:
        raise FormatError(
            f"{source.path}: the header is {line.strip()!r:.60}; expected a column of images, and two columns for each "
            f"of some landmarks: {'; '.join(PATTERNS)}"
        )
    return found, separator


def _scheme(
    asked: LandmarkScheme | None, found: Header, where: Path, notes: list[str]
) -> tuple[LandmarkScheme, NDArray[np.int64]]:
    """The scheme, and the landmark of each pair of columns."""
    counted = [_COUNTED.fullmatch(name) for name in found.names]
    alike = all(counted) and len({match[1] for match in counted if match}) == 1
    if alike and (asked is None or set(asked.names) != set(found.names)):
        return chosen(asked, len(found.names), str(where)), np.arange(len(found.names))
    return named(asked, scheme_of(found.names, where.stem), str(where), notes)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    found, separator = _opening(source)
    losses, notes = Losses(), list[str]()
    scheme, order = _scheme(asked, found, source.path, notes)
    with source.open_text(source.path) as file:
        cells = next(row for row in csv.reader(file, delimiter=separator) if row)
    notes.append(
        f"read as {len(found.names)} landmarks in columns {found.pattern}, {cells[found.x[0]]} and {cells[found.y[0]]} "
        f"the first; {cells[found.image]!r} names the image"
    )
    if found.others:
        losses.add("columns", len(found.others), found.others[0])
    return Reading(_parts(source, (found, separator), scheme, np.argsort(order), losses), scheme, losses, notes)


def _parts(
    source: Source, what: tuple[Header, str], scheme: LandmarkScheme, order: NDArray[np.int64], losses: Losses
) -> Iterator[Part]:
    (found, separator), rows, counted = what, Rows(scheme.size, PART_ROWS), Counted()
    with source.open_text(source.path) as file:
        reader = csv.reader(file, delimiter=separator)
        try:
            lines = (row for row in reader if row)
            next(lines)
            for row in lines:
                place = f"{source.path}: line {reader.line_num}"
                points, visibility = _parsed(row, found, losses, place)
                image, instance = _which(row, found, counted, place)
                if says_nothing(points, losses, place):
                    continue
                about = {name: row[found.about[name]].strip() for name in ("split", "annotator") if name in found.about}
                if "split" in about and about["split"] not in SPLITS:
                    raise FormatError(f"{place}: a split is {', '.join(SPLITS)}, not {about['split']!r:.40}")
                rows.add(points[order], place, image=image, instance=instance, visibility=visibility[order], **about)
                if rows.full:
                    yield rows.part()
        except csv.Error as cause:
            raise FormatError(f"{source.path}: line {reader.line_num}: not CSV ({cause})") from cause
    if rows:
        yield rows.part()


def _which(row: Sequence[str], found: Header, counted: Counted, place: str) -> tuple[str, int]:
    """The image of a row, and which of its instances it is."""
    image = row[found.image].replace("\\", "/")
    if "instance" not in found.about:
        return image, counted.next(image)
    text = row[found.about["instance"]].strip()
    if not text.isdecimal() or len(text) > 9:
        raise FormatError(f"{place}: an instance is a whole number, not {text!r:.40}")
    return image, int(text)


def _parsed(row: Sequence[str], found: Header, losses: Losses, place: str) -> tuple[Points, NDArray[np.int64]]:
    """Points (K, 2), NaN where missing, and visibility (K,) of one row."""
    if len(row) != found.count:
        raise FormatError(
            f"{place}: {len(row)} cells, but the header names {found.count}; numbers have decimal points, and a name "
            "with a separator in it stands in quotes"
        )
    points = np.stack([_numbers(row, found.x, place), _numbers(row, found.y, place)], -1)
    gone = np.isnan(points)
    if (halves := gone.any(axis=1) & ~gone.all(axis=1)).any():
        losses.add(_HALVES, int(halves.sum()), f"{place}: {found.names[int(np.argmax(halves))]}")
    visibility = np.where(gone.any(axis=1), 0, 2)
    if (known := found.seen >= 0).any():
        said = _numbers(row, found.seen[known], place)
        said = np.where(np.isnan(said), 2, said)
        if not np.isin(said, (0, 1, 2)).all():
            bad = said[~np.isin(said, (0, 1, 2))][0]
            raise FormatError(f"{place}: visibility is 0 (missing), 1 (occluded) or 2 (visible), not {bad:g}")
        there = visibility > 0
        visibility[known] = np.where(there[known], said, 0)
        if (placed := there & (visibility == 0)).any():
            name = found.names[int(np.argmax(placed))]
            losses.add("positions of points that are said not to be labelled", int(placed.sum()), f"{place}: {name}")
    return np.where((visibility == 0)[:, None], np.nan, points), visibility


def _numbers(row: Sequence[str], columns: NDArray[np.int64], place: str) -> NDArray[np.float64]:
    cells = [row[column].strip() for column in columns.tolist()]
    try:
        found = np.array(["nan" if cell.lower() in _NONE else cell for cell in cells], np.float64)
    except ValueError as cause:
        raise FormatError(f"{place}: not a number ({cause}); leave it empty for a missing point") from cause
    if np.isinf(found).any():
        raise FormatError(f"{place}: a number that is not finite; leave it empty for a missing point")
    return found


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one file: image, instance where an image has several, split where there are several, and the points."""
    instances, visibility = annotations.instances, annotations.column("visibility")
    several = bool(((instances["instance"] != 0) | instances.duplicated("image", keep=False)).any())
    split, occluded = bool((instances["split"] != "train").any()), bool((visibility == 1).any())
    axes = ["x", "y", *(["v"] if occluded else [])]
    columns = ["image", *(["instance"] if several else []), *(["split"] if split else [])]
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *(f"{name}_{axis}" for name in annotations.scheme.names for axis in axes)])
        about = [instances[name].tolist() for name in columns]
        for row, told in enumerate(zip(*about, strict=True)):
            cells: list[object] = [*told]
            for (x, y), seen in zip(points[row].tolist(), visibility[row].tolist(), strict=True):
                cells += ["", ""] if math.isnan(x) else [text_of(x, 6), text_of(y, 6)]
                cells += [seen] if occluded else []
            writer.writerow(cells)
    return ()


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    check_other(target, source)
    found, separator = _opening(source)
    if separator != ",":
        raise FormatError(f"{source.path}: lmk writes back where commas are between the cells; export the set instead")
    order, counted = _scheme(changes.scheme, found, source.path, [])[1].tolist(), Counted()
    with source.open_bytes(source.path) as old, replacing(target) as temporary, temporary.open("wb") as new:
        if old.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            new.write(codecs.BOM_UTF8)
        else:
            old.seek(0)
        header = True
        for line, record, spans in records(old, source.path):
            if record.strip() and not header:
                place = f"{source.path}: line {line}"
                row = [cell_text(record[slice(*span)], place) for span in spans]
                points, _ = _parsed(row, found, Losses(), place)
                key = changes.keys.get(_which(row, found, counted, place))
                if key is not None:
                    record = _changed(record, spans, points, (found, order, changes, key, place))
            header = header and not record.strip()
            new.write(record)
        changes.check_all_seen(str(source.path))


def _changed(
    record: bytes, spans: list[tuple[int, int]], points: Points, what: tuple[Header, list[int], Changes, int, str]
) -> bytes:
    found, order, changes, key, place = what
    new: dict[int, float] = {}
    for pair, (x, y) in enumerate(points.tolist()):
        for column, value in zip((found.x, found.y), changes.new(key, order[pair], (x, y), place), strict=True):
            if value is not None:
                new[int(column[pair])] = value
    for cell, number in sorted(new.items(), reverse=True):
        word = WORD.search(record, *spans[cell])
        assert word is not None  # it has been read as a number
        record = record[: word.start()] + in_style_of(word[0].decode(), number).encode() + record[word.end() :]
    return record


WIDE_CSV = Format(
    name="wide-csv",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.NAMES, Trait.SPLIT, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
