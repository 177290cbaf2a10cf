"""LabelMe: a JSON file beside each image, with shapes; positions count from the image's top-left corner.

Points with one `group_id` are one object; their labels are its landmarks.  A picture that a file holds in base64 is
skipped, and never read.
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.annotators import stem
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.folders import check_new
from lmk.formats.instances import renumbered
from lmk.formats.json_places import Rewriting, Span, items, members
from lmk.formats.json_sniff import outline
from lmk.formats.json_walk import Element
from lmk.formats.labelme_file import Grouped, Said, opened
from lmk.formats.labels import in_order, landmarks_of
from lmk.formats.pixels import Points, texts_of
from lmk.formats.source import Source, first_in, head
from lmk.names import check_names
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "corner"
_VERSION = "5.5.0"  # of LabelMe, whose files ours look like
_DECIMALS = 6
_OPENED = 20  # JSON files that are enough to say whether a folder is of this format


def _sniff(path: Path, start: bytes) -> Guess | None:
    if path.suffix.lower() == ".json":
        return Guess(0.5, "it is a file of LabelMe; name the folder that it lies in") if _is_labelme(start) else None
    opened = count(1)  # of what else is called .json, some are enough

    def fits(file: Path, _: list[str]) -> bool:
        return file.suffix.lower() == ".json" and next(opened) <= _OPENED and _is_labelme(head(file))

    found = first_in(path, fits)
    return None if found is None else Guess(0.9, f"there are JSON files of LabelMe in it, {found} for one")


def _is_labelme(start: bytes) -> bool:
    seen = outline(start)
    if seen is None or seen.is_list or "shapes" not in seen.at(1):
        return False
    return "imagePath" in seen.at(1) or "shape_type" in seen.at(3)


def _files(source: Source) -> list[Path]:
    if not source.path.is_dir():
        raise DataError(f"{source.path}: no such folder; format labelme reads a folder of images with JSON beside them")
    return source.files(".json")


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    losses, notes = Losses(), list[str]()
    labels: dict[str, None] = {}
    files, others, elsewhere = [], list[str](), list[str]()
    for file in _files(source):
        said = opened(source, file, Losses())
        if said is None:
            others.append(source.name(file))
            continue
        files.append(file)
        elsewhere += [source.name(file)] * said.elsewhere
        for one in said.objects:
            labels.update(dict.fromkeys(one.points))
    if not labels:
        raise DataError(f"{source.path}: no points of LabelMe in it; format labelme reads shapes of type point")
    if others:
        losses.add("JSON files that are not of LabelMe", len(others), others[0])
    if elsewhere:
        notes.append(f"imagePath of {elsewhere[0]} leads out of the folder; the image beside the JSON file is taken")
    scheme, numbers = landmarks_of(asked, in_order(labels), source.path.name or "labelme", str(source.path), notes)
    return Reading(_parts(source, files, scheme, numbers, losses), scheme, losses, notes)


def _parts(
    source: Source, files: list[Path], scheme: LandmarkScheme, numbers: dict[str, int], losses: Losses
) -> Iterator[Part]:
    held: list[tuple[Said, Grouped, int, str]] = []
    counts: Counter[str] = Counter()
    for file in files:
        said = opened(source, file, losses)
        if said is None:
            continue
        if not said.objects:
            losses.add("files without points", 1, source.name(file))
        for one in said.objects:
            held.append((said, one, counts[said.image], source.name(file)))
            counts[said.image] += 1
            if len(held) == max(1, PART_ROWS // scheme.size):
                yield _part(held, scheme, numbers)
                held = []
    if held:
        yield _part(held, scheme, numbers)


def _part(held: list[tuple[Said, Grouped, int, str]], scheme: LandmarkScheme, numbers: dict[str, int]) -> Part:
    points = np.full((len(held), scheme.size, 2), np.nan)
    for row, (_, one, _, _) in enumerate(held):
        for label, position in one.points.items():
            points[row, numbers[label]] = position
    sizes = np.array([said.size for said, _, _, _ in held], np.float64)
    table = pd.DataFrame(
        {
            "image": np.array([said.image for said, _, _, _ in held], object).repeat(scheme.size),
            "instance": np.repeat([instance for _, _, instance, _ in held], scheme.size),
            "landmark": np.tile(np.arange(scheme.size), len(held)),
            "x": points[..., 0].ravel(),
            "y": points[..., 1].ravel(),
            "width": sizes[:, 0].repeat(scheme.size),
            "height": sizes[:, 1].repeat(scheme.size),
        }
    )
    return Part(table, np.array([file for _, _, _, file in held], object).repeat(scheme.size))


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a file an image into a new folder, without the pictures."""
    check_new(target)
    instances = annotations.instances
    if (nothing := ~annotations.labelled.any(axis=1)).any():
        row = instances.iloc[int(np.argmax(nothing))]
        raise FormatError(
            f"{target}: {row['image']} instance {row['instance']} has no point, and a file of LabelMe cannot say so; "
            "leave it out"
        )
    rows_of = {str(image): rows for image, rows in instances.groupby("image", sort=False).indices.items()}
    names = {image: f"{stem(image)}.json" for image in rows_of}
    if len(set(names.values())) < len(names):
        raise DataError(f"{target}: two images would get the same JSON file; use another format")
    with replacing(target) as temporary:
        temporary.mkdir()
        for image, rows in rows_of.items():
            file = temporary / names[image]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_text(annotations, points, image, [int(row) for row in rows]), encoding="utf-8")
    return renumbered(annotations)


