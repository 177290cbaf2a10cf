"""`annotators.csv` beside labels that cannot name their annotator: a line an image, `image,annotator`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import DataError, FormatError
from lmk.formats.source import Source
from lmk.images import SUFFIXES
from lmk.limits import LIST_BYTES

ANNOTATORS = "annotators.csv"


def read_annotators(source: Source) -> dict[str, str | None] | None:
    """Annotator by image; by its name without an ending as well, for labels without images."""
    path = source.path / ANNOTATORS
    if not os.path.lexists(path):
        return None
    source.check(path)
    try:
        rows = [row for row in csv.reader(io.StringIO(source.text(path, LIST_BYTES), newline="")) if row]
    except csv.Error as cause:
        raise FormatError(f"{path}: not a CSV file with the header image,annotator") from cause
    if not rows or rows[0] != ["image", "annotator"]:
        found = ",".join(rows[0]) if rows else "nothing"
        raise FormatError(f"{path}: the header must be image,annotator, not {found:.60}")
    if bad := [row for row in rows if len(row) != 2]:
        raise FormatError(f"{path}: want an image and its annotator, not {','.join(bad[0])!r:.60}")
    listed = {image: annotator or None for image, annotator in rows[1:]}
    return {stem(image): annotator for image, annotator in listed.items()} | listed


def annotators_of(images: list[str], who: dict[str, str | None], source: Source) -> NDArray[np.object_]:
    """(N,) the annotator of each image; every image has to be listed."""
    if unknown := [image for image in images if image not in who]:
        raise DataError(f"{source.path / ANNOTATORS}: no line for {unknown[0]}; list every image, or remove the file")
    return np.array([who[image] for image in images], dtype=object)


def write_annotators(path: Path, images: list[str], annotators: pd.Series[str]) -> None:
    """Write the list."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "annotator"))
        writer.writerows(zip(images, annotators.fillna(""), strict=True))


def stem(image: str) -> str:
    """An image's name without its ending; of labels alone, images have none."""
    path = PurePosixPath(image)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else image
