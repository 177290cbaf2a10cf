"""CVAT for images 1.1: one XML file; positions count from the corner of the canvas.

An object is a skeleton, some single points that `group_id` joins, or all points in one list.  A point that is `outside`
is missing: the position that CVAT keeps for it is not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import SPLITS
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.cvat_images import Image, Object, images_of
from lmk.formats.cvat_layout import Kind, Layout, layout_of
from lmk.formats.cvat_write import write
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.formats.xml_places import NUMBER, Edit, Tags, rewritten, root_of
from lmk.names import Folder
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme

ORIGIN: Origin = "corner"
_PAIR = re.compile(f"{NUMBER},{NUMBER}")
_PAIRS = re.compile(f"(?:{NUMBER},{NUMBER};)*+")
_WORD = re.compile(rb"[^\s,;]+")
_AS_SPLIT = {**{split: split for split in SPLITS}, "training": "train", "validation": "val", "testing": "test"}
_IMAGES = "images/"  # where CVAT puts the pictures beside its file, in folders by subset or without


_Some = tuple[Image, int, list[Object]]  # an image, and some of its objects, which are numbered from there


def _sniff(path: Path, head: bytes) -> Guess | None:
    return Guess(1.0, "it is XML with CVAT's tag annotations around it") if root_of(head) == "annotations" else None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    notes: list[str] = []
    layout = _layout(source, asked, notes)
    if layout.kind != "skeletons":
        notes.append(f"objects are {layout.kind}{_joined(layout.kind)}")
    losses = Losses()
    return Reading(_parts(source, layout, losses, notes), layout.scheme, losses, notes)


def _joined(kind: Kind) -> str:
    return ", joined by their group_id, and those of an image without one are one object" * (kind == "single points")


def _layout(source: Source, asked: LandmarkScheme | None, notes: list[str]) -> Layout:
    if not source.path.is_file():
        raise DataError(
            f"{source.path}: no such file; format cvat reads one .xml file, as 'CVAT for images 1.1' has it"
        )
    return layout_of(source, asked, notes)


def _parts(source: Source, layout: Layout, losses: Losses, notes: list[str]) -> Iterator[Part]:
    held: list[_Some] = []
    objects, size = 0, layout.scheme.size
    folder = _PictureFolder(source, notes)
    for image in images_of(source, layout, losses):
        if not image.objects:
            losses.add("images without landmarks", 1, image.name)
            continue
        image.name = folder.named(image)
        limit = max(1, PART_ROWS // size)
        for start in range(0, len(image.objects), limit):
            some = image.objects[start : start + limit]
            if held and (objects + len(some)) * size > PART_ROWS:
                yield _part(held, layout, source, losses)
                held, objects = [], 0
            held.append((image, start, some))
            objects += len(some)
    if held:
        yield _part(held, layout, source, losses)


def _part(held: list[_Some], layout: Layout, source: Source, losses: Losses) -> Part:
    objects = [each for _, _, some in held for each in some]
    count, size = len(objects), layout.scheme.size
    rows = np.repeat(np.arange(count), [len(each) for each in objects])
    numbers, texts, seen, _, _ = zip(*(dot for each in objects for dot in each), strict=True)
    landmarks = np.array(numbers, np.int64)
    if len(twice := np.flatnonzero(np.bincount(rows * size + landmarks) > 1)):
        row, landmark = divmod(int(twice[0]), size)
        name = next(image.name for image, _, some in held if any(each is objects[row] for each in some))
        raise FormatError(
            f"{source.path}: image {name}: point {layout.scheme.names[landmark]!r:.60} of a {layout.label!r:.60} is "
            "there twice"
        )
    points = np.full((count, size, 2), np.nan)
    visibility = np.zeros((count, size), np.int64)
    points[rows, landmarks] = _numbers(texts, source.path)
    visibility[rows, landmarks] = seen
    points[visibility == 0] = np.nan
    many = [len(some) for _, _, some in held]
    splits = [_split(image, layout, losses) for image, _, _ in held]
    about: dict[str, Any] = {
        "image": np.repeat(np.array([image.name for image, _, _ in held], object), many),
        "instance": np.concatenate([start + np.arange(len(some)) for _, start, some in held]),
        "split": np.repeat(np.array(splits, object), many),
    }
    sizes = np.repeat(np.array([image.size for image, _, _ in held], np.float64), many, axis=0)
    if not np.isnan(sizes).any():
        about |= {"width": sizes[:, 0].astype(np.int64), "height": sizes[:, 1].astype(np.int64)}
    table = pd.DataFrame({name: np.repeat(values, size) for name, values in about.items()})
    table["landmark"] = np.tile(np.arange(size), count)
    table["x"], table["y"] = points.reshape(-1, 2).T
    table["visibility"] = visibility.reshape(-1)
    return Part(table)


def _numbers(texts: Sequence[str], path: Path) -> Points:
    """(n, 2) the positions that texts are."""
    joined = ";".join([*texts, ""])
    if _PAIRS.fullmatch(joined) is None or joined.count(";") != len(texts):
        bad = next(text for text in texts if _PAIR.fullmatch(text) is None)
        raise FormatError(f"{path}: a position is x,y and not {bad!r:.60}")
    found = np.array(list(map(float, joined.replace(";", ",").split(",")[:-1])), np.float64).reshape(-1, 2)
    if not np.isfinite(found).all():
        bad = texts[int(np.argmin(np.isfinite(found).all(axis=1)))]
        raise FormatError(f"{path}: a position is x,y and not {bad!r:.60}")
    return found


def _split(image: Image, layout: Layout, losses: Losses) -> str:
    subset = image.subset or layout.subset
    if subset.lower() in _AS_SPLIT:
        return _AS_SPLIT[subset.lower()]
    if subset and subset.lower() != "default":
        losses.add(Trait.SPLIT, 1, f"{image.name} is in subset {subset!r:.60}, which is none of {', '.join(SPLITS)}")
    return "train"


class _PictureFolder:
    """CVAT's export has pictures in `images/`, by subset in a project; names in its file do not say so."""

    def __init__(self, source: Source, notes: list[str]):
        self._root, self._notes = Folder(source.path, source.links, source.images).root.path, notes
        self._before: dict[str, str] = {}  # by subset

    def named(self, image: Image) -> str:
        """The name of an image from the dataset's folder."""
        if image.subset not in self._before:
            self._before[image.subset] = before = self._found(image)
            if before:
                self._notes.append(f"pictures are in {before}, as CVAT exports them")
        return self._before[image.subset] + image.name

    def _found(self, image: Image) -> str:
        for before in ("", f"{_IMAGES}{image.subset}/", _IMAGES):
            try:
                if (self._root / f"{before}{image.name}").is_file():
                    return before
            except (OSError, ValueError):
                return ""
        return ""


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    layout = _layout(source, changes.scheme, [])
    with source.open_bytes(source.path) as stream:
        rewritten(source, _edits(source, Tags(stream, source.path), layout, changes), target)


