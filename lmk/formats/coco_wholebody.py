"""COCO-WholeBody: COCO's file with points of feet, face and hands beside the 17 of the body, 133 in all.

A scheme asks for a part: by its size 17 (body), 6 (feet), 23 (both), 68 (face) or 21 (hands, an instance each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.errors import FormatError, SchemeError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Reading
from lmk.formats.changes import Changes
from lmk.formats.coco import (
    CARRIES,
    ORIGIN,
    about_positions,
    is_whole_body,
    looks_like_coco,
    opened,
    parts,
    rewrite,
    split_of,
)
from lmk.formats.coco_categories import Chosen
from lmk.formats.coco_file import Annotations
from lmk.formats.coco_write import Category, write_coco
from lmk.formats.landmarks import numbers as numbers_of
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.scheme import LandmarkScheme, load_scheme

_ALL = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
_OF_SIZE = {
    133: tuple(_ALL),
    68: ("face_kpts",),
    23: ("keypoints", "foot_kpts"),
    21: ("lefthand_kpts", "righthand_kpts"),
    17: ("keypoints",),
    6: ("foot_kpts",),
}
_HAND = 21
_SIZES = "133 points, or 17 of the body, 6 of the feet, 23 of both, 68 of the face, 21 of a hand"


@dataclass(frozen=True)
class _Asked:
    """What is read of each annotation."""

    scheme: LandmarkScheme
    parts: dict[str, int]
    split: int
    numbers: NDArray[np.int64]  # in the scheme, of each point in the order of the file


def _asked(scheme: LandmarkScheme | None, where: str) -> _Asked:
    scheme = scheme or load_scheme("wholebody133")
    if scheme.size not in _OF_SIZE:
        raise SchemeError(f"{where}: format coco-wholebody has {_SIZES}; scheme {scheme.name} has {scheme.size}")
    keys = {key: _ALL[key] for key in _OF_SIZE[scheme.size]}
    own = load_scheme({133: "wholebody133", 17: "coco17", _HAND: "hand21"}.get(scheme.size, "wholebody133"))
    same = set(own.names) == set(scheme.names)
    order = numbers_of(own.names, scheme) if same else np.arange(scheme.size)
    return _Asked(scheme, keys, 2 if scheme.size == _HAND else 1, order)


def _sniff(path: Path, head: bytes) -> Guess | None:
    if looks_like_coco(head) is None or not is_whole_body(path, head):
        return None
    return Guess(0.95, "it looks like COCO, with points of feet, face or hands, or the name of COCO-WholeBody")


def _read(source: Source, scheme: LandmarkScheme | None, with_images: bool) -> Reading:
    losses, notes = Losses(), list[str]()
    header, asked = opened(source), _asked(scheme, str(source.path))
    if asked.split > 1:
        notes.append("the left and the right hand of a person are two instances, in this order")
    annotations = Annotations(source, header, None, asked.parts, losses, asked.split)
    about_positions(header, notes)
    chosen = Chosen(None, asked.scheme, asked.numbers)
    step = max(1, PART_ROWS // asked.scheme.size // asked.split)
    return Reading(parts(annotations, chosen, step, split_of(header.file, notes)), asked.scheme, losses, notes)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    scheme = annotations.scheme
    if scheme.size == _HAND:
        raise FormatError(f"{target}: format coco-wholebody says which hand it is, a set does not; use format coco")
    asked = _asked(scheme, str(target))
    # Tools expect all five lists: those of other parts are missing points.
    places, start = {}, 0
    for key, count in _ALL.items():
        places[key] = slice(start, start + count)
        start += count
    mine = np.concatenate([np.arange(start)[places[key]] for key in asked.parts])
    spread = np.full((len(points), start, 2), np.nan)
    spread[:, mine] = points[:, asked.numbers]
    seen = np.zeros((len(points), start), np.int64)
    seen[:, mine] = annotations.column("visibility")[:, asked.numbers]
    names = load_scheme("coco17").names
    about = Category("person", names, [], places, "COCO-WholeBody, written by lmk")
    return write_coco(annotations, spread, target, about, max(1, PART_ROWS // start), seen)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    header, asked = opened(source), _asked(changes.scheme, str(source.path))
    annotations = Annotations(source, header, None, asked.parts, Losses(), asked.split)
    rewrite(source, annotations, asked.numbers, changes, target)


COCO_WHOLEBODY = Format(
    name="coco-wholebody",
    origin=ORIGIN,
    carries=CARRIES,
    sized=True,
    sizes=frozenset(_OF_SIZE) - {_HAND},
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
