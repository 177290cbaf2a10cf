"""The pictures inside a SLEAP package, as files under the names that its labels give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lmk.errors import DataError, FormatError
from lmk.formats.hdf5 import checked, data_at, found, opened, values
from lmk.formats.sleap_file import Video, videos_of
from lmk.formats.source import Source
from lmk.image_header import size_of
from lmk.images import png_of
from lmk.limits import PIECE_BYTES
from lmk.names import check_names
from lmk.reading import whole
from lmk.store import replacing

_ENCODED = ("png", "jpg", "jpeg")


def pictures(source: Source, folder: Path) -> int:
    """Write the pictures of a package into a new folder, for `--images`; returns how many."""
    if folder.exists():
        raise DataError(f"{folder}: is there already; name a new folder")
    written: set[str] = set()
    with opened(source.path) as root, replacing(folder) as temporary:
        temporary.mkdir()
        for video in videos_of(root):
            if video.embedded:
                _write(root, video, temporary, written)
        if not written:
            raise FormatError(f"{source.path}: no pictures in it; export a package (.pkg.slp) from SLEAP")
    return len(written)


def _write(root: Any, video: Video, folder: Path, written: set[str]) -> None:
    where = f"{root.file.filename}: {video.embedded}"
    data = found(root, video.embedded)
    if not isinstance(data, h5py.Dataset):
        raise FormatError(f"{where}: no pictures there")
    inner = h5py.check_vlen_dtype(data.dtype)
    checked(data, "iu" if inner is None else "O", video.embedded)
    numbers = values(data_at(root, f"{video.embedded.removesuffix('/video')}/frame_numbers", "iuf")).tolist()
    if len(numbers) != len(data):
        raise FormatError(f"{where}: {len(data)} pictures of {len(numbers)} frames")
    with whole(root.file.filename, f"{video.embedded} is no list of pictures"):
        kind = data.attrs.get("format", "hdf5")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        for row, frame in enumerate(numbers):
            name = video.image(int(frame))
            check_names([name], root.file.filename)
            if name in written:
                raise FormatError(f"{where}: two pictures are called {name}")
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            label = Path(f"{root.file.filename}: {name}")
            file.write_bytes(_bytes(values(data, row, row + 1)[0], kind, label))
            written.add(name)


def _bytes(picture: Any, kind: str, label: Path) -> bytes:
    """One picture as a file; an encoded one is padded with zeros to the length of the longest."""
    pixels = np.asarray(picture)
    if pixels.dtype.kind not in "iu" or pixels.nbytes > PIECE_BYTES:
        raise FormatError(f"{label}: not a picture of whole numbers")
    if kind not in _ENCODED:
        return png_of(pixels, label)
    data = pixels.astype(np.uint8, casting="unsafe").tobytes().rstrip(b"\0")
    size_of(data, label)
    return data
