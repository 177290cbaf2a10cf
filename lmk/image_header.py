"""What the bytes of an image say before a pixel is decoded: its size, a camera's note on turning it, a JPEG's end.

A few kB can stand for gigabytes of pixels.  Only kinds whose header is known here are decoded at all, whatever the name
of the file ends in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, error
from typing import NamedTuple

from lmk.errors import ImageError
from lmk.limits import PIXELS

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers of frames; the three others are tables
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_WIDTH, _HEIGHT, _TURNED = 256, 257, 274  # TIFF's tags
_UPRIGHT, _TURNS = 1, range(1, 9)  # what EXIF says of an image that nobody has to turn, and all that it may say
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PXM = re.compile(rb"P[1-6](?:\s|#[^\n\r]*[\n\r])+(\d{1,10})(?:\s|#[^\n\r]*[\n\r])+(\d{1,10})")
Size = tuple[int, int]


def size_of(data: bytes, path: Path) -> Size:
    """Width and height of an image; one that has too many pixels, or is of no kind that is known here, is refused."""
    try:
        sizes = list(_sizes(data))
    except (error, IndexError, ValueError):
        sizes = []
    if not sizes:
        raise ImageError(
            f"{path}: not an image of a kind that is read, or its header is damaged; known: JPEG, PNG, BMP, TIFF, "
            "WebP, PPM, PGM"
        )
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if width * height > PIXELS:
        raise ImageError(f"{path}: {width:,} x {height:,} pixels; more than {PIXELS:,} are not read, make it smaller")
    return width, height


def _sizes(data: bytes) -> Iterator[Size]:
    """Width and height, of each picture in it that a decoder may take."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = _at(">II", data, 16)
        yield width, height
    elif data.startswith(b"\xff\xd8"):
        yield from _of_jpeg(data)
    elif data.startswith(b"BM"):
        width, height = _at("<HH", data, 18) if _at("<I", data, 14)[0] == 12 else _at("<ii", data, 18)
        yield abs(width), abs(height)
    elif data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        yield from _of_tiff(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield _of_webp(data)
    elif found := _PXM.match(data):
        yield int(found[1]), int(found[2])


def turned(data: bytes) -> int:
    """How a camera says that the image is to be turned, as in EXIF: 1 not at all, from 5 to 8 sides change places."""
    try:
        found = _tags(_exif(data)).get(_TURNED, _UPRIGHT)
    except (error, IndexError, ValueError):
        return _UPRIGHT
    return found if found in _TURNS else _UPRIGHT


def _exif(data: bytes) -> bytes:
    """The block of EXIF, which has TIFF's form."""
    if data.startswith(b"\xff\xd8"):
        for marker, place in _segments(data):
            if marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
                return data[place + 10 : place + 2 + _at(">H", data, place + 2)[0]]
        return b""
    for start, name, order in ((8, b"eXIf", ">"), (12, b"EXIF", "<")):
        if data.startswith(b"\x89PNG" if order == ">" else b"RIFF"):
            return _chunk(data, start, name, order).removeprefix(b"Exif\0\0")
    return data


def _chunk(data: bytes, place: int, name: bytes, order: str) -> bytes:
    """One chunk of a PNG, whose lengths come first, or of a WebP, whose names do."""
    while place + 8 <= len(data):
        if order == ">":
            (length,), found, rest = _at(">I", data, place), data[place + 4 : place + 8], 4  # a checksum
        else:
            found, (length,), rest = data[place : place + 4], _at("<I", data, place + 4), 0
        if found == name:
            return data[place + 8 : place + 8 + length]
        place += 8 + length + (rest or length % 2)
    return b""


class Ending(NamedTuple):
    """How a JPEG ends."""

    place: int  # of the end mark of its picture, -1 where there is none
    progressive: bool  # whether the picture comes in several passes, each with more detail
    complete: bool  # whether all passes are there


def end_of_jpeg(data: bytes) -> Ending:
    """How the picture of a JPEG ends."""
    progressive, start = False, len(data)
    for marker, place in _segments(data):
        progressive |= marker == 0xC2
        if marker == 0xDA:
            start = place
    end = data.find(b"\xff\xd9", start)
    return Ending(end, progressive, not progressive or _has_all_passes(data[start : max(end, 0)]))


def _has_all_passes(data: bytes) -> bool:
    """Whether the passes bring all 64 frequencies of each component to the last bit; those of the first are known."""
    missing: dict[int, dict[int, int]] = {}  # bits that are to come, by component and frequency
    place = data.find(b"\xff\xda")
    while place >= 0:
        try:
            count = data[place + 4]
            first, last, bits = data[place + 5 + 2 * count : place + 8 + 2 * count]
        except (IndexError, ValueError):
            return False
        for component in data[place + 5 : place + 5 + 2 * count : 2]:
            missing.setdefault(component, dict.fromkeys(range(64), 1)).update(
                dict.fromkeys(range(first, last + 1), bits & 15)
            )
        place = data.find(b"\xff\xda", place + 2)
    return not any(bits for left in missing.values() for bits in left.values())


def _of_jpeg(data: bytes) -> Iterator[Size]:
    for marker, place in _segments(data):
        if marker in _FRAMES:
            height, width = _at(">HH", data, place + 5)
            yield width, height


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG and their places, up to the first one of pixels."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1  # decoders skip what is no marker
            continue
        marker = data[place + 1]
        yield marker, place
        if marker == 0xDA:  # the pixels start
            return
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + _at(">H", data, place + 2)[0]


def _of_tiff(data: bytes) -> Iterator[Size]:
    found = _tags(data)
    if _WIDTH in found and _HEIGHT in found:
        yield found[_WIDTH], found[_HEIGHT]


def _tags(data: bytes) -> dict[int, int]:
    """What the first directory of a TIFF says, which is the one that is read."""
    if not data.startswith((b"II", b"MM")):
        return {}
    order = "<" if data.startswith(b"I") else ">"
    large = data[2:4] in (b"+\0", b"\0+")  # BigTIFF
    (start,) = _at(order + ("Q" if large else "I"), data, 8 if large else 4)
    (count,) = _at(order + ("Q" if large else "H"), data, start)
    first, length, value = (start + 8, 20, 12) if large else (start + 2, 12, 8)
    found = {}
    for entry in range(first, min(first + count * length, len(data) - length + 1), length):
        tag, kind = _at(order + "HH", data, entry)
        if tag in (_WIDTH, _HEIGHT, _TURNED) and kind in _TIFF_TYPES:
            (found[tag],) = _at(order + _TIFF_TYPES[kind], data, entry + value)
    return found


def _of_webp(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = _at("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = _at("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    raise ValueError(kind)


def _at(kinds: str, data: bytes, place: int) -> tuple[int, ...]:
    return Struct(kinds).unpack_from(data, place)
