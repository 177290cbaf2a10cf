"""XML as a stream of tags, each with its place in the file, and a file again with other values in some of its tags.

Any DOCTYPE is refused: with it go entities that swell, and all that a parser would fetch from elsewhere.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from lmk.errors import DataError, FormatError
from lmk.formats.source import Source, check_encoding
from lmk.limits import NESTING, TAG_BYTES
from lmk.reading import whole
from lmk.store import replacing

# A tag's name, its attributes where it starts and None where it ends, the byte that it starts at, the text before its
# end where that is wanted.
Event = tuple[str, dict[str, str] | None, int, str]
Edit = tuple[int, int, bytes]  # from one byte to another of the old file, and what is there in the new one
NUMBER = r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*"  # what Python takes for one may be more
_CHUNK = 1 << 16
_TAG = re.compile(rb"""<[^\s<>/]+(?:\s+[^\s=<>/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*/?>""")
_ATTRIBUTE = re.compile(rb"""\s([^\s=<>/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ROOT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*<([A-Za-z_][\w.-]*)", re.DOTALL)


def root_of(head: bytes) -> str:
    """The name of the outermost tag, by the first bytes of a file; empty where these are no XML."""
    found = _ROOT.match(head)
    return found[1].decode() if found else ""


def events(source: Source, file: Path, ends: frozenset[str], told: str = "") -> Generator[Event, None, None]:
    """All tags that start, and the ends of some.

    Args:
        source: the door.
        file: the file.
        ends: names of tags whose ends are wanted.
        told: the name of the tag inside of which all ends are wanted, with the text before them.
    """
    found: list[Event] = []
    open_tags, inside, last = 0, 0, 0
    text: list[str] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal open_tags, inside, last
        open_tags += 1
        if open_tags > NESTING:
            raise FormatError(f"{file}: nested deeper than {NESTING} levels; is it something else?")
        if inside or name == told:
            inside += 1
            text.clear()
            parser.CharacterDataHandler = text.append
        last = parser.CurrentByteIndex
        found.append((name, attributes, last, ""))

    def end(name: str) -> None:
        nonlocal open_tags, inside, last
        open_tags -= 1
        if inside:
            inside -= 1
            found.append((name, None, parser.CurrentByteIndex, "".join(text)))
            text.clear()
            if not inside:
                parser.CharacterDataHandler = None
        elif name in ends:
            found.append((name, None, parser.CurrentByteIndex, ""))

    def doctype(*about: object) -> NoReturn:
        raise FormatError(f"{file}: has a DOCTYPE, which no such file needs and which may hide anything; take it out")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    with source.open_bytes(file) as stream:
        check_encoding(file, stream.read(4))
        stream.seek(0)
        fed = 0
        while True:
            chunk = stream.read(_CHUNK)
            fed += len(chunk)
            try:
                with whole(file, "not XML"):
                    parser.Parse(chunk, not chunk)
            except expat.ExpatError as cause:
                message = expat.errors.messages.get(cause.code, "damaged")
                raise FormatError(f"{file}: line {cause.lineno}: not well-formed XML ({message})") from cause
            if fed - last > TAG_BYTES + _CHUNK:
                raise FormatError(f"{file}: {TAG_BYTES >> 20} MiB without a tag; is it something else?")
            yield from found
            if not chunk:
                return
            found.clear()


class Tags:
    """Start tags by their places in a file."""

    def __init__(self, stream: BinaryIO, file: Path):
        self._stream, self._file = stream, file

    def values(self, place: int) -> dict[str, tuple[int, bytes]]:
        """The attributes of the tag that starts at a byte: where the value of each starts, and its bytes."""
        size = 1 << 9
        while True:
            self._stream.seek(place)
            tag = _TAG.match(self._stream.read(size))
            if tag is not None:
                break
            if size > TAG_BYTES:
                raise FormatError(f"{self._file}: no tag at byte {place}; was it edited meanwhile?")
            size *= 4
        values = {}
        for found in _ATTRIBUTE.finditer(tag[0]):
            group = 2 if found[2] is not None else 3
            values[found[1].decode("utf-8", "replace")] = (place + found.start(group), found[group])
        return values


def edit_of(place: int, value: bytes, new: str) -> Edit:
    """A value that starts at a byte, with something else in its place; spaces around it stay."""
    old = value.strip()
    start = place + value.index(old)
    return start, start + len(old), new.encode()


def pixels_of(attributes: Mapping[str, str], image: str, path: Path) -> tuple[float, float]:
    """Width and height of an image as its tag says them, NaN where it does not."""
    sizes = []
    for side in ("width", "height"):
        text = attributes.get(side, "")
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
            raise FormatError(f"{path}: image {image}: {side} is a number of pixels, not {text!r:.60}")
        sizes.append(float(text) if text else math.nan)
    return sizes[0], sizes[1]


def rewritten(source: Source, edits: Iterator[Edit], target: Path) -> None:
    """Write a file again with some edits, which come in the order of the file."""
    if target.resolve() == source.path.resolve():
        raise DataError(f"{target}: is what the labels were read from; name another file")
    with source.open_bytes(source.path) as old, replacing(target) as temporary, temporary.open("wb") as new:
        for start, end, data in edits:
            _copy(old, new, start - old.tell())
            new.write(data)
            old.seek(end)
        shutil.copyfileobj(old, new)


def _copy(old: BinaryIO, new: BinaryIO, count: int) -> None:
    while count > 0:
        data = old.read(min(count, _CHUNK))
        if not data:
            return
        new.write(data)
        count -= len(data)


def start_tag(name: str, attributes: Mapping[str, str], ends: bool = False) -> str:
    """A tag with its attributes, as text."""
    return f"<{name}{''.join(f' {key}={quoted(value)}' for key, value in attributes.items())}{'/' * ends}>"


def escaped(text: str) -> str:
    """Text between tags."""
    if bad := _NO_XML.search(text):
        raise DataError(f"{text!r:.60}: XML has no place for {bad[0]!r}; use a format that has, csv for one")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def quoted(text: str) -> str:
    """The value of an attribute, with its quotes."""
    inside = escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f'"{inside}"'
