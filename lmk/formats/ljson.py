"""`.ljson` files of menpo: one beside each image, points as `[y, x]` that count from 0 at pixels' centres.

A missing point is `[null, null]`.  Each group of a file of version 3 is an object.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError, ImageError
from lmk.formats.annotators import stem
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.folders import check_new, put
from lmk.formats.instances import renumbered
from lmk.formats.json_places import replaced
from lmk.formats.landmarks import chosen, fitting, scheme_of
from lmk.formats.ljson_file import Group, groups_of, places_of
from lmk.formats.pixels import Points, texts_of
from lmk.formats.skeleton import edges_of, with_skeleton
from lmk.formats.source import Source, head
from lmk.images import SUFFIXES
from lmk.limits import LABEL_BYTES
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_DECIMALS = 6
_LOOKED_AT = 10_000  # names that are enough to say whether a folder is of this format


def _sniff(path: Path, start: bytes) -> Guess | None:
    if path.suffix.lower() == ".ljson":
        return Guess(0.5, "it is an .ljson file; name the folder that it lies in") if b'"version"' in start else None
    looked = 0
    try:
        for folder, _, names in os.walk(path):
            for name in names:
                if name.lower().endswith(".ljson") and b"{" in head(Path(folder, name)):
                    return Guess(0.9, f"there are .ljson files in it, {Path(folder, name).relative_to(path)} for one")
            looked += len(names)
            if looked > _LOOKED_AT:
                break
    except ValueError:  # a path that no file can have
        return None
    return None


def _files(source: Source) -> tuple[list[Path], dict[Path, list[Path]]]:
    """All `.ljson` files in order, and the images of each name without its ending."""
    if not source.path.is_dir():
        raise DataError(f"{source.path}: no such folder; format ljson reads a folder of images with .ljson beside them")
    files: list[Path] = []
    beside: dict[Path, list[Path]] = {}
    for file in source.files(".ljson", *SUFFIXES):
        if file.suffix.lower() == ".ljson":
            files.append(file)
        else:
            beside.setdefault(file.with_suffix(""), []).append(file)
    if not files:
        raise DataError(f"{source.path}: no .ljson files in it")
    return files, beside


def _image_of(file: Path, beside: dict[Path, list[Path]], source: Source, with_images: bool) -> str:
    there = beside.get(file.with_suffix(""), [])
    if len(there) > 1:
        raise DataError(f"{file}: two images have its name, {there[0].name} and {there[1].name}; keep one of them")
    if not there and with_images:
        raise ImageError(f"{file}: no image beside it; expected {file.stem} with one of {' '.join(SUFFIXES)}")
    return source.name(there[0] if there else file.with_suffix(""))


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
    return with_skeleton(scheme_of(names, "ljson", where), group.edges)


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    files, beside = _files(source)
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
        image = _image_of(file, beside, source, with_images)
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
        f'"connectivity": {json.dumps(edges_of(annotations.scheme))}}}'
    )


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the `.ljson` files into a new folder."""
    check_new(target)
    stems = {(stem(image), instance): row for (image, instance), row in changes.keys.items()}
    files, beside = _files(source)
    with replacing(target) as temporary:
        temporary.mkdir()
        for file in files:
            data, groups = _opened(source, file)
            image, name = _image_of(file, beside, source, False), source.name(file)
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
