"""YOLO pose: a text file an image, a line an object, positions as shares of the image's width and height.

A line is the class, the box (centre, width, height), and x, y and perhaps visibility of each point.  `data.yaml` says
how many points there are and where images lie; labels lie beside images, or in `labels/` beside `images/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.edges import BRANCHED
from lmk.formats.folders import check_new, put
from lmk.formats.landmarks import chosen, named
from lmk.formats.pixels import Points, decimals_of, pixel_of, text_of
from lmk.formats.rows import NOTHING, Rows, Sizes, says_nothing
from lmk.formats.source import Source, head
from lmk.formats.yolo_yaml import KEY, Described, Images, as_text, described, label_of
from lmk.limits import LABEL_BYTES, LIST_BYTES
from lmk.names import Folder
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "fraction"
OUTSIDE = "images that Ultralytics leaves out, as points lie outside of them"
_UNLABELLED = "positions of points that are said not to be labelled"
_BOX = 5  # words before the points: class, and the box
_LINE = re.compile(r"[^\r\n]+")
_WORD = re.compile(r"[^ \t\r\n]+")


def _sniff(path: Path, start: bytes) -> Guess | None:
    try:
        files = [*path.glob("*.yaml"), *path.glob("*.yml")] if path.is_dir() else []
    except (OSError, ValueError):  # a path that no file can have
        return None
    if path.suffix.lower() in (".yaml", ".yml") and KEY.encode() in start:
        return Guess(1.0, f"it names {KEY}, as YOLO's descriptions of datasets with points do")
    for file in sorted(files):
        if KEY.encode() in head(file):
            return Guess(1.0, f"there is {file.name} in it, which names {KEY}")
    return None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    found = described(source)
    losses, notes = Losses(), list[str]()
    if found.lost:
        losses.add(BRANCHED, len(found.lost), f"{found.lost[0][0]} to {found.lost[0][1]}")
    order = np.arange(found.points)
    if found.scheme is None:
        scheme = chosen(asked, found.points, str(found.file))
    else:
        scheme, order = named(asked, found.scheme, str(found.file), notes)
    return Reading(_parts(source, found, scheme, np.argsort(order), losses), scheme, losses, notes)


def _parts(
    source: Source, found: Described, scheme: LandmarkScheme, order: NDArray[np.int64], losses: Losses
) -> Iterator[Part]:
    rows, sizes = Rows(scheme.size, PART_ROWS), Sizes(source)
    kind: str | None = None  # the class of the first object
    for image, split, file, text in _label_files(source, Images(source, found, losses)):
        if text is None:
            continue
        about = {"image": image, "split": split, **sizes.of(image)}
        for number, (line, match) in enumerate(_lines(text)):
            place = f"{file}: line {line}"
            words = match[0].split()
            points, visibility = _parsed(words, found, losses, place)
            losses.add("boxes", 1, place)
            kind = words[0] if kind is None else kind
            if words[0] != kind:
                losses.add("classes of objects", 1, f"{place}: class {words[0]}, and the first has {kind}")
            if says_nothing(points, losses, place):
                continue
            rows.add(points[order], place, instance=number, visibility=visibility[order], **about)
            if rows.full:
                yield rows.part()
    if rows:
        yield rows.part()


def _label_files(source: Source, images: Images) -> Iterator[tuple[str, str, Path, str | None]]:
    """Each image with its split, its label file and what that says, None where there is none."""
    folder = Folder(images.folder, source.links)
    for image, split in images:
        file = folder.file(label_of(image))
        if os.path.lexists(file):  # False for a name that no file can have
            yield image, split, file, source.text(file, LABEL_BYTES)
        else:
            images.losses.add("images without a label file", 1, image)
            yield image, split, file, None


def _lines(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """The lines that are not blank, with their numbers."""
    line, end = 1, 0
    for match in _LINE.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        if match[0].strip():
            yield line, match


def _parsed(words: list[str], found: Described, losses: Losses, place: str) -> tuple[Points, NDArray[np.int64]]:
    """Points (K, 2), NaN where missing, and visibility (K,) of one line."""
    if len(words) != _BOX + found.points * found.numbers:
        raise FormatError(
            f"{place}: {len(words)} numbers; {found.file.name} says {KEY} [{found.points}, {found.numbers}], so there "
            f"are {_BOX + found.points * found.numbers}: class, box and points"
        )
    try:
        numbers = np.array(words, np.float64)
    except ValueError as cause:
        raise FormatError(f"{place}: not a number among {' '.join(words)!r:.60}") from cause
    if not np.isfinite(numbers).all():
        raise FormatError(f"{place}: a number that is not finite; a missing point is 0 0 0")
    table = numbers[_BOX:].reshape(found.points, found.numbers)
    points = table[:, :2]
    if found.numbers == 2:
        visibility = np.where((points == 0).all(axis=1), 0, 2)
    else:
        if not np.isin(table[:, 2], (0, 1, 2)).all():
            bad = table[~np.isin(table[:, 2], (0, 1, 2)), 2][0]
            raise FormatError(f"{place}: visibility is 0 (missing), 1 (occluded) or 2 (visible), not {bad:g}")
        visibility = table[:, 2].astype(np.int64)
        if (placed := (visibility == 0) & (points != 0).any(axis=1)).any():
            losses.add(_UNLABELLED, int(placed.sum()), f"{place}: point {int(np.argmax(placed))}")
    return np.where((visibility == 0)[:, None], np.nan, points), visibility


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a new folder: `data.yaml`, a list of images a split, and labels where YOLO looks for them."""
    check_new(target)
    instances = annotations.instances
    sizes = instances[["width", "height"]].to_numpy(np.float64)
    pixel = pixel_of(ORIGIN, sizes)
    decimals = decimals_of(pixel)
    visibility = annotations.column("visibility")
    losses, texts = Losses(), dict[str, list[str]]()
    lists = {split: dict[str, None]() for split in SPLITS}
    for row, (image, split) in enumerate(zip(instances["image"], instances["split"], strict=True)):
        lists[split][image] = None
        there = visibility[row] > 0
        lines = texts.setdefault(image, [])
        if not there.any():
            losses.add(NOTHING, 1, image)
            continue
        low, high = points[row, there].min(0) - pixel[row] / 2, points[row, there].max(0) + pixel[row] / 2
        if (points[row, there] < 0).any() or (points[row, there] > 1).any():
            losses.add(OUTSIDE, 1, image)
        low, high = np.clip(low, 0, 1 - pixel[row]), np.clip(high, pixel[row], 1)
        box = " ".join(f"{number:.{decimals}f}" for number in (*((low + high) / 2), *(high - low)))
        told = [
            f"{text_of(x, decimals)} {text_of(y, decimals)} {seen}" if seen else "0 0 0"
            for (x, y), seen in zip(points[row].tolist(), visibility[row].tolist(), strict=True)
        ]
        lines.append(f"0 {box} {' '.join(told)}")
    files = _files(texts, lists, target)
    files["data.yaml"] = as_text(annotations.scheme, [split for split in SPLITS if lists[split]])
    with replacing(target) as temporary:
        temporary.mkdir()
        for name, text in files.items():
            put(temporary, name, text.encode())
    return list(losses)


