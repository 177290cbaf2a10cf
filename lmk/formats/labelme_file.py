"""One file of LabelMe: what it says of its image, and the points in it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lmk.errors import FormatError
from lmk.formats.base import Losses
from lmk.formats.json_walk import Element, elements, parsed
from lmk.formats.source import Source
from lmk.reading import is_text

_LARGEST = 1e6  # pixels
_KEYS = ("shapes", "imagePath", "imageHeight", "imageWidth")


@dataclass
class Grouped:
    """The points of one group in one file."""

    points: dict[str, tuple[float, float]] = field(default_factory=dict)
    places: dict[str, Element] = field(default_factory=dict)


@dataclass
class Said:
    """What a file says of its image."""

    image: str
    size: tuple[float, float]  # NaN where it does not say
    objects: list[Grouped]
    elsewhere: bool  # whether its image's path leads out of the folder, and the file beside it is meant


def opened(source: Source, file: Path, losses: Losses) -> Said | None:
    """What a file says; None where it is no file of LabelMe."""
    said: dict[str, Any] = {}
    groups: dict[Any, Grouped] = {}
    for element in elements(source, file, _KEYS):
        value = parsed(element, file)
        if element.key != "shapes":
            said[element.key] = value
        elif isinstance(value, dict):
            _add(groups, value, element, file, losses)
        else:
            raise FormatError(f"{file}: a shape is {value!r:.40}")
    if "imagePath" not in said:
        return None
    path = said["imagePath"]
    if not isinstance(path, str) or not is_text(path) or not path:
        raise FormatError(f"{file}: imagePath is {path!r:.40}; it is the name of the image, relative to this file")
    beside = posixpath.dirname(source.name(file))
    path = path.replace("\\", "/")
    image = posixpath.normpath(posixpath.join(beside, path))
    elsewhere = path[1:2] == ":" or image.startswith(("../", "/"))  # of a drive, above the folder, or absolute
    if elsewhere:
        image = posixpath.join(beside, posixpath.basename(image))
    width, height = said.get("imageWidth"), said.get("imageHeight")
    size = (np.nan, np.nan)
    if type(width) is int and type(height) is int and 0 < width < 1 << 31 and 0 < height < 1 << 31:
        size = width, height
    return Said(image, size, list(groups.values()), elsewhere)


def _add(groups: dict[Any, Grouped], shape: dict[str, Any], element: Element, file: Path, losses: Losses) -> None:
    """Put a shape's point to its group."""
    kind, label, group = shape.get("shape_type"), shape.get("label"), shape.get("group_id")
    if kind != "point":
        losses.add(f"shapes of type {kind!r:.40}", 1, str(file))
        return
    if not isinstance(label, str) or not label or not is_text(label):
        raise FormatError(f"{file}: a point has the label {label!r:.40}; it names a landmark")
    if type(group) not in (int, str, type(None)):
        raise FormatError(f"{file}: point {label!r:.40} has the group_id {group!r:.40}, no whole number")
    one = groups.setdefault(group, Grouped())
    if label in one.points:
        raise FormatError(
            f"{file}: label {label!r:.60} is there twice in group {group}; give the points of each object "
            "a group_id of their own"
        )
    points = shape.get("points")
    position = points[0] if isinstance(points, list) and len(points) == 1 else None
    if not isinstance(position, list) or len(position) != 2 or not all(map(_is_position, position)):
        raise FormatError(f"{file}: point {label!r:.40} is at {points!r:.60}, which is no [[x, y]]")
    one.points[label] = position[0], position[1]
    one.places[label] = element
    flags = shape.get("flags")
    if isinstance(flags, dict) and any(flags.values()):
        losses.add("flags of points", 1, f"{file} {label!r:.40}")


def _is_position(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST  # NaN is not less than anything
