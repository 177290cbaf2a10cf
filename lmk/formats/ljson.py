"""`.ljson` files of menpo: one beside each image, points as `[y, x]` that count from 0 at pixels' centres.

A missing point is `[null, null]`.  Each group of a file of version 3 is an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.annotators import stem
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.edges import contours_of, edges_of
from lmk.formats.folders import check_new, image_of, label_files, put
from lmk.formats.instances import renumbered
from lmk.formats.json_places import replaced
from lmk.formats.landmarks import chosen, fitting, scheme_of
from lmk.formats.ljson_file import Group, groups_of, places_of
from lmk.formats.pixels import Points, texts_of
from lmk.formats.source import Source, first_in, head
from lmk.limits import LABEL_BYTES
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_DECIMALS = 6
_FOLDER = "format ljson reads a folder of images with .ljson files beside them"


def _sniff(path: Path, start: bytes) -> Guess | None:
    if path.suffix.lower() == ".ljson":
        return Guess(0.5, "it is an .ljson file; name the folder that it lies in") if b'"version"' in start else None
    found = first_in(path, lambda file, _: file.suffix.lower() == ".ljson" and b"{" in head(file))
    return None if found is None else Guess(0.9, f"there are .ljson files in it, {found} for one")


def _opened(source: Source, file: Path) -> tuple[bytes, list[Group]]:
    source.text(file, LABEL_BYTES)  # refuses other encodings
    data = source.data(file, LABEL_BYTES)
    return data, groups_of(data, file)


def _scheme_of(asked: LandmarkScheme | None, group: Group, where: str) -> LandmarkScheme:
    """What the points mean: a shipped scheme with as many, else points called after the parts that they are in."""
    if asked is not None or len(fitting(len(group.points))) == 1:
        return chosen(asked, len(group.points), where)
    part_of = {point: f"{label}_{place}" for label, mask in reversed(group.parts) for place, point in enumerate(mask)}
    names = [part_of.get(point, f"p{point}") for point in range(len(group.points))]
    contours = tuple(map(tuple, contours_of(group.edges)[0]))
    return replace(scheme_of(names, "ljson", where), contours=contours)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    files, beside = label_files(source, ".ljson", _FOLDER)
    _, groups = _opened(source, files[0])
    if not groups:
        raise FormatError(f"{files[0]}: no group of points in it")
    scheme = _scheme_of(asked, groups[0], str(files[0]))
    losses = Losses()
    if alone := sorted(beside.keys() - {file.with_suffix("") for file in files}):
        losses.add("images without an .ljson file", len(alone), source.name(beside[alone[0]][0]))
    return Reading(_parts(source, files, beside, (scheme, with_images, losses)), scheme, losses)


def _parts(
    source: Source,
    files: list[Path],
    beside: dict[Path, list[Path]],
    told: tuple[LandmarkScheme, bool, Losses],
) -> Iterator[Part]:
    scheme, with_images, losses = told
    held: list[tuple[str, int, Group, str]] = []
    for file in files:
        _, groups = _opened(source, file)
        image = image_of(file, beside, source, with_images)
        for instance, group in enumerate(_mine(groups, scheme, file, losses)):
            held.append((image, instance, group, source.name(file)))
            if len(held) == max(1, PART_ROWS // scheme.size):
                yield _part(held, scheme.size)
                held = []
    if held:
        yield _part(held, scheme.size)


def _mine(groups: list[Group], scheme: LandmarkScheme, file: Path, losses: Losses) -> list[Group]:
    """The groups with the points of a scheme; a file's only group has to be one."""
    if len(groups) == 1:
        chosen(scheme, len(groups[0].points), str(file))
        return groups
    others = [group for group in groups if len(group.points) != scheme.size]
    if others:
        losses.add(f"groups that do not have {scheme.size} points", len(others), f"{file} {others[0].name!r:.40}")
    return [group for group in groups if len(group.points) == scheme.size]


def _part(held: list[tuple[str, int, Group, str]], size: int) -> Part:
    points = np.array([group.points for _, _, group, _ in held], np.float64).reshape(-1, 2)
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array([image for image, _, _, _ in held], object), size),
            "instance": np.repeat([instance for _, instance, _, _ in held], size),
            "landmark": np.tile(np.arange(size), len(held)),
            "x": points[:, 1],
            "y": points[:, 0],
        }
    )
    return Part(table, np.repeat(np.array([file for _, _, _, file in held], object), size))


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a file an image into a new folder: version 2, and version 3 where it has several instances."""
    check_new(target)
    rows_of = {str(image): rows for image, rows in annotations.instances.groupby("image", sort=False).indices.items()}
    names = {image: f"{stem(image)}.ljson" for image in rows_of}
    if len(set(names.values())) < len(names):
        raise DataError(f"{target}: two images would get the same .ljson file; use another format")
    with replacing(target) as temporary:
        temporary.mkdir()
        for image, rows in rows_of.items():
            groups = [_text(annotations, points, int(row)) for row in rows]
            if len(groups) == 1:
                text = f'{{"version": 2,\n{groups[0]}}}\n'
            else:
                together = ",\n".join(f'"{number}": {{{group}}}' for number, group in enumerate(groups))
                text = f'{{"version": 3, "groups": {{\n{together}}}}}\n'
            put(temporary, names[image], text.encode())
    return renumbered(annotations)


def _text(annotations: AnnotationSet, points: Points, row: int) -> str:
    there = annotations.labelled[row]
    texts = texts_of(np.where(there[:, None], points[row], 0), _DECIMALS)
    pairs = [f"[{y}, {x}]" if seen else "[null, null]" for (x, y), seen in zip(texts, there.tolist(), strict=True)]
    everything: list[dict[str, Any]] = [{"label": "all", "mask": list(range(annotations.landmarks))}]
    return (
        f'"labels": {json.dumps(everything)},\n"landmarks": {{"points": [\n' + ",\n".join(pairs) + "\n],\n"
        f'"connectivity": {json.dumps(edges_of(annotations.scheme.contours))}}}'
    )


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the `.ljson` files into a new folder."""
    check_new(target)
    stems = {(stem(image), instance): row for (image, instance), row in changes.keys.items()}
    files, beside = label_files(source, ".ljson", _FOLDER)
    with replacing(target) as temporary:
        temporary.mkdir()
        for file in files:
            data, groups = _opened(source, file)
            image, name = image_of(file, beside, source, False), source.name(file)
            mine = _mine(groups, changes.scheme, file, Losses())
            spans, values = list[tuple[int, int]](), list[float | None]()
            instance = 0
            for group, places in zip(groups, places_of(data), strict=True):
                if not any(group is each for each in mine):
                    continue
                row = changes.keys.get((image, instance), stems.get((name[: -len(file.suffix)], instance)))
                instance += 1
                if row is not None:
                    spans += places
                    for landmark, (y, x) in enumerate(group.points):
                        values += changes.new(row, landmark, (x, y), str(file))[::-1]
            put(temporary, name, replaced(data, spans, values, changes.decimals))
        changes.check_all_seen(str(source.path))


LJSON = Format(
    name="ljson",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.SUBPIXEL}),
    apart=False,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