def _files(texts: dict[str, list[str]], lists: dict[str, dict[str, None]], target: Path) -> dict[str, str]:
    """What to write, by the file's name."""
    files: dict[str, str] = {}
    for split, images in lists.items():
        if images:
            files[f"{split}.txt"] = "".join(f"./{image}\n" for image in images)
    for image, lines in texts.items():
        name = label_of(image)
        if image.strip() != image or "\n" in image or "\r" in image:
            raise DataError(f"{target}: {image!r} cannot stand in a list of images; rename it")
        if name in files:
            raise DataError(f"{target}: {image} would get the label file of another, {name}; rename it")
        files[name] = "".join(f"{line}\n" for line in lines)
    return files


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write `data.yaml`, lists and label files into a new folder."""
    check_new(target)
    found = described(source)
    images = Images(source, found, Losses())
    with replacing(target) as temporary:
        temporary.mkdir()
        for image, _, file, text in _label_files(source, images):
            if text is not None:
                data = source.data(file, LABEL_BYTES)
                mark = data[: len(data) - len(text.encode())]  # a byte order mark, or nothing
                put(temporary, label_of(image), mark + _changed(text, image, (found, changes), file).encode())
        for other in (found.file, *images.lists):
            put(temporary, other.relative_to(images.folder).as_posix(), source.data(other, LIST_BYTES))
        changes.check_all_seen(str(source.path))


def _changed(text: str, image: str, what: tuple[Described, Changes], file: Path) -> str:
    """The text of one file with new numbers in place of the old ones."""
    found, changes = what
    order = np.arange(found.points)
    if found.scheme is not None:
        order = named(changes.scheme, found.scheme, str(file), [])[1]
    pieces, end = [], 0
    for number, (line, match) in enumerate(_lines(text)):
        row = changes.keys.get((image, number))
        if row is None:
            continue
        words = list(_WORD.finditer(text, *match.span()))
        points, _ = _parsed([word[0] for word in words], found, Losses(), f"{file}: line {line}")
        for place, point in enumerate(points.tolist()):
            moved = changes.new(row, int(order[place]), (point[0], point[1]), str(file))
            first = _BOX + place * found.numbers
            for word, value in zip(words[first : first + 2], moved, strict=True):
                if value is not None:
                    pieces += [text[end : word.start()], in_style_of(word[0], value, changes.decimals)]
                    end = word.end()
    return "".join([*pieces, text[end:]])


YOLO = Format(
    name="yolo",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SEVERAL, Trait.NAMES, Trait.SPLIT, Trait.SUBPIXEL}),
    sized=True,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
