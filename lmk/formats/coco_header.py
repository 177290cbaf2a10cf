"""What a COCO file says besides its annotations: images, categories, and who made it.

Of an image its id, name and size are kept, about a hundred bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.errors import FormatError
from lmk.formats.json_walk import elements, parsed
from lmk.formats.source import Source
from lmk.reading import is_text

OURS = "pixel_origin"  # a key of `info` that lmk alone writes
LARGEST_ID = 1 << 63
LARGEST = 1 << 31  # of numbers in it


@dataclass
class Images:
    """All images of a file; those with one name are one."""

    names: NDArray[np.object_]  # by number
    sizes: NDArray[np.float64]  # (N, 2) width and height, NaN where nobody says
    ids: pd.Index[Any]  # of entries of the file
    numbers: NDArray[np.int64]  # of each entry's image
    counts: NDArray[np.int64]  # instances of each image so far

    def number_of(self, ids: list[Any]) -> NDArray[np.int64]:
        """The number of each image by its id, -1 where no image has it."""
        places = self.ids.get_indexer(pd.Index(ids, dtype=self.ids.dtype if len(ids) == 0 else None))
        return np.where(places < 0, -1, self.numbers[places]) if len(self.numbers) else np.full(len(ids), -1)

    def count(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which instance of its image each of these is, in the order of the file."""
        instances = self.counts[numbers] + pd.Series(numbers).groupby(numbers).cumcount().to_numpy()
        np.add.at(self.counts, numbers, 1)
        return instances


@dataclass
class Header:
    """What a file says besides its annotations."""

    file: Path
    images: Images
    categories: list[dict[str, Any]]
    info: dict[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether lmk wrote it."""
        return OURS in self.info


def header_of(source: Source, file: Path) -> Header:
    """Walk through a file for all but its annotations."""
    ids: list[Any] = []
    names: list[str] = []
    sizes: list[tuple[float, float]] = []
    categories: list[dict[str, Any]] = []
    info: dict[str, Any] = {}
    for element in elements(source, file, {"images", "categories", "info"}):
        said = parsed(element, file)
        if element.key == "info":
            info = said if isinstance(said, dict) else {}
            continue
        if not isinstance(said, dict):
            raise FormatError(f"{file}: byte {element.start}: {element.key or 'a list'} has {said!r:.40} in it")
        if element.key == "":
            raise FormatError(f"{file}: a list, as results of COCO are, and not an object with images and annotations")
        if element.key == "categories":
            categories.append(said)
            continue
        identity, name = said.get("id"), said.get("file_name")
        if not is_id(identity) or not (isinstance(name, str) and is_text(name)):
            raise FormatError(f"{file}: byte {element.start}: an image has an id and a file_name, not {said!r:.60}")
        ids.append(identity)
        names.append(name.replace("\\", "/"))
        sizes.append(_size(said))
    index = pd.Index(ids) if ids else pd.Index([], dtype="int64")
    if not index.is_unique:
        raise FormatError(f"{file}: two images have the id {index[index.duplicated()].tolist()[0]!r}; keep one of them")
    numbers, different = pd.factorize(np.array(names, object))
    kept = np.full((len(different), 2), np.nan)
    kept[numbers] = np.array(sizes, np.float64).reshape(-1, 2)
    return Header(
        file,
        Images(different, kept, index, numbers.astype(np.int64), np.zeros(len(different), np.int64)),
        categories,
        info,
    )


def is_id(value: Any) -> bool:
    """Whether a value may be an id: a whole number or text; true is none, though Python counts with it."""
    return (type(value) is int and -LARGEST_ID < value < LARGEST_ID) or (type(value) is str and is_text(value))


def _size(said: dict[str, Any]) -> tuple[float, float]:
    width, height = said.get("width"), said.get("height")
    if type(width) is int and type(height) is int and 0 < width < LARGEST and 0 < height < LARGEST:
        return width, height
    return np.nan, np.nan
