"""`.pts` files of iBUG and menpo: one file an image, beside it, counting pixels from 1.

A folder is read with all that is below it.  Where it divides into folders called train, val or test, those
are the splits.
An `annotators.csv` in it, `image,annotator`, says who labelled what.
"""

from __future__ import annotations

import os
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
    try:
        text = path.read_text(encoding="utf-8")
        header, body = text.split("{")
        inside, _ = body.split("}")
        declared = int(header.split("n_points:")[1].split()[0])
        points = np.array(inside.split(), np.float64).reshape(-1, 2)
    except (ValueError, IndexError) as cause:
        raise FormatError(
            f"{path}: not a whole .pts file ({cause}); expected `n_points: K`, then K lines `x y` between braces"
        ) from cause
    if len(points) != declared:
        raise FormatError(f"{path}: header declares {declared} points, body has {len(points)}")
    if not np.isfinite(points).all():
        line = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise FormatError(
            f"{path}: point {line} is not a number; a .pts file cannot have missing points, use format csv"
        )
    return points - 1


def read_pts_folder(source: Path, scheme: LandmarkScheme, with_images: bool) -> pd.DataFrame:
    """Read every `.pts` below a folder; the image has the same name with an image's ending."""
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; format pts reads a folder of images with .pts files beside them")
    files = sorted(source.rglob("*.pts"), key=lambda path: path.relative_to(source).as_posix())
    if not files:
        raise DataError(
            f"{source}: no .pts files in it; format pts reads a folder of images with .pts files beside them"
        )
    shared = Path(os.path.commonpath([file.parent for file in files]))
    top = shared.parent if shared.name in SPLITS and shared != source else shared
    has_splits = {file.relative_to(top).parts[0] for file in files} <= set(SPLITS)
    rows, images, splits = [], [], []
    for file in files:
        points = read_pts(file)
        if len(points) != scheme.size:
            raise SchemeError(f"{file}: {len(points)} points, but scheme {scheme.name} has {scheme.size}")
        rows.append(points)
        images.append(_image_beside(file, with_images).relative_to(source).as_posix())
        splits.append(file.relative_to(top).parts[0] if has_splits else "train")
    flat = np.concatenate(rows)
    count = scheme.size
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array(images, dtype=object), count),
            "instance": 0,
            "landmark": np.tile(np.arange(count), len(images)),
            "x": flat[:, 0],
            "y": flat[:, 1],
            "split": np.repeat(np.array(splits, dtype=object), count),
        }
    )
    if (source / ANNOTATORS).is_file():
        table["annotator"] = table["image"].map(_read_annotators(source / ANNOTATORS))
    return table


def _read_annotators(path: Path) -> dict[str, str]:
    listed = pd.read_csv(path, dtype=str)
    if list(listed) != ["image", "annotator"]:
        raise FormatError(f"{path}: the header must be image,annotator, not {','.join(map(str, listed.columns))}")
    return dict(zip(listed["image"], listed["annotator"], strict=True))


def _image_beside(file: Path, required: bool) -> Path:
    there = [
        candidate
        for suffix in SUFFIXES
        for candidate in dict.fromkeys((file.with_suffix(suffix), file.with_suffix(suffix.upper())))
        if candidate.is_file()
    ]
    if len(there) > 1:
        raise DataError(f"{file}: two images have its name, {there[0].name} and {there[1].name}; keep one of them")
    if not there and required:
        raise ImageError(f"{file}: no image beside it; expected {file.stem} with one of {' '.join(SUFFIXES)}")
    return there[0] if there else file.with_suffix("")


def write_pts(path: Path, points: NDArray[np.float64], decimals: int) -> None:
    """Write points (K, 2), counted from 0, as one `.pts` file, which counts from 1."""
    lines = [f"{x:.{decimals}f} {y:.{decimals}f}" for x, y in points + 1]
    text = "\n".join(["version: 1", f"n_points: {len(points)}", "{", *lines, "}"]) + "\n"
    path.write_text(text, encoding="utf-8")


def write_pts_folder(annotations: AnnotationSet, target: Path) -> None:
    """Write one `.pts` an image, counted from 1; images with several instances get `_1`, `_2`, … behind their name."""
    if not annotations.labelled.all():
        raise FormatError(f"{target}: a .pts file cannot have missing points; use format csv")
    instances = annotations.instances
    several = instances.duplicated("image", keep=False)
    places = zip(instances["image"], instances["instance"], several, annotations.points, strict=True)
    for image, instance, is_several, points in places:
        name = PurePosixPath(image).with_suffix("")
        if is_several:
            name = name.with_name(f"{name.name}_{instance}")
        with replacing(target / f"{name}.pts") as temporary:
            write_pts(temporary, points, decimals=6)  # a 64th of a pixel is .015625
