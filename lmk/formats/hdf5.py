"""HDF5 files that somebody else made: what is read has to be in the file itself, plain, and of a bounded size.

Links that lead elsewhere, data that lie elsewhere, filters that would load a plug-in and Python objects are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lmk.errors import FormatError
from lmk.limits import JSON_BYTES, PIECE_BYTES, ROWS_AT_ONCE, TABLE_BYTES
from lmk.reading import check_file, parse_json, whole

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_WHAT = "not a whole HDF5 file"
_USER_BLOCK = 512  # bytes in front of the signature in a MATLAB file


def is_hdf5(head: bytes) -> bool:
    """Whether the first bytes of a file are those of HDF5."""
    return head.startswith(SIGNATURE) or head[_USER_BLOCK : _USER_BLOCK + len(SIGNATURE)] == SIGNATURE


@contextmanager
def opened(file: Path, mode: str = "r") -> Iterator[Any]:
    """The root of a file; whatever is wrong with it is one line."""
    check_file(file, TABLE_BYTES)
    with whole(file, _WHAT), h5py.File(file, mode) as root:
        yield root


def found(root: Any, path: str) -> Any:
    """A group or a data set by its path, None where there is none."""
    at = root
    for name in path.split("/"):
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FormatError(
                f"{root.file.filename}: {path} is a link to somewhere else; lmk reads what is in the file"
            )
        at = at[name]
    return at


def data_at(root: Any, path: str, kinds: str) -> Any:
    """A data set that is there, with values of some kinds of numpy's."""
    data = found(root, path)
    if not isinstance(data, h5py.Dataset):
        raise FormatError(f"{root.file.filename}: no table {path!r} in it")
    return checked(data, kinds, path)


def checked(data: Any, kinds: str, what: str) -> Any:
    """A data set whose values are in the file, of some kinds, with filters that are known."""
    where = f"{data.file.filename}: {what}"
    settings = data.id.get_create_plist()
    filters = {settings.get_filter(number)[0] for number in range(settings.get_nfilters())}
    if data.is_virtual or data.external:
        raise FormatError(f"{where} lies in another file; lmk reads what is in the file")
    if not filters <= _FILTERS:
        raise FormatError(f"{where} is packed with a filter that lmk does not know; known are gzip, lzf and shuffle")
    types = [data.dtype[name] for name in data.dtype.names] if data.dtype.names else [data.dtype]
    if any(each.kind not in kinds or each.subdtype is not None for each in types):
        raise FormatError(f"{where} has values of a kind that does not belong there ({str(data.dtype)[:60]})")
    if math.prod(data.chunks or (1,)) * data.dtype.itemsize > PIECE_BYTES:
        raise FormatError(f"{where} is stored in pieces of more than {PIECE_BYTES >> 20} MiB")
    return data


def values(data: Any, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Some rows of a data set, all of them without an end; at most as many as make a piece of work."""
    stop = len(data) if stop is None else min(stop, len(data))
    size = max(stop - start, 0) * math.prod(data.shape[1:]) * data.dtype.itemsize
    if size > PIECE_BYTES:
        raise FormatError(f"{data.file.filename}: {data.name} has {size:,} bytes at once, more than any such table")
    return np.asarray(data[start:stop])


def columns(data: Any, *names: str) -> list[NDArray[np.int64]]:
    """Some columns of a whole table of records as whole numbers, read piece by piece."""
    where = f"{data.file.filename}: {data.name}"
    there = (data.dtype.names or ()) if data.ndim == 1 else ()
    if gone := [name for name in names if name not in there]:
        raise FormatError(f"{where} is no table with a column {gone[0]!r}")
    if len(data) > ROWS_AT_ONCE:
        raise FormatError(f"{where} has {len(data):,} rows; more than {ROWS_AT_ONCE:,} are not read")
    step = max(1, PIECE_BYTES // 8 // data.dtype.itemsize)
    found: list[NDArray[np.int64]] = [np.empty(len(data), np.int64) for _ in names]
    for start in range(0, len(data), step):
        piece = values(data, start, start + step)
        for column, name in zip(found, names, strict=True):
            column[start : start + step] = piece[name]
    return found


def texts(data: Any) -> list[str]:
    """A list of texts in UTF-8."""
    where = data.file.filename
    if data.ndim != 1 or (data.dtype.kind != "S" and h5py.check_string_dtype(data.dtype) is None):
        raise FormatError(f"{where}: {data.name} is no list of texts")
    with whole(where, f"{data.name} is no text in UTF-8"):
        return [each.decode("utf-8") if isinstance(each, bytes) else str(each) for each in values(data).tolist()]


def json_of(group: Any, name: str) -> Any:
    """What an attribute says as JSON."""
    where = f"{group.file.filename}: {group.name}"
    if not isinstance(group, h5py.Group) or name not in group.attrs:
        raise FormatError(f"{where} says nothing of {name!r}")
    text = group.attrs[name]
    if isinstance(text, bytes | np.bytes_):
        text = bytes(text)
    if not isinstance(text, bytes | str) or len(text) > JSON_BYTES:
        raise FormatError(f"{where}: {name!r} is no text")
    return parse_json(text, where)
