"""The pixels that a network sees: a square around each instance, read when it is asked for.

Decoding a photograph can take longer than a training step, and every stage wants the same squares; so they are kept in
a cache file, if a folder for it is given.  The file is named by the content that the squares come from, so that stages
and processes share it, and other images, boxes or sizes never find it.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.errors import DataError
from lmk.images import crop, read_bytes, read_image
from lmk.kernels.views import to_tensor, view
from lmk.names import AnyFolder, Folder, as_folder

# Crops are a little larger than the network sees, so that rotating and shifting them brings in real pixels.
MARGIN = 1.25
CACHED = 4 << 30  # bytes of crops that are worth keeping; a set with more is decoded each time
KEPT = 7 * 86400  # seconds that a cache file is kept after its last use
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class CropSource:
    """The crops of N instances: `read(rows)` gives (R, size, size, 3), squares `margin` times as large as the boxes."""

    root: Folder
    images: tuple[str, ...]
    boxes: NDArray[np.float64]  # (N, 3)
    input_size: int
    rows: NDArray[np.int64]  # (N,) of the cache
    cache: Cache | None = None

    @property
    def size(self) -> int:
        """Pixels of a crop, MARGIN times those that the network sees."""
        return round(self.input_size * MARGIN / 2) * 2

    @property
    def margin(self) -> float:
        """How much larger than the box a crop is, after rounding to whole pixels."""
        return self.size / self.input_size

    def __len__(self) -> int:
        return len(self.images)

    def select(self, chosen: NDArray[np.bool_]) -> CropSource:
        """The crops of the chosen instances, (N,) bool."""
        kept = np.flatnonzero(chosen)
        return replace(self, images=tuple(self.images[i] for i in kept), boxes=self.boxes[kept], rows=self.rows[kept])

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        """(R, size, size, 3) the crops of some instances."""
        found = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        missing = [
            place for place, row in enumerate(rows)
            if self.cache is None or not self.cache.get(int(self.rows[row]), found[place])
        ]  # fmt: skip
        if missing:
            # Instances of one image are neighbours, and it is decoded once for all of them.
            groups: dict[str, list[int]] = {}
            for place in missing:
                groups.setdefault(self.images[rows[place]], []).append(place)
            with ThreadPoolExecutor(min(len(groups), os.cpu_count() or 1)) as pool:
                list(pool.map(lambda name: self._cut(name, groups[name], rows, found), groups))
        return found

    def _cut(self, name: str, places: list[int], rows: NDArray[np.int64], found: Pixels) -> None:
        image = read_image(self.root.file(name))
        for place in places:
            box = self.boxes[rows[place]]
            grown = box + box[2] * (self.margin - 1) * np.array([-0.5, -0.5, 1.0])
            found[place] = crop(image, grown, self.size)
            if self.cache is not None:
                self.cache.put(int(self.rows[rows[place]]), found[place])


class Cache:
    """Squares of one size in a file, each with a checksum: what is not whole, or not there, is made again.

    Several processes may use it at once: they write the same bytes at the same places.
    """

    def __init__(self, path: Path, count: int, size: int) -> None:
        self._bytes, self._start = size * size * 3, 4 * count
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_unused(path.parent)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        whole = self._start + count * self._bytes
        if os.fstat(self._file).st_size != whole:
            os.ftruncate(self._file, whole)  # holes, which take no room until they are written
        os.utime(path)
        self._full = False

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self._file)

    def get(self, row: int, into: Pixels) -> bool:
        """Fill in a square; False where there is none."""
        told = int.from_bytes(os.pread(self._file, 4, 4 * row), "little")
        if not told:
            return False
        os.preadv(self._file, [into.data.cast("B")], self._start + row * self._bytes)
        return _checksum(into) == told

    def put(self, row: int, square: Pixels) -> None:
        """Keep a square, as long as there is room for it."""
        if self._full:
            return
        try:
            os.pwrite(self._file, square.data.cast("B"), self._start + row * self._bytes)
            os.pwrite(self._file, _checksum(square).to_bytes(4, "little"), 4 * row)
        except OSError:  # a full disk: it can be decoded again
            self._full = True


def _forget_unused(folder: Path) -> None:
    """Remove files that nobody has opened for a week: of images, boxes or sizes that have changed since."""
    for path in folder.glob("*.crops"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()


def _checksum(square: Pixels) -> int:
    # It starts at some number: from 0, bytes of ones and then zeros, as in a file with holes, have ones for theirs.
    return zlib.crc32(square.data.cast("B"), 0x6C6D6B) or 1  # 0 marks what is not there


def crops_of(annotations: AnnotationSet, images: AnyFolder, input_size: int, cache: Path | None = None) -> CropSource:
    """The pixels that a network sees, for every instance of a set.

    Args:
        annotations: the set.
        images: the folder that its image names start from.
        input_size: pixels of the square that the network sees.
        cache: the folder of cache files; nothing is kept without one.
    """
    if np.isnan(annotations.boxes).any():
        raise DataError("the annotation set was made without images; ingest it again, without --no-images")
    names = annotations.instances["image"].tolist()
    rows = np.arange(len(names))
    folder = as_folder(images)
    source = CropSource(folder, tuple(names), annotations.boxes, input_size, rows)
    if cache is None or len(names) * source.size**2 * 3 > CACHED:
        return source
    content = hashlib.sha256(f"{source.size} {source.margin}".encode())
    content.update(np.ascontiguousarray(annotations.boxes).tobytes())
    for name, digest in zip(names, _digests(folder, names), strict=True):
        content.update(f"{name}\0".encode() + digest)
    kept = Cache(cache / f"{content.hexdigest()[:32]}.crops", len(names), source.size)
    return replace(source, cache=kept)


def _digests(root: Folder, names: Sequence[str]) -> list[bytes]:
    """Of the bytes of each image's file, in order."""
    different = list(dict.fromkeys(names))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digests = pool.map(lambda name: hashlib.sha256(read_bytes(root.file(name))).digest(), different)
        found = dict(zip(different, digests, strict=True))
    return [found[name] for name in names]


def centre(crops: CropSource, chosen: NDArray[np.int64], size: int) -> Tensor:
    """The boxes of the chosen instances as they are, (B, 3, S, S)."""
    pixels = to_tensor(crops.read(chosen))
    still = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]]).expand(len(pixels), -1, -1)
    return view(pixels, still, size, crops.margin)
