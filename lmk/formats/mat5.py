"""MATLAB's files of version 5 to 7: numbers, text and lists of text, by the names of their variables.

Nothing else is read: no objects, no functions, no structures.  A packed variable is unpacked up to a limit, whatever it
says of itself, and lists have one level.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.errors import FormatError
from lmk.limits import PIECE_BYTES
from lmk.reading import whole

SIGNATURE = b"MATLAB 5.0 MAT-file"
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1",
            17: "u2", 18: "u4"}  # fmt: skip
_TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _CHAR, _NUMERIC, _COMPLEX = 1, 4, range(6, 16), 0x0800
Variable = NDArray[Any] | list[str]


def variables(data: bytes, wanted: frozenset[str], where: str) -> dict[str, Variable]:
    """Some variables of a file: numbers as arrays in the shape of MATLAB, text and cells of text as lists.

    Args:
        data: the file.
        wanted: names.
        where: the file, for messages.
    """
    if not data.startswith(SIGNATURE):
        raise FormatError(f"{where}: not a file of MATLAB 5 to 7; in MATLAB save it with -v7")
    with whole(where, "not a whole file of MATLAB"):
        order = {b"IM": "<", b"MI": ">"}[data[126:128]]
        found: dict[str, Variable] = {}
        left = PIECE_BYTES
        for kind, body in _elements(data[_HEADER:], order):
            if kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(body, left + 1)
                left -= len(unpacked)
                if left < 0:
                    raise ValueError(f"its variables have more than {PIECE_BYTES >> 20} MiB, unpacked")
                kind, body = next(_elements(unpacked, order), (0, b""))
            if kind == _MATRIX:
                name, variable = _matrix(body, order, wanted)
                if variable is not None:
                    found[name] = variable
        return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Pieces of a file as (kind, bytes)."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # a small one holds its bytes where others say how many they have
            size, kind = kind >> 16, kind & 0xFFFF
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
            yield kind, data[at + 4 : at + 4 + size]
            at += 8
            continue
        at += 8
        if at + size > len(data):
            raise ValueError(f"it ends {at + size - len(data):,} bytes too early")
        yield kind, data[at : at + size]
        at += size if kind == _COMPRESSED else size + -size % 8


def _matrix(body: bytes, order: str, wanted: frozenset[str] | None) -> tuple[str, Variable | None]:
    """A variable's name, and what it holds; None where it is not wanted, or of a kind that is not read."""
    parts = _elements(body, order)
    flags = struct.unpack_from(f"{order}I", _next(parts)[1])[0]
    kind = flags & 0xFF
    shape = tuple(np.frombuffer(_next(parts)[1], f"{order}i4").tolist())
    name = _next(parts)[1].rstrip(b"\0").decode("ascii", "replace")
    if wanted is not None and name not in wanted:
        return name, None
    if kind in _NUMERIC and not flags & _COMPLEX:
        stored, numbers = _next(parts)
        values = np.frombuffer(numbers, f"{order}{_NUMBERS[stored]}")
        if min(shape) < 0 or values.size != math.prod(shape):
            raise ValueError(f"{name!r} says that it has the shape {shape}, and has {values.size} numbers")
        return name, values.reshape(shape, order="F")
    if kind == _CHAR:
        return name, [_text(*_next(parts), order)]
    if kind == _CELL and wanted is not None:
        texts = []
        for _, cell in parts:
            inner = _matrix(cell, order, None)[1]
            if not isinstance(inner, list):
                raise ValueError(f"{name!r} is no list of texts")
            texts += inner
        return name, texts
    return name, None


def _next(parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    for part in parts:
        return part
    raise ValueError("a variable that is not whole")


def _text(kind: int, data: bytes, order: str) -> str:
    encoding = _TEXT[kind]
    return data.decode(encoding if encoding == "utf-8" else f"{encoding}-{'le' if order == '<' else 'be'}")
