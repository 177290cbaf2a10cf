"""A walk through a JSON file of any size, element by element, in bounded memory.

A file is an object whose lists are long, or a list.  `elements` gives each entry of the wanted lists as bytes, and
where it starts; what nobody wants, a picture in base64 for one, is skipped and never held.  The same walk serves
reading and writing back (`json_places`), so that both see the same file.

Within an element the last of a key that is there twice counts, as in all of Python's tools.  Two lists of one name are
refused: which of them counts differs between tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from lmk.errors import FormatError
from lmk.formats.source import Source
from lmk.limits import ELEMENT_BYTES, NESTING
from lmk.reading import in_words

CHUNK = 1 << 20  # bytes that are read at once
# Possessive: a string ends at its first quote that no backslash precedes, and never anywhere else.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # of a string that has begun
MARK = re.compile(STRING.pattern + rb'|"|\[|\]|\{|\}', re.DOTALL)  # a lone quote: the string's end is not there yet
SPACE = re.compile(rb"[ \t\r\n]*+")
WORD = re.compile(rb"[-+.\w]*+")  # a number, true, false, null
QUOTE, OPEN = ord('"'), frozenset(b"[{")
_LONGEST_WORD = 1 << 16  # bytes of a number or a key


class Element(NamedTuple):
    """One entry of a list, or the value of a key that is no list."""

    key: str  # of the file's object; nothing where the file is a list
    start: int  # byte of the file
    data: bytes


def elements(source: Source, file: Path, wanted: Collection[str]) -> Iterator[Element]:
    """The entries of the lists under some keys of a file's object, and whole values that are no lists, in order.

    Of a file that is a list all entries come, with no key.
    """
    with source.open_utf8(file) as stream:
        yield from _Walk(stream, file).top(frozenset(wanted))


def parsed(element: Element, file: Path) -> Any:
    """What an element says; numbers may be NaN or infinite, which whoever takes one for a position refuses."""
    try:
        return json.loads(element.data.decode())
    except (ValueError, RecursionError) as cause:
        raise FormatError(f"{file}: not JSON in the value at byte {element.start} ({in_words(cause)})") from cause


class _Walk:
    """A walk through one file; `held` is what is in memory of it, `at` the place in that."""

    def __init__(self, stream: BinaryIO, file: Path):
        self.stream, self.file = stream, file
        self.held, self.at, self.base = b"", 0, stream.tell()

    def top(self, wanted: frozenset[str]) -> Iterator[Element]:
        first = self.peek()
        if first == b"[":
            yield from self.entries("")
        elif first == b"{":
            yield from self.keys(wanted)
        else:
            self.wrong("expected { or [")
        if self.peek(may_end=True):
            self.wrong("something behind the end of the JSON")

    def keys(self, wanted: frozenset[str]) -> Iterator[Element]:
        """The values of the file's object."""
        self.at += 1
        seen: set[str] = set()
        while self.more(b"}", first=not seen):
            if self.peek() != b'"':
                self.wrong("expected a key in double quotes")
            key = str(parsed(Element("", self.base + self.at, self.value(_LONGEST_WORD)[1]), self.file))
            if self.peek() != b":":
                self.wrong(f"expected : behind the key {key!r:.60}")
            self.at += 1
            if key in wanted and key in seen:
                self.wrong(f"the key {key!r} is there twice; keep one of the two")
            seen.add(key)
            if key not in wanted:
                self.skip()
            elif self.peek() == b"[":
                yield from self.entries(key)
            else:
                yield Element(key, *self.value(ELEMENT_BYTES))

    def entries(self, key: str) -> Iterator[Element]:
        """The entries of a list that begins here."""
        self.at += 1
        first = True
        while self.more(b"]", first):
            first = False
            yield Element(key, *self.value(ELEMENT_BYTES))

    def more(self, end: bytes, first: bool) -> bool:
        """Whether another entry follows; goes over the comma before it, or the end."""
        found = self.peek()
        if found == end:
            self.at += 1
            return False
        if not first:
            if found != b",":
                self.wrong(f"expected , or {end.decode()}")
            self.at += 1
        return True

    def value(self, limit: int) -> tuple[int, bytes]:
        """Where the value that begins here starts in the file, and its bytes."""
        first = self.peek()
        end = self.word_end(limit) if first not in b'"[{' else self.nested_end(limit)
        start, data = self.base + self.at, self.held[self.at : end]
        self.at = end
        return start, data

    def word_end(self, limit: int) -> int:
        while True:
            end = self.match(WORD, self.at)
            if end < len(self.held) or not self.fetch(self.at):
                break
            self.check_size(len(self.held) - self.at, min(limit, _LONGEST_WORD))
        if end == self.at:
            self.wrong("expected a value")
        return end

    def nested_end(self, limit: int) -> int:
        """The end of a string, a list or an object that begins here; all of it is held."""
        depth, scan = 0, self.at
        while True:
            held = self.held
            for mark in MARK.finditer(held, scan):
                scan, end = mark.span()
                first = held[scan]
                if first == QUOTE:
                    if end == scan + 1:
                        break
                elif first in OPEN:
                    depth += 1
                    if depth > NESTING:
                        self.wrong(f"nested deeper than {NESTING} levels")
                else:
                    depth -= 1
                if depth == 0:
                    return end
                scan = end
            else:
                scan = len(held)
            before = self.at
            if not self.fetch(before):
                self.cut_short()
            scan -= before
            self.check_size(len(self.held), limit)

    def skip(self) -> None:
        """Go over the value that begins here without holding it."""
        if self.peek() not in b'"[{':
            self.at = self.word_end(_LONGEST_WORD)
            return
        depth = 0
        while True:
            held = self.held
            for mark in MARK.finditer(held, self.at):
                self.at, end = mark.span()
                first = held[self.at]
                if first == QUOTE:
                    if end == self.at + 1:
                        self.skip_string()
                        break
                else:
                    depth += 1 if first in OPEN else -1
                if depth == 0:
                    self.at = end
                    return
            else:
                self.at = len(held)
                if not self.fetch(self.at):
                    self.cut_short()
            if depth == 0:  # behind a string that was long
                return

    def skip_string(self) -> None:
        """Go over a string whose end is not held yet."""
        self.at += 1
        while True:
            self.at = self.match(_REST, self.at)
            if self.held[self.at : self.at + 1] == b'"':
                self.at += 1
                return
            if not self.fetch(self.at):
                self.cut_short()

    def match(self, pattern: re.Pattern[bytes], at: int) -> int:
        """The end of what a pattern, which may match nothing, finds here."""
        found = pattern.match(self.held, at)
        assert found is not None  # nothing is found, too
        return found.end()

    def peek(self, may_end: bool = False) -> bytes:
        """The next byte that is no white space, where `at` is then; nothing at the end, if that may be here."""
        while True:
            self.at = self.match(SPACE, self.at)
            if self.at < len(self.held):
                return self.held[self.at : self.at + 1]
            if not self.fetch(self.at):
                if may_end:
                    return b""
                self.cut_short()

    def fetch(self, keep: int) -> bool:
        """Read on, let go of what lies before `keep`, and say whether anything came."""
        read = self.stream.read(max(CHUNK, len(self.held) - keep))  # twice as much: a long value is not scanned often
        self.held = self.held[keep:] + read
        self.base += keep
        self.at -= keep
        return bool(read)

    def check_size(self, size: int, limit: int) -> None:
        if size > limit + 2 * CHUNK and size > 2 * limit:
            self.wrong(f"one value is longer than {limit} bytes")

    def cut_short(self) -> NoReturn:
        raise FormatError(
            f"{self.file}: not whole JSON, cut short perhaps: it ends at byte {self.base + len(self.held)}"
        )

    def wrong(self, what: str) -> NoReturn:
        raise FormatError(f"{self.file}: not JSON at byte {self.base + self.at}: {what}")
