"""WFLW's lists: a line a face, with x and y of 98 points, a box, six attributes and the name of the image.

Lists of other numbers of points are of this format, too, where their name says how many: `list_68pt_rect_attr_…`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.folders import check_new, check_other
from lmk.formats.landmarks import chosen
from lmk.formats.pixels import Points, text_of
from lmk.formats.rows import Counted, Rows
from lmk.formats.source import Source
from lmk.limits import POINTS
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
_POINTS = 98  # of a list whose name does not say how many
_BOX = 4
_IMAGES = "WFLW_images"
_NAME = re.compile(r"list_([0-9]{1,5})pt_rect_attr_(\w+)\.txt")
_WORD = re.compile(r"[^\s]+")
_LONGEST = 64 * POINTS  # characters of a line


class _List(NamedTuple):
    """One list."""

    file: Path
    points: int
    split: str


def _lists(source: Source, asked: LandmarkScheme | None) -> list[_List]:
    """The list that is named, or all in a folder."""
    if source.path.is_dir():
        files = [file for file in source.files(".txt") if _NAME.fullmatch(file.name)]
        if not files:
            raise DataError(f"{source.path}: no list_98pt_rect_attr_….txt in it; format wflw reads a list, or a folder")
    elif source.path.is_file():
        files = [source.path]
    else:
        raise DataError(f"{source.path}: no such file or folder")
    found = []
    for file in files:
        match = _NAME.fullmatch(file.name)
        split = next((split for split in SPLITS if re.search(rf"(?<![a-z]){split}\.txt$", file.name)), "train")
        found.append(_List(file, int(match[1]) if match else asked.size if asked else _POINTS, split))
        if not 0 < found[-1].points <= POINTS or found[-1].points != found[0].points:
            raise FormatError(f"{file}: its name says {found[-1].points} points; one number for all lists is read")
    return found


def _lines(source: Source, file: Path) -> Iterator[tuple[str, str]]:
    """Each line with its end, and its place in words."""
    with source.open_text(file) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_LONGEST), ""), 1):
            if len(line) >= _LONGEST:
                raise FormatError(f"{file}: line {number}: longer than {_LONGEST} characters; is it something else?")
            yield line, f"{file}: line {number}"


def _parsed(line: str, count: int, place: str) -> tuple[Points, list[str], str]:
    """Points (K, 2), box and attributes as words, and the image of a line that is not blank."""
    before = 2 * count + _BOX + len(ATTRIBUTES)
    words = line.strip("\r\n").split(None, before)
    if len(words) != before + 1:
        raise FormatError(
            f"{place}: {len(words)} words; expected {2 * count} numbers of {count} points, {_BOX} of a box, "
            f"{len(ATTRIBUTES)} attributes and the image"
        )
    try:
        numbers = np.array(words[: 2 * count + _BOX], np.float64)
    except ValueError as cause:
        raise FormatError(f"{place}: not a number ({cause})") from cause
    if not np.isfinite(numbers).all():
        raise FormatError(f"{place}: a number that is not finite; a list of WFLW cannot have missing points")
    attributes = words[2 * count + _BOX : before]
    if not set(attributes) <= {"0", "1"}:
        raise FormatError(
            f"{place}: attributes are 0 or 1, not {' '.join(attributes)!r:.40}; are there {count} points in a line?"
        )
    return numbers[: 2 * count].reshape(-1, 2), attributes, words[-1].replace("\\", "/")


def _sniff(path: Path, head: bytes) -> Guess | None:
    try:
        folders = [
            path,
            path / "list_98pt_rect_attr_train_test",
            path / "WFLW_annotations/list_98pt_rect_attr_train_test",
        ]
        for folder in folders if path.is_dir() else ():
            for file in sorted(folder.glob("list_*pt_rect_attr_*.txt")):
                if _NAME.fullmatch(file.name):
                    return Guess(1.0, f"there is {file.name} in it, as WFLW calls its lists")
    except (OSError, ValueError):  # a path that no file can have
        return None
    line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    match = _NAME.fullmatch(path.name)
    try:
        _parsed(line, int(match[1]) if match else _POINTS, "")
    except FormatError:
        return None
    return Guess(1.0, "its first line has points, a box, six attributes and an image, as in WFLW's lists")


def _prefix(source: Source) -> str:
    """What names of images start with: the dataset has them in a folder of their own."""
    inside = source.images is None and source.path.is_dir() and (source.path / _IMAGES).is_dir()
    return f"{_IMAGES}/" if inside else ""


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    lists = _lists(source, asked)
    scheme, losses = chosen(asked, lists[0].points, str(lists[0].file)), Losses()
    notes = [f"{one.file.name} is split {one.split}" for one in lists]
    return Reading(_parts(source, lists, scheme, losses), scheme, losses, notes)


def _parts(source: Source, lists: list[_List], scheme: LandmarkScheme, losses: Losses) -> Iterator[Part]:
    rows, counted, prefix = Rows(scheme.size, PART_ROWS), Counted(), _prefix(source)
    for one in lists:
        for line, place in _lines(source, one.file):
            if not line.strip():
                continue
            points, attributes, image = _parsed(line, scheme.size, place)
            losses.add("boxes", 1, place)
            for name, value in zip(ATTRIBUTES, attributes, strict=True):
                if value == "1":
                    losses.add(f"attribute {name}", 1, place)
            name = prefix + image
            rows.add(points, place, image=name, instance=counted.next(name), split=one.split)
            if rows.full:
                yield rows.part()
    if rows:
        yield rows.part()


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one list a split into a new folder."""
    if not annotations.labelled.all():
        raise FormatError(f"{target}: a list of WFLW cannot have missing points; use format csv")
    check_new(target)
    instances = annotations.instances
    texts: dict[str, list[str]] = {}
    for row, (image, split) in enumerate(zip(instances["image"], instances["split"], strict=True)):
        if image.lstrip() != image or any(mark in image for mark in "\r\n"):
            raise DataError(f"{target}: {image!r} cannot stand at the end of a line; rename it")
        numbers = " ".join(text_of(number, 6) for number in points[row].reshape(-1).tolist())
        box = np.rint([*points[row].min(0), *points[row].max(0)]).astype(int).tolist()
        words = [numbers, *map(str, box), *["0"] * len(ATTRIBUTES), image]
        texts.setdefault(split, []).append(f"{' '.join(words)}\n")
    with replacing(target) as temporary:
        temporary.mkdir()
        for split, lines in texts.items():
            file = temporary / f"list_{annotations.landmarks}pt_rect_attr_{split}.txt"
            file.write_bytes("".join(lines).encode())
    return ()


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the lists into a new folder, or the one list into a new file."""
    is_folder = source.path.is_dir()
    if is_folder:
        check_new(target)
    else:
        check_other(target, source)
    counted, prefix = Counted(), _prefix(source)
    with replacing(target) as temporary:
        for one in _lists(source, changes.scheme):
            chosen(changes.scheme, one.points, str(one.file))
            file = temporary / one.file.relative_to(source.path) if is_folder else temporary
            file.parent.mkdir(parents=True, exist_ok=True)
            with source.open_bytes(one.file) as old, file.open("w", encoding="utf-8", newline="") as new:
                new.write("\ufeff" if old.read(3) == b"\xef\xbb\xbf" else "")
                for line, place in _lines(source, one.file):
                    new.write(_changed(line, changes, counted, prefix, place) if line.strip() else line)
        changes.check_all_seen(str(source.path))


def _changed(line: str, changes: Changes, counted: Counted, prefix: str, place: str) -> str:
    """A line with new numbers in place of the old ones."""
    points, _, image = _parsed(line, changes.scheme.size, place)
    row = changes.keys.get((prefix + image, counted.next(prefix + image)))
    if row is None:
        return line
    words, pieces, end = _WORD.finditer(line), [], 0
    for landmark, (x, y) in enumerate(points.tolist()):
        for value in changes.new(row, landmark, (x, y), place):
            word = next(words)
            if value is not None:
                pieces += [line[end : word.start()], in_style_of(word[0], value)]
                end = word.end()
    return "".join([*pieces, line[end:]])


WFLW = Format(
    name="wflw",
    origin=ORIGIN,
    carries=frozenset({Trait.SEVERAL, Trait.SPLIT, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
