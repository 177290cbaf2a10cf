"""`.pts` files of iBUG and menpo: one file an image, beside it, counting pixels from 1.

A folder is read with all that is below it.  Where files lie in folders called train, val or test, those are
their splits.
An `annotators.csv` in it, `image,annotator`, says who labelled what.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.annotators import ANNOTATORS, annotators_of, read_annotators, stem, write_annotators
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.folders import Beside, check_new, image_of, label_files
from lmk.formats.landmarks import chosen
from lmk.formats.pixels import Points, from_ours, text_of, to_ours
from lmk.formats.source import Source, first_in
from lmk.limits import LABEL_BYTES, LIST_BYTES
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "one"
_WANTED = "expected `n_points: K`, then K lines `x y` between braces"
_FOLDER = "format pts reads a folder of images with .pts files beside them"
WHOLE = re.compile(r"\s*(?:version:\s*\S+\s*)?n_points:\s*([0-9]{1,9})\s*\{([^{}]*)\}\s*")
POSES = ("frontal", "left", "lefthalf", "right", "righthalf")
MERL_SPLITS = {"trainset": "train", "testset": "test"}


def read_pts(path: Path) -> Points:
    """Return the points of one `.pts` file as (K, 2), in our convention."""
    return to_ours(parse(Source(path.parent).text(path, LABEL_BYTES), path), ORIGIN)


def write_pts(path: Path, points: Points, decimals: int) -> None:
    """Write points (K, 2), in our convention, as one `.pts` file."""
    _write_file(path, [f"{x:.{decimals}f} {y:.{decimals}f}" for x, y in from_ours(points, ORIGIN)])


def parse(text: str, path: Path) -> Points:
    """The numbers of one file, (K, 2)."""
    parts = WHOLE.fullmatch(text)
    if parts is None:
        raise FormatError(f"{path}: not a whole .pts file, cut short perhaps; {_WANTED}")
    lines = [line.split() for line in parts[2].splitlines() if line.strip()]
    points = []
    for number, line in enumerate(lines):
        try:
            x, y = map(float, line)
        except ValueError as cause:
            raise FormatError(
                f"{path}: not a whole .pts file, point {number} is {' '.join(line)!r:.60}; {_WANTED}"
            ) from cause
        if not (math.isfinite(x) and math.isfinite(y)):
            raise FormatError(
                f"{path}: point {number} is not a number; a .pts file cannot have missing points, use format csv"
            )
        points.append((x, y))
    if len(points) != int(parts[1]):
        raise FormatError(f"{path}: header declares {parts[1]} points, body has {len(points)}")
    return np.array(points, np.float64).reshape(-1, 2)


def is_merl_rav(file: Path) -> bool:
    """Whether a file lies where MERL-RAV has its labels, which look like `.pts` and whose signs mean something else."""
    pose, split = (["", "", *file.absolute().parts])[-3:-1]
    return pose in POSES and split in MERL_SPLITS


def _sniff(path: Path, head: bytes) -> Guess | None:
    if path.suffix.lower() == ".pts":
        return Guess(0.5, "it is a .pts file; name the folder that it lies in") if b"n_points" in head else None
    found = first_in(path, lambda file, _: file.suffix.lower() == ".pts")
    if found is None or is_merl_rav(path / found):
        return None
    return Guess(0.9, f"there are .pts files in it, {found} for one")


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    files, beside = label_files(source, ".pts", _FOLDER)
    scheme = asked or chosen(None, len(parse(source.text(files[0], LABEL_BYTES), files[0])), str(files[0]))
    losses = Losses()
    return Reading(_parts(source, files, beside, scheme, with_images, losses), scheme, losses)


def _parts(
    source: Source, files: list[Path], beside: Beside, scheme: LandmarkScheme, with_images: bool, losses: Losses
) -> Iterator[Part]:
    if alone := sorted(beside.keys() - {file.with_suffix("") for file in files}):
        losses.add("images without a .pts file", len(alone), source.name(beside[alone[0]][0]))
    splits = _splits(files, source)
    who = read_annotators(source)
    step = max(1, PART_ROWS // scheme.size)
    for start in range(0, len(files), step):
        some = files[start : start + step]
        points, images = [], []
        for file in some:
            points.append(parse(source.text(file, LABEL_BYTES), file))
            chosen(scheme, len(points[-1]), str(file))
            images.append(image_of(file, beside, source, with_images))
        table = _table(np.concatenate(points), images, splits[start : start + step])
        if who is not None:
            table["annotator"] = annotators_of(images, who, source).repeat(scheme.size)
        yield Part(table, np.repeat(np.array([source.name(file) for file in some], dtype=object), scheme.size))


def _table(numbers: Points, images: list[str], splits: list[str]) -> pd.DataFrame:
    count = len(numbers) // len(images)
    return pd.DataFrame(
        {
            "image": np.repeat(np.array(images, dtype=object), count),
            "instance": 0,
            "landmark": np.tile(np.arange(count), len(images)),
            "x": numbers[:, 0],
            "y": numbers[:, 1],
            "split": np.repeat(np.array(splits, dtype=object), count),
        }
    )


def _splits(files: list[Path], source: Source) -> list[str]:
    """The split of each file; all are `train` where no folder says another."""
    named = [_split_in(source.name(file)) for file in files]
    if any(named) and not all(named):
        lost = files[named.index(None)]
        raise DataError(
            f"{lost}: in no split, and others are; put all into folders called {', '.join(SPLITS)}, or none"
        )
    return [name or "train" for name in named]


def _split_in(name: str) -> str | None:
    """The first of a file's folders that is called as a split."""
    return next((part for part in PurePosixPath(name).parts[:-1] if part in SPLITS), None)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one `.pts` an image into a new folder.

    Of an image with several instances each gets its number behind the name: `_0`, `_1`, …
    """
    if not annotations.labelled.all():
        raise FormatError(f"{target}: a .pts file cannot have missing points; use format csv")
    check_new(target)
    instances = annotations.instances
    several = instances.duplicated("image", keep=False)
    keys = zip(instances["image"], instances["instance"], several, strict=True)
    names = [f"{stem(image)}_{instance}" if is_several else stem(image) for image, instance, is_several in keys]
    if len(set(names)) < len(names):
        raise DataError(f"{target}: two images would get the same .pts file; use format csv")
    with replacing(target) as temporary:
        temporary.mkdir()
        for name, numbers in zip(names, points, strict=True):
            file = temporary / f"{name}.pts"
            file.parent.mkdir(parents=True, exist_ok=True)
            # A 64th of a pixel is .015625.
            _write_file(file, [" ".join(text_of(number, decimals=6) for number in point) for point in numbers.tolist()])
        if "annotator" in instances and instances["annotator"].notna().any():
            endings = [image.removeprefix(stem(image)) for image in instances["image"]]
            images = [name + ending for name, ending in zip(names, endings, strict=True)]
            write_annotators(temporary / ANNOTATORS, images, instances["annotator"])
    losses = Losses()
    for name, split in zip(names, instances["split"], strict=True):
        if split != (_split_in(name) or "train"):
            losses.add(Trait.SPLIT, 1, f"{name}.pts lies in no folder {split}")
    return list(losses)


def _write_file(path: Path, points: list[str]) -> None:
    text = "\n".join(["version: 1", f"n_points: {len(points)}", "{", *points, "}"]) + "\n"
    path.write_text(text, encoding="utf-8")


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the `.pts` files, and the list of annotators, into a new folder."""
    check_new(target)
    rows = {image: row for (image, instance), row in changes.keys.items() if instance == 0}
    stems = {stem(image): row for image, row in rows.items()}
    files, beside = label_files(source, ".pts", _FOLDER)
    if os.path.lexists(source.path / ANNOTATORS):
        files.append(source.path / ANNOTATORS)
    with replacing(target) as temporary:
        temporary.mkdir()
        for file in files:
            data, name = source.data(file, LIST_BYTES), source.name(file)
            is_list = file.suffix.lower() != ".pts"
            row = (
                None
                if is_list
                else rows.get(image_of(file, beside, source, False), stems.get(name[: -len(file.suffix)]))
            )
            if row is not None:
                data = _changed(data, source.text(file, LABEL_BYTES), changes, row, file)
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(data)
        changes.check_all_seen(str(source.path))


def _changed(data: bytes, text: str, changes: Changes, row: int, file: Path) -> bytes:
    """The bytes of one file with new numbers in place of the old ones."""
    points, whole = parse(text, file), WHOLE.fullmatch(text)
    assert whole is not None
    chosen(changes.scheme, len(points), str(file))
    words = list(re.compile(r"\S+").finditer(text, *whole.span(2)))
    pieces, end = [], 0
    for landmark, (x, y) in enumerate(points.tolist()):
        moved = changes.new(row, landmark, (x, y), str(file))
        for word, value in zip(words[2 * landmark : 2 * landmark + 2], moved, strict=True):
            if value is None:
                continue
            pieces += [text[end : word.start()], in_style_of(word[0], value)]
            end = word.end()
    pieces.append(text[end:])
    mark = data[: len(data) - len(text.encode())]  # a byte order mark, or nothing
    return mark + "".join(pieces).encode()


PTS = Format(
    name="pts",
    origin=ORIGIN,
    carries=frozenset({Trait.SPLIT, Trait.ANNOTATOR, Trait.SUBPIXEL}),
    apart=False,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
