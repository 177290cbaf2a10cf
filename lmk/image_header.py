"""The size of an image by its header, before a pixel is decoded: a few kB can stand for gigabytes.

Only kinds whose header is known here are decoded at all, whatever the name of the file ends in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, error

from lmk.errors import ImageError
from lmk.limits import PIXELS

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers of frames; the three others are tables
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_WIDTH, _HEIGHT = 256, 257  # TIFF's tags
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PXM = re.compile(rb"P[1-6](?:\s|#[^\n\r]*[\n\r])+(\d{1,10})(?:\s|#[^\n\r]*[\n\r])+(\d{1,10})")
Size = tuple[int, int]


def check_size(data: bytes, path: Path) -> None:
    """Refuse the bytes of an image that has too many pixels, or is of no kind that is known here."""
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


def _of_jpeg(data: bytes) -> Iterator[Size]:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1  # decoders skip what is no marker
            continue
        marker = data[place + 1]
        if marker in _FRAMES:
            height, width = _at(">HH", data, place + 5)
            yield width, height
        if marker == 0xDA:  # the pixels start
            return
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + _at(">H", data, place + 2)[0]


def _of_tiff(data: bytes) -> Iterator[Size]:
    """Of the first directory, which is the one that is read."""
    order = "<" if data.startswith(b"I") else ">"
    large = data[2:4] in (b"+\0", b"\0+")  # BigTIFF
    (start,) = _at(order + ("Q" if large else "I"), data, 8 if large else 4)
    (count,) = _at(order + ("Q" if large else "H"), data, start)
    first, length, value = (start + 8, 20, 12) if large else (start + 2, 12, 8)
    found = {}
    for entry in range(first, min(first + count * length, len(data) - length + 1), length):
        tag, kind = _at(order + "HH", data, entry)
        if tag in (_WIDTH, _HEIGHT) and kind in _TIFF_TYPES:
            (found[tag],) = _at(order + _TIFF_TYPES[kind], data, entry + value)
    if len(found) == 2:
        yield found[_WIDTH], found[_HEIGHT]


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
