"""Instances that a reader found, gathered until they fill a part."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lmk.errors import ImageError
from lmk.formats.base import Losses, Part
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.names import check_names

NOTHING = "instances without a labelled point"


@dataclass
class Rows:
    """Some instances: their points, and what else is said of each.

    Attributes:
        size: K.
        at_most: points of a part.
    """

    size: int
    at_most: int
    _points: list[Points] = field(default_factory=list)
    _about: dict[str, list[Any]] = field(default_factory=dict)
    _places: list[str] = field(default_factory=list)

    def add(self, points: Points, place: str, **about: Any) -> None:
        """One more: points (K, 2), and image, instance and the like; (K,) where its points differ."""
        self._points.append(points)
        self._places.append(place)
        for name, value in about.items():
            self._about.setdefault(name, []).append(value)

    @property
    def full(self) -> bool:
        """Whether they fill a part."""
        return (len(self._points) + 1) * self.size > self.at_most

    def __bool__(self) -> bool:
        return bool(self._points)

    def part(self) -> Part:
        """All that were gathered; then they are gone."""
        points = np.concatenate(self._points)
        table = {"landmark": np.tile(np.arange(self.size), len(self._points)), "x": points[:, 0], "y": points[:, 1]}
        for name, values in self._about.items():
            if np.ndim(values[0]):
                table[name] = np.concatenate(values)
            else:
                held = np.array(values, dtype=object if isinstance(values[0], str) else None)
                table[name] = held.repeat(self.size)
        places = np.array(self._places, dtype=object).repeat(self.size)
        self._points, self._about, self._places = [], {}, []
        return Part(pd.DataFrame(table), places)


class Counted:
    """How many instances each image has had so far."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next(self, image: str) -> int:
        """The number of the image's next instance."""
        number = self._counts.get(image, 0)
        self._counts[image] = number + 1
        return number


class Sizes:
    """How large images are, each looked at once; unknown where there is no image."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[str, tuple[float, float]] = {}

    def of(self, image: str) -> dict[str, float]:
        """Its width and height."""
        if image not in self._known:
            check_names([image], str(self._source.path))
            try:
                self._known[image] = self._source.image_size(image)
            except ImageError:
                if os.path.lexists(self._source.image_folder / image):
                    raise
                self._known[image] = (np.nan, np.nan)  # the origin that the user names may need none
        width, height = self._known[image]
        return {"width": width, "height": height}


def says_nothing(points: Points, losses: Losses, place: str) -> bool:
    """Whether an instance has no labelled point; it is left out then, and counted."""
    if not np.isnan(points).any(axis=1).all():
        return False
    losses.add(NOTHING, 1, place)
    return True
