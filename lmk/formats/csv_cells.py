"""A long CSV with other numbers in some of its cells, and every other byte as it was.

Cells are found as pandas finds them: a quote counts at the start of a cell only, and blank lines are skipped.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from lmk.errors import DataError, FormatError
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.source import Source
from lmk.store import replacing

# Possessive: two quotes are one quote in the text, and never an end with something behind it.
_CELL = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"([^,\r\n]*)|[^,"\r\n][^,\r\n]*|')
WORD = re.compile(rb'[^\s"]+')
_LONGEST = 1 << 20  # bytes of one row; a quote that is never closed would take in the whole file
_KEYS = ("image", "instance", "landmark")
Span = tuple[int, int]


def rewritten(source: Source, changes: Changes, numbers: Mapping[str, str], target: Path) -> None:
    """Write a CSV again with the new positions in it.

    Args:
        source: the old file.
        changes: what moved.
        numbers: of landmarks, by name.
        target: the new file.
    """
    if target.resolve() == source.path.resolve():
        raise DataError(f"{target}: is what the labels were read from; name another file")
    with source.open_bytes(source.path) as old, replacing(target) as temporary, temporary.open("wb") as new:
        if old.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            new.write(codecs.BOM_UTF8)
        else:
            old.seek(0)
        columns: dict[str, int] | None = None
        for line, record, spans in records(old, source.path):
            if not record.strip():
                new.write(record)
            elif columns is None:
                place = f"{source.path}: line {line}"
                columns = {cell_text(record[slice(*span)], place): k for k, span in enumerate(spans)}
                if missing := [name for name in (*_KEYS, "x", "y") if name not in columns]:
                    raise FormatError(f"{source.path}: no column {missing[0]!r}")
                new.write(record)
            else:
                new.write(_changed(record, spans, columns, changes, numbers, f"{source.path}: line {line}"))
        changes.check_all_seen(str(source.path))


def _changed(
    record: bytes,
    spans: list[Span],
    columns: Mapping[str, int],
    changes: Changes,
    numbers: Mapping[str, str],
    place: str,
) -> bytes:
    cells = {name: spans[k] for name, k in columns.items() if k < len(spans)}
    try:
        image, instance, landmark = (cell_text(record[slice(*cells[name])], place) for name in _KEYS)
        row = changes.keys.get((image.replace("\\", "/"), _whole(instance)))
        number = _whole(numbers.get(landmark, landmark))
        found = _position(record, cells, place)
    except (KeyError, ValueError, OverflowError) as cause:
        raise FormatError(f"{place}: not a row of a point; was it edited since it was read?") from cause
    if row is None:
        return record
    if not 0 <= number < changes.scheme.size:
        raise FormatError(f"{place}: scheme {changes.scheme.name} has no landmark {number}")
    moved = changes.new(row, number, found, place)
    new = {name: value for name, value in zip(("x", "y"), moved, strict=True) if value is not None}
    for name, value in sorted(new.items(), key=lambda cell: cells[cell[0]], reverse=True):
        word = WORD.search(record, *cells[name])
        assert word is not None  # it has been read as a number
        record = record[: word.start()] + in_style_of(word[0].decode(), value).encode() + record[word.end() :]
    return record


def _position(record: bytes, cells: Mapping[str, Span], place: str) -> tuple[float, float]:
    x, y = (cell_text(record[slice(*cells[name])], place).strip() for name in ("x", "y"))
    unlabelled = "visibility" in cells and _whole(cell_text(record[slice(*cells["visibility"])], place)) == 0
    if unlabelled or not x or not y:
        return math.nan, math.nan
    return float(x), float(y)


def _whole(text: str) -> int:
    return int(float(text))


def records(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes, list[Span]]]:
    """Rows as (number of the line, bytes with the line's end, spans of the cells)."""
    held, line = b"", 0
    for lines in stream:
        for piece in lines.splitlines(keepends=True):  # of bytes: at \n, \r and \r\n only
            line += 1
            held += piece
            spans = _cells(held)
            if spans is not None:
                yield line, held, spans
                held = b""
            elif len(held) > _LONGEST:
                raise _open_quote(path, line)
    if held:
        raise _open_quote(path, line)


def _open_quote(path: Path, line: int) -> FormatError:
    return FormatError(f"{path}: line {line}: a quote is not closed")


def _cells(record: bytes) -> list[Span] | None:
    """Where the cells of a row are, with their quotes; None while a quote is open."""
    spans: list[Span] = []
    start = 0
    while True:
        found = _CELL.match(record, start)
        assert found is not None  # it may be empty
        if found.end() == start and record[start : start + 1] == b'"':
            return None
        spans.append(found.span())
        if record[found.end() : found.end() + 1] != b",":
            return spans
        start = found.end() + 1


def cell_text(cell: bytes, place: str) -> str:
    """What a cell says."""
    if cell.startswith(b'"') and (quoted := _CELL.fullmatch(cell)) is not None:
        cell = quoted[1].replace(b'""', b'"') + quoted[2]
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise FormatError(f"{place}: not text in UTF-8") from cause
