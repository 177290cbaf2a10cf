"""The annotations of a COCO file with keypoints, some at a time.

The file is walked through twice, because images and categories may stand behind the annotations: once for them, once
for the annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.errors import FormatError
from lmk.formats.base import Losses
from lmk.formats.coco_header import LARGEST, Header, is_id
from lmk.formats.json_numbers import cut, numbers_of, pattern_of
from lmk.formats.json_walk import Element, elements, parsed
from lmk.formats.source import Source
from lmk.reading import parse_json

_NEITHER = {"id", "image_id", "category_id", "num_keypoints", "iscrowd", "area", "bbox"}  # is lost
_Numbers = list[
    bytes | list[Any]
]  # of one annotation, for each key: text with commas, or what JSON's parser made of it
Reader = Mapping[str, int]  # keys of an annotation that hold points, in order, and how many


@dataclass
class Batch:
    """Some annotations with keypoints, in the order of the file."""

    elements: list[Element]
    ids: list[Any]
    images: NDArray[np.int64]  # numbers
    instances: NDArray[np.int64]
    parts: NDArray[np.int64]  # which part of its annotation each is, where these are split
    points: NDArray[np.float64]  # (n, K, 3) x, y, v as in the file; NaN and 0 where a point is missing


@dataclass
class Annotations:
    """The annotations of a file that are read.

    Attributes:
        source: of the file.
        header: of the file.
        categories: ids of those that are read; None for all.
        parts: keys that hold points, and how many each, one behind the other.
        losses: what does not come through is added.
        split: how many instances these are: two hands of one person.
    """

    source: Source
    header: Header
    categories: set[Any] | None
    parts: Reader
    losses: Losses
    split: int = 1
    extra: dict[str, tuple[int, str]] = field(default_factory=dict)

    def batches(self, step: int) -> Iterator[Batch]:
        """All of them, so many at a time."""
        kept: list[Element] = []
        said: list[dict[str, Any]] = []
        numbers: list[_Numbers] = []
        patterns = {key: pattern_of(key) for key in self.parts}
        for element in elements(self.source, self.header.file, {"annotations"}):
            data, texts = element.data, dict[str, bytes]()
            for key, pattern in patterns.items():
                data, text = cut(data, pattern)
                if text is not None:
                    texts[key] = text
            annotation = parsed(element._replace(data=data), self.header.file)
            if texts and not (isinstance(annotation, dict) and all(annotation.get(key) == [] for key in texts)):
                annotation, texts = parsed(element, self.header.file), {}  # they stand somewhere else
            points = self._points(annotation, texts, element)
            if points is None:
                continue
            kept.append(element)
            said.append(annotation)
            numbers.append(points)
            if len(kept) == step:
                yield from self._batch(kept, said, numbers)
                kept, said, numbers = [], [], []
        if kept:
            yield from self._batch(kept, said, numbers)
        for kind, (count, example) in self.extra.items():
            self.losses.add(kind, count, example)
        if (alone := self.header.images.counts == 0).any():
            name = self.header.images.names[int(np.argmax(alone))]
            self.losses.add("images without labels", int(alone.sum()), str(name))

    def _points(self, annotation: Any, texts: dict[str, bytes], element: Element) -> _Numbers | None:
        """The numbers of one annotation; None where it is not read.  Texts of numbers have been cut out of it."""
        if not isinstance(annotation, dict):
            raise FormatError(f"{self.header.file}: byte {element.start}: an annotation is {annotation!r:.40}")
        if self.categories is not None and not (
            is_id(category := annotation.get("category_id")) and category in self.categories
        ):
            self._lost("annotations of other categories", annotation)
            return None
        if annotation.get("iscrowd"):
            self._lost("crowds", annotation)
            return None
        found: _Numbers = []
        for key, count in self.parts.items():
            points: Any = texts.get(key) or annotation.get(key)
            if points and annotation.get(key.replace("_kpts", "_valid")) is False:
                self._lost(f"{key} that are said not to be valid", annotation)
                points = None
            if not points:
                found.append(b",".join([b"0"] * (3 * count)))
                continue
            if not isinstance(points, list | bytes):
                raise FormatError(f"{self.at(annotation)}: {key} is a list of numbers, not {points!r:.40}")
            there = len(points) if isinstance(points, list) else points.count(b",") + 1
            if there != 3 * count:
                raise FormatError(
                    f"{self.at(annotation)}: {key} has {there} numbers, expected {3 * count}: x, y, visibility of "
                    f"{count} points"
                )
            found.append(points)
        if not texts and not any(annotation.get(key) for key in self.parts):
            self._lost("annotations without keypoints", annotation)
            return None
        if not is_id(annotation.get("image_id")):
            raise FormatError(f"{self.at(annotation)}: no image_id")
        for key, value in annotation.items():
            if value and key not in _NEITHER and key not in self.parts and not key.endswith("_valid"):
                self._lost(f"{key!r:.40} of annotations", annotation)
        if annotation.get("bbox") and not self.header.is_ours:
            self._lost("boxes", annotation)
        return found

    def _lost(self, kind: str, annotation: dict[str, Any], count: int = 1) -> None:
        before, example = self.extra.get(kind, (0, ""))
        self.extra[kind] = before + count, example or f"annotation {annotation.get('id')!r:.40}"

    def at(self, annotation: dict[str, Any]) -> str:
        """An annotation, for messages."""
        return f"{self.header.file}: annotation {annotation.get('id')!r:.40}"

    def _batch(self, kept: list[Element], said: list[dict[str, Any]], numbers: list[_Numbers]) -> Iterator[Batch]:
        points = self._array(said, numbers)
        images = self.header.images.number_of([annotation["image_id"] for annotation in said])
        for row in np.flatnonzero(images < 0).tolist():
            self._lost("annotations of images that are not listed", said[row])
        if self.split > 1:
            points = points.reshape(len(points) * self.split, -1, 3)
            kept = [each for each in kept for _ in range(self.split)]
            said = [each for each in said for _ in range(self.split)]
            images = images.repeat(self.split)
        there = points[..., 2] > 0
        keep = images >= 0
        if not self.header.is_ours or self.split > 1:
            for row in np.flatnonzero(keep & ~there.any(1)).tolist():
                self._lost("annotations without labelled points", said[row])
            keep &= there.any(1)
        placed = keep[:, None] & ~there & (points[..., :2] != 0).any(-1)
        if placed.any():
            first = said[int(np.argmax(placed.any(1)))]
            self._lost("positions of points that are said not to be labelled", first, int(placed.sum()))
        scores = keep[:, None] & ~np.isin(points[..., 2], (0, 1, 2))
        if scores.any():
            first = said[int(np.argmax(scores.any(1)))]
            self._lost("numbers other than 0, 1 and 2 as visibility", first, int(scores.sum()))
            points[scores, 2] = 2
        points[~there] = np.nan, np.nan, 0
        rows = np.flatnonzero(keep)
        if not keep.all():
            kept, said, points = [kept[row] for row in rows], [said[row] for row in rows], points[rows]
            images = images[rows]
        if kept:
            ids = [annotation.get("id") for annotation in said]
            yield Batch(kept, ids, images, self.header.images.count(images), rows % self.split, points)

    def _array(self, said: list[dict[str, Any]], numbers: list[_Numbers]) -> NDArray[np.float64]:
        """(n, K, 3) the numbers; refuses what is none."""
        flat = [part for row in numbers for part in row]
        size = 3 * sum(self.parts.values())
        plain = [part for part in flat if isinstance(part, bytes)]
        array = numbers_of(b",".join(plain)) if len(plain) == len(flat) else None
        if array is None or len(array) != size * len(said) or not self._are_good(array):
            rows = [self._checked(annotation, row) for annotation, row in zip(said, numbers, strict=True)]
            array = np.array(rows, np.float64)
        return array.reshape(len(said), -1, 3).copy()

    @staticmethod
    def _are_good(array: NDArray[np.float64]) -> bool:
        # NaN is neither less nor more than anything.
        return bool((np.abs(array) < LARGEST).all() and (array[2::3] >= 0).all())

    def _checked(self, annotation: dict[str, Any], row: _Numbers) -> list[float]:
        """The numbers of one annotation by the parser of JSON, one by one."""
        values: list[Any] = []
        for part in row:
            where = f"{self.at(annotation)}: its keypoints"
            values += parse_json(b"[" + part + b"]", where) if isinstance(part, bytes) else part
        self._check_numbers(annotation, values)
        return values

    def _check_numbers(self, annotation: dict[str, Any], row: list[Any]) -> None:
        for place, value in enumerate(row):
            is_number = type(value) in (int, float) and abs(value) < LARGEST  # NaN is not less than anything
            if not is_number or (place % 3 == 2 and value < 0):
                raise FormatError(
                    f"{self.at(annotation)}: point {place // 3} of its keypoints has {value!r:.40}; a missing point is "
                    "0, 0, 0"
                )
