"""Long flat lists of numbers in JSON, many at once and without an object of Python's for each.

Of a file of landmarks nearly every byte belongs to such lists.  They are cut out of an element before it is parsed, and
parsed together.  What looks unusual in any way is left to the parser of JSON.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_COMMA = ord(",")


def pattern_of(key: str) -> re.Pattern[bytes]:
    """What finds the list of numbers under a key; its group is what stands between the brackets."""
    return re.compile(b'"%s"' % key.encode() + rb"[ \t\r\n]*+:[ \t\r\n]*+\[([-+0-9.eE, \t\r\n]++)\]")


def cut(data: bytes, pattern: re.Pattern[bytes]) -> tuple[bytes, bytes | None]:
    """An element with an empty list in place of the numbers, and their text; None where they are not found once."""
    found = pattern.search(data)
    if found is None or pattern.search(data, found.end()) or not found[1].strip():
        return data, None
    return data[: found.start(1)] + data[found.end(1) :], found[1]


def numbers_of(text: bytes) -> NDArray[np.float64] | None:
    """The numbers that stand in a text with commas between them; None where something else does."""
    codes = np.frombuffer(text, np.uint8)
    word = (codes > ord(" ")) & (codes != _COMMA)
    edges = np.flatnonzero(np.diff(word, prepend=False, append=False))
    offsets = np.concatenate([[0], np.cumsum(edges[1::2] - edges[::2])])
    if len(offsets) != np.count_nonzero(codes == _COMMA) + 2 or offsets[-1] >= 1 << 31:
        return None
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(codes[word])]
    try:
        parsed = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.asarray(parsed)
