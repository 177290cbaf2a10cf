"""COCO keypoints: one JSON file with images, annotations and categories; positions count from 0, at pixels' centres.

A point is x, y, v: 0 not labelled, 1 occluded, 2 visible.  A category names its landmarks and draws a skeleton, whose
points count from 1.  Boxes of the same file count from the image's corner, half a pixel more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.coco_categories import Chosen, chosen_category
from lmk.formats.coco_file import Annotations, Batch
from lmk.formats.coco_header import OURS, Header, header_of
from lmk.formats.coco_write import Category, write_coco
from lmk.formats.json_places import Span, members, rewriting, words
from lmk.formats.json_sniff import outline
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme

ORIGIN: Origin = "centre"
CARRIES = frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.NAMES, Trait.SUBPIXEL})
WHOLE_BODY = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
_SPLIT = re.compile(r"(?<![a-z])(?:(train)|(val|valid|validation)|(test))(?![a-z])")
_TOOLS = ("label studio", "label-studio", "labelstudio", "cvat", "datumaro")


def is_whole_body(path: Path, head: bytes) -> bool:
    """Whether a file seems to have points of hands, face and feet besides those of the body."""
    return "wholebody" in path.name.lower().replace("-", "").replace("_", "") or any(
        word in head for word in (b"COCO-WholeBody", *(f'"{key}"'.encode() for key in WHOLE_BODY))
    )


def looks_like_coco(head: bytes) -> str | None:
    """Why a file looks like COCO's, in words."""
    seen = outline(head)
    if seen is None or seen.is_list:
        return None
    own, inner = seen.at(1), seen.at(3)
    if {"images", "annotations"} <= own:
        return "it is a JSON object with images and annotations"
    if "images" in own and {"file_name", "id"} <= inner:
        return "it is a JSON object whose images have file_name and id"
    if "annotations" in own and {"image_id", "keypoints"} <= inner:
        return "it is a JSON object whose annotations have image_id and keypoints"
    return None


def _sniff(path: Path, head: bytes) -> Guess | None:
    reason = looks_like_coco(head)
    return Guess(0.95, reason) if reason and not is_whole_body(path, head) else None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    losses, notes = Losses(), list[str]()
    header = opened(source)
    chosen = chosen_category(source, header, asked, losses, notes)
    annotations = Annotations(source, header, chosen.ids, {"keypoints": chosen.scheme.size}, losses)
    step = max(1, PART_ROWS // chosen.scheme.size)
    about_positions(header, notes)
    return Reading(parts(annotations, chosen, step, split_of(header.file, notes)), chosen.scheme, losses, notes)


def opened(source: Source) -> Header:
    """What a file says besides its annotations."""
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format coco reads one JSON file, images lie in --images DIR")
    header = header_of(source, source.path)
    if not len(header.images.names):
        raise FormatError(f"{source.path}: no images in it; a COCO file has images, annotations and categories")
    return header


def split_of(file: Path, notes: list[str]) -> str | None:
    """The split that the name of a file says: person_keypoints_val2017.json is of val."""
    found = {kind for match in _SPLIT.finditer(file.stem.lower())
             for kind, text in zip(("train", "val", "test"), match.groups(), strict=True) if text}  # fmt: skip
    if len(found) != 1:
        return None
    split = found.pop()
    notes.append(f"all instances are of split {split}, as the file's name says")
    return split


def about_positions(header: Header, notes: list[str]) -> None:
    """Say where positions may count from another place than COCO's definition says."""
    told = " ".join(str(value) for value in header.info.values() if isinstance(value, str)).lower()
    origin = header.info.get(OURS, "centre")
    if origin != "centre":
        notes.append(f"info says that positions count from {origin!r:.40}; choose that with --origin")
    elif tool := next((name for name in _TOOLS if name in told), None):
        notes.append(
            f"info names {tool}: drawing tools export positions on their canvas, which count from the image's corner, "
            "half a pixel more than COCO's definition; if these do, say --origin corner"
        )


def parts(annotations: Annotations, chosen: Chosen, step: int, split: str | None) -> Iterator[Part]:
    """What is read, part by part."""
    images, size = annotations.header.images, chosen.scheme.size
    order, names = np.argsort(chosen.numbers), pd.array(list(images.names), dtype="str")
    for batch in annotations.batches(step):
        points = batch.points[:, order].reshape(-1, 3)
        columns: dict[str, Any] = {
            "image": names.take(batch.images.repeat(size)),
            "instance": batch.instances.repeat(size),
            "landmark": np.tile(np.arange(size), len(batch.ids)),
            "x": points[:, 0],
            "y": points[:, 1],
            "visibility": points[:, 2].astype(np.uint8),
        }
        sizes = images.sizes[batch.images]
        if not np.isnan(sizes).any():
            columns |= {"width": sizes[:, 0].repeat(size), "height": sizes[:, 1].repeat(size)}
        if split is not None:
            columns["split"] = split
        ids = np.empty(len(batch.ids), object)
        ids[:] = [f"annotation {identity}" for identity in batch.ids]
        yield Part(pd.DataFrame(columns), ids.repeat(size))


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    step = max(1, PART_ROWS // annotations.landmarks)
    return write_coco(annotations, points, target, Category.of(annotations.scheme), step)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    header = opened(source)
    chosen = chosen_category(source, header, changes.scheme, Losses(), [])
    annotations = Annotations(source, header, chosen.ids, {"keypoints": chosen.scheme.size}, Losses())
    rewrite(source, annotations, chosen.numbers, changes, target)


def rewrite(
    source: Source, annotations: Annotations, numbers: NDArray[np.int64], changes: Changes, target: Path
) -> None:
    """Write a file again with new positions of points, whose numbers in the scheme are given in the file's order."""
    images, where, size = annotations.header.images, str(source.path), changes.scheme.size
    with rewriting(source, source.path, target) as copy:
        for batch in annotations.batches(max(1, PART_ROWS // size)):
            # Several instances may be of one annotation, and their keys stand in any order in it.
            new: dict[int, list[float | None]] = {}
            for row, element in enumerate(batch.elements):
                key = (images.names[batch.images[row]], int(batch.instances[row]))
                if key in changes.keys:
                    values = new.setdefault(element.start, [None] * (3 * size * annotations.split))
                    start = 3 * size * int(batch.parts[row])
                    values[start : start + 3 * size] = _new(changes, changes.keys[key], batch, row, numbers, where)
            for element in dict.fromkeys(batch.elements):
                values = new.get(element.start, [])
                if any(value is not None for value in values):
                    copy.numbers(
                        element.start, element.data, _spans(element.data, annotations), values, changes.decimals
                    )
        changes.check_all_seen(where)


def _new(
    changes: Changes, row: int, batch: Batch, at: int, numbers: NDArray[np.int64], where: str
) -> list[float | None]:
    """New numbers of one instance, three a point."""
    new: list[float | None] = []
    for (x, y, _), landmark in zip(batch.points[at].tolist(), numbers.tolist(), strict=True):
        new += [*changes.new(row, landmark, (x, y), where), None]
    return new


def _spans(data: bytes, annotations: Annotations) -> list[Span]:
    """Where the numbers of an annotation's points stand; nowhere those of a list that is not there."""
    places = members(data)
    found: list[Span] = []
    for key, count in annotations.parts.items():
        spans = words(data, places[key]) if key in places else []
        found += spans if len(spans) == 3 * count else [(0, 0)] * (3 * count)
    return found


COCO = Format(
    name="coco",
    origin=ORIGIN,
    carries=CARRIES,
    sized=True,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
