"""SPIGA's lists of faces: one JSON file a database and split, with an id for each landmark.

Ids are those of its authors' framework: 68 or 98 points in the usual order, numbered from 101 or 100, where landmarks
that AFLW has, too, have their number there.  A landmark whose id is absent is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.base import PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.coco import split_of
from lmk.formats.json_sniff import outline
from lmk.formats.json_walk import elements, parsed
from lmk.formats.landmarks import chosen
from lmk.formats.source import Source
from lmk.reading import is_text
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme, load_scheme

ORIGIN: Origin = "centre"
_LARGEST = 1e6  # pixels
_KEYS = {"imgpath", "landmarks", "ids"}
_FROM_ONE = "cofw68"  # the database whose positions are those of a MATLAB file
# Landmarks with a number of AFLW, by their place among the 68 and among the 98.
_OF_68 = {8: 24, 17: 1, 19: 2, 21: 3, 22: 4, 24: 5, 26: 6, 30: 17, 31: 16, 35: 18, 36: 7, 39: 8, 42: 11, 45: 12,
          48: 20, 51: 22, 54: 21, 57: 23}  # fmt: skip
_OF_98 = {16: 24, 33: 1, 35: 2, 37: 3, 42: 4, 44: 5, 46: 6, 54: 17, 55: 16, 59: 18, 60: 7, 62: 9, 64: 8, 66: 10,
          68: 11, 70: 13, 72: 12, 74: 14, 76: 20, 79: 22, 82: 21, 85: 23}  # fmt: skip
IDS = {
    68: [_OF_68.get(place, 101 + place) for place in range(68)],
    98: [_OF_98.get(place, 100 + place) for place in range(98)],
}


def _sniff(path: Path, head: bytes) -> Guess | None:
    seen = outline(head)
    if seen is None or not seen.is_list or not {"imgpath", "landmarks"} <= seen.at(2):
        return None
    return Guess(0.95, "it is a JSON list of faces with imgpath and landmarks, as SPIGA has it")


def _entries(source: Source) -> Iterator[tuple[dict[str, Any], str]]:
    """All faces, and what they are called in messages."""
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format spiga reads one JSON file, images lie in --images DIR")
    for number, element in enumerate(elements(source, source.path, ())):
        face = parsed(element, source.path)
        where = f"{source.path}: face {number}"
        if not isinstance(face, dict) or not face.keys() >= _KEYS:
            raise FormatError(f"{where}: has no {', '.join(sorted(_KEYS))}")
        ids, landmarks = face["ids"], face["landmarks"]
        if not isinstance(ids, list) or not isinstance(landmarks, list) or len(ids) != len(landmarks):
            raise FormatError(f"{where}: ids and landmarks are two lists of one length")
        if not all(type(identity) is int for identity in ids) or len(set(ids)) < len(ids):
            raise FormatError(f"{where}: ids are different whole numbers")
        if not isinstance(face["imgpath"], str) or not is_text(face["imgpath"]):
            raise FormatError(f"{where}: imgpath is {face['imgpath']!r:.40}, and no name")
        yield face, where


def _scheme_of(asked: LandmarkScheme | None, source: Source) -> tuple[LandmarkScheme, dict[int, int]]:
    """The scheme, and the number in it of each id."""
    together: dict[int, None] = {}
    most: list[int] = []
    for face, _ in _entries(source):
        together.update(dict.fromkeys(face["ids"]))
        most = face["ids"] if len(face["ids"]) > len(most) else most
    fitting = [size for size, ids in IDS.items() if together and together.keys() <= set(ids)]
    if asked is not None:
        fitting = [size for size in fitting if size == asked.size]
    elif len(fitting) > 1:
        raise SchemeError(f"{source.path}: its landmarks are among 68 and among 98; say with --scheme which they are")
    if fitting:
        scheme = asked or load_scheme({68: "ibug68", 98: "wflw98"}[fitting[0]])
        return scheme, {identity: number for number, identity in enumerate(IDS[fitting[0]])}
    if len(most) != len(together):
        raise SchemeError(f"{source.path}: faces have different ids, and not those of 68 or 98 landmarks")
    return chosen(asked, len(most), str(source.path)), {identity: number for number, identity in enumerate(most)}


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    losses, notes = Losses(), list[str]()
    scheme, numbers = _scheme_of(asked, source)
    if _FROM_ONE in str(source.path.resolve()).lower():
        notes.append(f"positions of {_FROM_ONE} count from 1, as in its authors' MATLAB file; say --origin one")
    split = split_of(source.path, notes)
    return Reading(_parts(source, scheme, numbers, split, losses), scheme, losses, notes)


def _parts(
    source: Source, scheme: LandmarkScheme, numbers: dict[int, int], split: str | None, losses: Losses
) -> Iterator[Part]:
    counts: Counter[str] = Counter()
    step = max(1, PART_ROWS // scheme.size)
    held: list[tuple[str, int, str]] = []
    points = np.full((step, scheme.size, 3), np.nan)
    for face, where in _entries(source):
        image = face["imgpath"].replace("\\", "/")
        for key, what in (("bbox", "boxes"), ("headpose", "head poses")):
            if face.get(key) is not None:
                losses.add(what, 1, where.rpartition(": ")[2])
        order = [numbers[identity] for identity in face["ids"]]
        points[len(held)] = np.nan
        points[len(held), order] = _numbers(face, where)
        held.append((image, counts[image], where.rpartition(": ")[2]))
        counts[image] += 1
        if len(held) == step:
            yield _part(held, points, split)
            held = []
    if held:
        yield _part(held, points[: len(held)], split)


def _numbers(face: dict[str, Any], where: str) -> list[tuple[float, float, int]]:
    """x, y and visibility of each landmark of a face."""
    visible = face.get("visible")
    if visible is None:
        visible = [1] * len(face["ids"])
    if not isinstance(visible, list) or len(visible) != len(face["ids"]):
        raise FormatError(f"{where}: visible is a list with a number for each landmark")
    found = []
    for point, seen in zip(face["landmarks"], visible, strict=True):
        if not isinstance(point, list) or len(point) != 2 or seen not in (0, 1) or isinstance(seen, list | dict):
            raise FormatError(f"{where}: a landmark is [x, y] with visible 0 or 1, not {point!r:.60} with {seen!r:.40}")
        if not all(type(value) in (int, float) and abs(value) < _LARGEST for value in point):  # NaN is not less
            raise FormatError(f"{where}: a landmark is at {point!r:.60}; leave the id of a missing one out")
        found.append((point[0], point[1], 2 if seen else 1))
    return found


def _part(held: list[tuple[str, int, str]], points: np.ndarray[Any, np.dtype[np.float64]], split: str | None) -> Part:
    size = points.shape[1]
    flat = points.reshape(-1, 3)
    table = pd.DataFrame(
        {
            "image": np.array([image for image, _, _ in held], object).repeat(size),
            "instance": np.repeat([instance for _, instance, _ in held], size),
            "landmark": np.tile(np.arange(size), len(held)),
            "x": flat[:, 0],
            "y": flat[:, 1],
            "visibility": np.nan_to_num(flat[:, 2]).astype(np.uint8),
        }
    )
    places = np.array([place for _, _, place in held], object).repeat(size)
    return Part(table if split is None else table.assign(split=split), places)


SPIGA = Format(
    name="spiga",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
)
