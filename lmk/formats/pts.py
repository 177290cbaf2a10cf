"""`.pts` files of iBUG and menpo: one file an image, beside it, counting pixels from 1.

A folder is read with all that is below it.  Where files lie in folders called train, val or test, those are
their splits.
An `annotators.csv` in it, `image,annotator`, says who labelled what.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError, ImageError, SchemeError
from lmk.images import SUFFIXES
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ANNOTATORS = "annotators.csv"


def read_pts(path: Path) -> NDArray[np.float64]:
    """Return the points of one `.pts` file as (K, 2), counted from 0."""
    wanted = "expected `n_points: K`, then K lines `x y` between braces"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as cause:
        raise FormatError(f"{path}: not a .pts file but something binary; {wanted}") from cause
    parts = re.fullmatch(r"\s*(?:version:\s*\S+\s*)?n_points:\s*(\d+)\s*\{([^{}]*)\}\s*", text)
    if parts is None:
        raise FormatError(f"{path}: not a whole .pts file, cut short perhaps; {wanted}")
    lines = [line.split() for line in parts[2].splitlines() if line.strip()]
    points = []
    for number, line in enumerate(lines):
        try:
            x, y = map(float, line)
        except ValueError as cause:
            raise FormatError(
                f"{path}: not a whole .pts file, point {number} is {' '.join(line)!r}; {wanted}"
            ) from cause
        if not (math.isfinite(x) and math.isfinite(y)):
            raise FormatError(
                f"{path}: point {number} is not a number; a .pts file cannot have missing points, use format csv"
            )
        points.append((x, y))
    if len(points) != int(parts[1]):
        raise FormatError(f"{path}: header declares {parts[1]} points, body has {len(points)}")
    return np.array(points, np.float64).reshape(-1, 2) - 1


def read_pts_folder(source: Path, scheme: LandmarkScheme, with_images: bool) -> pd.DataFrame:
    """Read every `.pts` below a folder; the image has the same name with an image's ending."""
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; format pts reads a folder of images with .pts files beside them")
    below = _files_below(source)
    files = [file for file in below if file.suffix.lower() == ".pts"]
    if not files:
        raise DataError(
            f"{source}: no .pts files in it; format pts reads a folder of images with .pts files beside them"
        )
    beside: dict[Path, list[Path]] = {}
    for file in below:
        if file.suffix.lower() in SUFFIXES:
            beside.setdefault(file.with_suffix(""), []).append(file)
    rows, images = [], []
    for file in files:
        points = read_pts(file)
        if len(points) != scheme.size:
            raise SchemeError(f"{file}: {len(points)} points, but scheme {scheme.name} has {scheme.size}")
        rows.append(points)
        there = beside.get(file.with_suffix(""), [])
        if len(there) > 1:
            raise DataError(f"{file}: two images have its name, {there[0].name} and {there[1].name}; keep one of them")
        if not there and with_images:
            raise ImageError(f"{file}: no image beside it; expected {file.stem} with one of {' '.join(SUFFIXES)}")
        image = there[0] if there else file.with_suffix("")
        images.append(image.relative_to(source).as_posix())
    flat, count = np.concatenate(rows), scheme.size
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array(images, dtype=object), count),
            "instance": 0,
            "landmark": np.tile(np.arange(count), len(images)),
            "x": flat[:, 0],
            "y": flat[:, 1],
            "split": np.repeat(np.array(_splits(files, source), dtype=object), count),
        }
    )
    if (source / ANNOTATORS).is_file():
        who = _read_annotators(source / ANNOTATORS)
        if unknown := [image for image in images if image not in who]:
            raise DataError(f"{source / ANNOTATORS}: no line for {unknown[0]}; list every image, or remove the file")
        table["annotator"] = table["image"].map(who)
    return table


def _files_below(source: Path) -> list[Path]:
    """All files, through links too, in one order on every machine."""
    found, seen = [], set()
    for folder, inside, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            inside.clear()
            continue
        seen.add(real)
        found += [Path(folder) / name for name in names]
    return sorted(found, key=lambda path: path.relative_to(source).as_posix())


def _splits(files: list[Path], source: Path) -> list[str]:
    """The split of each file: the first of its folders that is called so; all are `train` where none is."""
    named = [next((part for part in file.relative_to(source).parts[:-1] if part in SPLITS), None) for file in files]
    if any(named) and not all(named):
        lost = files[named.index(None)]
        raise DataError(
            f"{lost}: in no split, and others are; put all into folders called {', '.join(SPLITS)}, or none"
        )
    return [name or "train" for name in named]


def _read_annotators(path: Path) -> dict[str, str]:
    try:
        listed = pd.read_csv(path, dtype=str, index_col=False)
    except (ValueError, UnicodeDecodeError) as cause:
        raise FormatError(f"{path}: not a CSV file with the header image,annotator") from cause
    if list(listed) != ["image", "annotator"]:
        raise FormatError(f"{path}: the header must be image,annotator, not {','.join(map(str, listed.columns))}")
    return dict(zip(listed["image"], listed["annotator"], strict=True))


def write_pts(path: Path, points: NDArray[np.float64], decimals: int) -> None:
    """Write points (K, 2), counted from 0, as one `.pts` file, which counts from 1."""
    lines = [f"{x:.{decimals}f} {y:.{decimals}f}" for x, y in points + 1]
    text = "\n".join(["version: 1", f"n_points: {len(points)}", "{", *lines, "}"]) + "\n"
    path.write_text(text, encoding="utf-8")


def write_pts_folder(annotations: AnnotationSet, target: Path) -> None:
    """Write one `.pts` an image into a new folder, counted from 1.

    Of an image with several instances each gets its number behind the name: `_0`, `_1`, …
    """
    if not annotations.labelled.all():
        raise FormatError(f"{target}: a .pts file cannot have missing points; use format csv")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is there already and not empty; name a new folder, so that no label is lost")
    instances = annotations.instances
    several = instances.duplicated("image", keep=False)
    keys = zip(instances["image"], instances["instance"], several, strict=True)
    names = [
        PurePosixPath(image).with_name(PurePosixPath(image).stem + (f"_{instance}" if is_several else "") + ".pts")
        for image, instance, is_several in keys
    ]
    if len(set(names)) < len(names):
        raise DataError(f"{target}: two images would get the same .pts file; use format csv")
    if outside := [name for name in names if name.is_absolute() or ".." in name.parts]:
        raise DataError(f"{target}: {outside[0]} leads out of the folder; use format csv")
    with replacing(target) as temporary:
        temporary.mkdir()
        for name, points in zip(names, annotations.points, strict=True):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            write_pts(temporary / name, points, decimals=6)  # a 64th of a pixel is .015625