def _text(annotations: AnnotationSet, points: Points, image: str, rows: list[int]) -> str:
    first, shapes = annotations.instances.iloc[rows[0]], []
    for group, row in enumerate(rows):
        there = annotations.labelled[row]
        texts = texts_of(np.where(there[:, None], points[row], 0), _DECIMALS)
        for landmark in np.flatnonzero(there).tolist():
            x, y = texts[landmark]
            label = json.dumps(annotations.scheme.names[landmark], ensure_ascii=False)
            group_id = group if len(rows) > 1 else "null"
            shapes.append(
                f'    {{"label": {label}, "points": [[{x}, {y}]], "group_id": {group_id}, "description": "", '
                '"shape_type": "point", "flags": {}, "mask": null}'
            )
    width, height = (None if pd.isna(first[name]) else int(first[name]) for name in ("width", "height"))
    name = json.dumps(posixpath.basename(image), ensure_ascii=False)
    return (
        f'{{\n  "version": "{_VERSION}",\n  "flags": {{}},\n  "shapes": [\n' + ",\n".join(shapes) + "\n  ],\n"
        f'  "imagePath": {name},\n  "imageData": null,\n  "imageHeight": {json.dumps(height)},\n'
        f'  "imageWidth": {json.dumps(width)}\n}}\n'
    )


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the files of LabelMe into a new folder."""
    check_new(target)
    names = dict[str, None]()
    files = []
    for file in _files(source):
        if (said := opened(source, file, Losses())) is not None:
            files.append(file)
            for one in said.objects:
                names.update(dict.fromkeys(one.points))
    _, numbers = landmarks_of(changes.scheme, in_order(names), "", str(source.path), [])
    counts: Counter[str] = Counter()
    with replacing(target) as temporary:
        temporary.mkdir()
        for file in files:
            said = opened(source, file, Losses())
            assert said is not None  # it was a moment ago
            check_names([said.image], str(file))
            new: list[tuple[Element, tuple[float | None, float | None]]] = []
            for one in said.objects:
                row = changes.keys.get((said.image, counts[said.image]))
                counts[said.image] += 1
                new += _moved(one, row, numbers, changes, file) if row is not None else []
            path = temporary / source.name(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open_bytes(file) as old, path.open("wb") as stream:
                copy = Rewriting(old, stream)
                for element, values in sorted(new, key=lambda pair: pair[0].start):
                    copy.numbers(element.start, element.data, _spans(element.data), values, changes.decimals)
                copy.end()
        changes.check_all_seen(str(source.path))


def _moved(
    one: Grouped, row: int, numbers: dict[str, int], changes: Changes, file: Path
) -> list[tuple[Element, tuple[float | None, float | None]]]:
    """The shapes of one object whose points moved, and where to."""
    labels = {number: label for label, number in numbers.items() if label in one.points}
    found = []
    for landmark in range(changes.scheme.size):
        label = labels.get(landmark)
        position = one.points[label] if label is not None else (np.nan, np.nan)
        moved = changes.new(row, landmark, position, str(file))
        if label is not None and moved != (None, None):
            found.append((one.places[label], moved))
    return found


def _spans(data: bytes) -> list[Span]:
    """Where x and y stand in a shape that is a point."""
    [point] = items(data, members(data)["points"][0])
    return items(data, point[0])


LABELME = Format(
    name="labelme",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.NAMES, Trait.SUBPIXEL}),
    apart=False,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