def _edits(source: Source, tags: Tags, layout: Layout, changes: Changes) -> Iterator[Edit]:
    for image in images_of(source, layout, Losses()):
        edits: list[Edit] = []
        for number, found in enumerate(image.objects):
            row = _row(image, number, changes)
            if row is not None:
                edits += _moved(found, row, tags, changes, source.path)
        yield from sorted(edits)  # groups of single points may be mixed
    changes.check_all_seen(str(source.path))


def _row(image: Image, number: int, changes: Changes) -> int | None:
    for before in ("", f"{_IMAGES}{image.subset}/", _IMAGES):
        if (row := changes.keys.get((f"{before}{image.name}", number))) is not None:
            return row
    return None


def _moved(found: Object, row: int, tags: Tags, changes: Changes, path: Path) -> Iterator[Edit]:
    """The edits of one object."""
    points: NDArray[Any] = _numbers([dot[1] for dot in found], path)
    points[np.array([dot[2] for dot in found]) == 0] = np.nan
    known, words = -1, list[tuple[int, bytes]]()
    for (landmark, _, _, place, pair), (x, y) in zip(found, points.tolist(), strict=True):
        moved = changes.new(row, landmark, (x, y), str(path))
        if moved == (None, None):
            continue
        if place != known:
            start, value = tags.values(place)["points"]
            if b"&" in value:
                raise FormatError(f"{path}: byte {start}: numbers that are written with &; lmk cannot write back there")
            known, words = place, [(start + word.start(), word[0]) for word in _WORD.finditer(value)]
        for (start, word), new in zip(words[2 * pair : 2 * pair + 2], moved, strict=True):
            if new is not None:
                yield start, start + len(word), in_style_of(word.decode("ascii", "replace"), new).encode()
    for landmark in set(range(changes.scheme.size)) - {dot[0] for dot in found}:
        changes.new(row, landmark, (math.nan, math.nan), str(path))


CVAT = Format(
    name="cvat",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.NAMES, Trait.SPLIT, Trait.SUBPIXEL}),
    sized=True,
    sniff=_sniff,
    read=_read,
    write=write,
    write_back=_write_back,
)
