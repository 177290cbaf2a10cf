"""Where values of a JSON file stand as bytes, and a copy of it with other numbers in some of these places.

`members`, `items` and `words` find values within an element that `json_walk` gave and that has been parsed, so what is
found there is what was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lmk.errors import DataError
from lmk.formats.changes import in_style_of
from lmk.formats.json_walk import CHUNK, MARK, OPEN, QUOTE, SPACE, WORD
from lmk.formats.source import Source
from lmk.store import replacing

Span = tuple[int, int]
_COLON = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_WORDS = re.compile(rb"[-+.\w]++")


def members(data: bytes, start: int = 0) -> dict[str, Span]:
    """Where the values of an object stand, by key; `data` has been parsed before."""
    found: dict[str, Span] = {}
    at = _over(data, start + 1)
    while data[at : at + 1] == b'"':
        end = _end(data, at)
        key = json.loads(data[at:end].decode())
        colon = _COLON.match(data, end)
        assert colon is not None  # it has been parsed
        found[key] = colon.end(), _end(data, colon.end())
        at = _over(data, _over(data, found[key][1]) + 1)
    return found


def items(data: bytes, start: int = 0) -> list[Span]:
    """Where the entries of a list stand; `data` has been parsed before."""
    found: list[Span] = []
    at = _over(data, start + 1)
    if data[at : at + 1] == b"]":
        return found
    while True:
        found.append((at, _end(data, at)))
        after = _over(data, found[-1][1])
        if data[after : after + 1] == b"]":
            return found
        at = _over(data, after + 1)


def words(data: bytes, span: Span) -> list[Span]:
    """Where the numbers of a list of numbers stand; faster than `items`."""
    return [found.span() for found in _WORDS.finditer(data, *span)]


def _over(data: bytes, at: int) -> int:
    found = SPACE.match(data, at)
    assert found is not None  # perhaps nothing
    return found.end()


def _end(data: bytes, at: int) -> int:
    """The end of the value that begins here."""
    first = data[at : at + 1]
    if first not in (b'"', b"[", b"{"):
        word = WORD.match(data, at)
        assert word is not None  # it has been parsed
        return word.end()
    depth = 0
    for mark in MARK.finditer(data, at):
        if data[mark.start()] != QUOTE:
            depth += 1 if data[mark.start()] in OPEN else -1
        if depth == 0:
            return mark.end()
    raise ValueError("no end")


def replaced(data: bytes, spans: Iterable[Span], values: Iterable[float | None], decimals: int) -> bytes:
    """A small file with new numbers in the style of the old ones, None where one stays."""
    pieces, at = [], 0
    new = [(span, value) for span, value in zip(spans, values, strict=True) if value is not None]
    for (begin, end), value in sorted(new):
        pieces += [data[at:begin], in_style_of(data[begin:end].decode(), value, decimals).encode()]
        at = end
    return b"".join([*pieces, data[at:]])


class Rewriting:
    """A copy that is being made, with other bytes in some places, from the file's start to its end."""

    def __init__(self, old: BinaryIO, new: BinaryIO):
        self._old, self._new, self._at = old, new, 0

    def put(self, span: Span, text: bytes) -> None:
        """Other bytes in the place of some; places come in order."""
        self._copy(span[0] - self._at)
        self._new.write(text)
        self._old.seek(span[1])
        self._at = span[1]

    def numbers(
        self, start: int, data: bytes, spans: Iterable[Span], values: Iterable[float | None], decimals: int
    ) -> None:
        """New numbers in the style of the old ones, None where one stays, in an element that starts at a byte.

        Args:
            start: byte of the file.
            data: the element.
            spans: of the old numbers in it.
            values: the new ones.
            decimals: that a new one has at least, unless it needs fewer.
        """
        new = [(span, value) for span, value in zip(spans, values, strict=True) if value is not None]
        for (begin, end), value in sorted(new):
            text = in_style_of(data[begin:end].decode(), value, decimals)
            self.put((start + begin, start + end), text.encode())

    def end(self) -> None:
        """Copy what is left."""
        self._copy(None)

    def _copy(self, count: int | None) -> None:
        while count is None or count > 0:
            data = self._old.read(CHUNK if count is None else min(CHUNK, count))
            if not data:
                return
            self._new.write(data)
            self._at += len(data)
            count = None if count is None else count - len(data)


@contextmanager
def rewriting(source: Source, file: Path, target: Path) -> Iterator[Rewriting]:
    """Write a file again with other bytes in some places; the target is there when the block ends well."""
    if target.resolve() == file.resolve():
        raise DataError(f"{target}: is what the labels were read from; name another file")
    with source.open_bytes(file) as old, replacing(target) as temporary, temporary.open("wb") as new:
        copy = Rewriting(old, new)
        yield copy
        copy.end()
