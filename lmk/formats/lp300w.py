"""300W-LP and AFLW2000-3D: a MATLAB 5 file beside each image, whose `pt2d` counts from 1.

A folder is read with all that is below it; `-1 -1` is a point that is missing, as AFLW2000-3D has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lmk.errors import DataError, FormatError, ImageError
from lmk.formats.base import PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.landmarks import chosen
from lmk.formats.mat5 import SIGNATURE, variables
from lmk.formats.pixels import Points
from lmk.formats.source import Source, first_in, head
from lmk.images import SUFFIXES
from lmk.limits import LABEL_BYTES, POINTS
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme

ORIGIN: Origin = "one"
_VARIABLE = "pt2d"
_FOLDER = "format 300w-lp reads a folder of images with .mat files beside them"


def _sniff(path: Path, start: bytes) -> Guess | None:
    found = first_in(path, _beside_an_image)
    if found is None or not head(path / found).startswith(SIGNATURE):
        return None
    return Guess(0.9, f"there are MATLAB files beside its images, {found} for one")


def _beside_an_image(file: Path, names: list[str]) -> bool:
    return file.suffix.lower() == ".mat" and any(f"{file.stem}{ending}" in names for ending in SUFFIXES)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    if not source.path.is_dir():
        raise DataError(f"{source.path}: no such folder; {_FOLDER}")
    files: list[Path] = []
    beside: dict[Path, Path] = {}
    for file in source.files(".mat", *SUFFIXES):
        if file.suffix.lower() == ".mat":
            files.append(file)
        elif (other := beside.setdefault(file.with_suffix(""), file)) != file:
            raise DataError(f"{file}: another image has its name, {other.name}; keep one of them")
    losses = Losses()
    labels = [file for file in files if file.with_suffix("") in beside or not with_images]
    if len(labels) < len(files):
        alone = next(file for file in files if file.with_suffix("") not in beside)
        losses.add(".mat files without an image beside them", len(files) - len(labels), source.name(alone))
    if not labels:
        kind = ImageError if files else DataError
        raise kind(f"{source.path}: no .mat files with images beside them; {_FOLDER}")
    first = next((points for points in (_points(source, file) for file in labels) if points is not None), None)
    if first is None:
        raise FormatError(f"{labels[0]}: no {_VARIABLE} in it, nor in any other; {_FOLDER}")
    scheme = chosen(asked, len(first), str(source.path))
    return Reading(_parts(source, labels, beside, scheme, losses), scheme, losses)


def _points(source: Source, file: Path) -> Points | None:
    """(K, 2) the numbers of one file, None where it has none."""
    found = variables(source.data(file, LABEL_BYTES), frozenset({_VARIABLE}), str(file)).get(_VARIABLE)
    if found is None:
        return None
    if isinstance(found, list) or found.ndim != 2 or found.shape[0] != 2 or not 0 < found.shape[1] <= POINTS:
        raise FormatError(f"{file}: {_VARIABLE} is not 2 x K numbers")
    points = found.T.astype(np.float64)
    points[(points == -1).all(axis=1)] = np.nan
    if np.isinf(points).any() or (np.isnan(points).any(axis=1) != np.isnan(points).all(axis=1)).any():
        raise FormatError(f"{file}: {_VARIABLE} has a position that is no number")
    return points


def _parts(
    source: Source, files: list[Path], beside: dict[Path, Path], scheme: LandmarkScheme, losses: Losses
) -> Iterator[Part]:
    size = scheme.size
    step = max(1, PART_ROWS // size)
    for start in range(0, len(files), step):
        names, points = [], []
        for file in files[start : start + step]:
            found = _points(source, file)
            if found is None:
                losses.add(f".mat files without {_VARIABLE}", 1, source.name(file))
                continue
            chosen(scheme, len(found), str(file))
            points.append(found)
            names.append(source.name(beside.get(file.with_suffix(""), file.with_suffix(""))))
        if names:
            part = pd.DataFrame({"image": np.repeat(np.array(names, object), size), "instance": 0})
            part["landmark"] = np.tile(np.arange(size), len(names))
            part["x"], part["y"] = np.concatenate(points).T
            yield Part(part)


LP300W = Format(
    name="300w-lp",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SUBPIXEL}),
    apart=False,
    sniff=_sniff,
    read=_read,
)
