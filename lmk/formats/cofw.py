"""COFW: a MATLAB 7.3 file (HDF5) with 29 points of each face, which of them are occluded, and the pictures inside.

Positions count from 1.  Pictures have no names there: they are called `train/0001.png`, … and `test/0001.png`, …, by
their number from 1, as the files of COFW-68 are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.hdf5 import checked, data_at, found, is_hdf5, opened, values
from lmk.formats.landmarks import chosen
from lmk.formats.source import Source
from lmk.images import png_of
from lmk.reading import whole
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "one"
_MATLAB = b"MATLAB 7.3 MAT-file"


class _Set(NamedTuple):
    """What one of the two files calls its variables."""

    split: str
    points: str  # (3 K, n): x of all, y of all, whether they are occluded
    pictures: str  # (1, n) references
    boxes: str


_SETS = (_Set("train", "phisTr", "IsTr", "bboxesTr"), _Set("test", "phisT", "IsT", "bboxesT"))


def _sniff(path: Path, head: bytes) -> Guess | None:
    if not is_hdf5(head) or not head.startswith(_MATLAB):
        return None
    if b"phisT" in head or "cofw" in path.name.lower():
        return Guess(0.95, "it is a MATLAB 7.3 file with COFW's variables or name")
    return Guess(0.3, "it is a MATLAB 7.3 file, and COFW is the only one that lmk knows")


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, _Set]]:
    """The file, and what it calls its variables."""
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format cofw reads COFW_train_color.mat or COFW_test_color.mat")
    with opened(source.path) as root:
        which = next((each for each in _SETS if found(root, each.points) is not None), None)
        if which is None:
            raise FormatError(f"{source.path}: no phisTr or phisT in it; is it COFW_train_color.mat?")
        yield root, which


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    with _opened(source) as (root, which):
        shape = data_at(root, which.points, "f").shape
        if len(shape) != 2 or shape[0] % 3:
            raise FormatError(
                f"{source.path}: {which.points} has the shape {shape[::-1]}, not faces x (x, y, occluded)"
            )
        scheme = chosen(asked, shape[0] // 3, str(source.path))
        name = _name(which, 0)
    notes = [f"pictures are in the file; lmk.formats.cofw.pictures writes them as {name}, …, for --images"]
    losses = Losses()
    return Reading(_parts(source, scheme, losses), scheme, losses, notes)


def _name(which: _Set, row: int) -> str:
    return f"{which.split}/{row + 1:04d}.png"


def _parts(source: Source, scheme: LandmarkScheme, losses: Losses) -> Iterator[Part]:
    size = scheme.size
    with _opened(source) as (root, which):
        table = values(data_at(root, which.points, "f")).astype(np.float64).T
        count, pictures = len(table), _pictures(root, which)
        if (boxes := found(root, which.boxes)) is not None and count:
            losses.add("boxes", int(boxes.shape[-1]), _name(which, 0))
        if pictures is not None and pictures.shape[-1] != count:
            raise FormatError(f"{source.path}: {count} faces, but {pictures.shape[-1]} pictures")
        step = max(1, PART_ROWS // size)
        for start in range(0, count, step):
            some = table[start : start + step].reshape(-1, 3, size)
            if not np.isfinite(some).all() or not np.isin(some[:, 2], (0, 1)).all():
                row = start + int(np.argmin((np.isfinite(some) & np.isin(some[:, 2:], (0, 1))).all(axis=(1, 2))))
                raise FormatError(f"{source.path}: face {row + 1} has a position, or an occlusion, that is no number")
            names = np.array([_name(which, row) for row in range(start, start + len(some))], object)
            part = pd.DataFrame({"image": names.repeat(size), "instance": 0, "split": which.split})
            part["landmark"] = np.tile(np.arange(size), len(some))
            part["x"], part["y"] = some[:, 0].reshape(-1), some[:, 1].reshape(-1)
            part["visibility"] = 2 - some[:, 2].reshape(-1).astype(np.int64)
            yield Part(part)


def _pictures(root: Any, which: _Set) -> Any:
    """The list of pictures, (1, n) references into the file; None where it has none."""
    data = found(root, which.pictures)
    if data is None:
        return None
    if not isinstance(data, h5py.Dataset) or h5py.check_ref_dtype(data.dtype) is not h5py.Reference or data.ndim != 2:
        raise FormatError(f"{root.file.filename}: {which.pictures} is no list of pictures")
    return checked(data, "O", which.pictures)


def pictures(source: Source, folder: Path) -> int:
    """Write the pictures of a file as PNG into a new folder, for `--images`; returns how many."""
    if folder.exists():
        raise DataError(f"{folder}: is there already; name a new folder")
    with _opened(source) as (root, which), whole(source.path, "its pictures are not as COFW has them"):
        references = _pictures(root, which)
        if references is None:
            raise FormatError(f"{source.path}: no pictures in it")
        with replacing(folder) as temporary:
            (temporary / which.split).mkdir(parents=True)
            listed = values(references).reshape(-1)
            for row, reference in enumerate(listed):
                picture = root[reference]
                if not isinstance(picture, h5py.Dataset):
                    raise FormatError(f"{source.path}: picture {row + 1} is none")
                # MATLAB's first axis is HDF5's last: what is height x width x colour there is the reverse here.
                pixels = values(checked(picture, "u", f"picture {row + 1}")).T
                (temporary / _name(which, row)).write_bytes(png_of(pixels, Path(f"{source.path}: {_name(which, row)}")))
            return len(listed)


COFW = Format(
    name="cofw",
    origin=ORIGIN,
    carries=frozenset({Trait.OCCLUSION, Trait.SPLIT, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
)
