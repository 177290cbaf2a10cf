"""dlib's XML, as imglab and `dlib.train_shape_predictor` have it: pixels from 0, whole numbers.

A box is an object, its parts are the landmarks.  dlib sorts parts by their names as text, so that numbers come as
0, 1, 10, 11, 2; here numbers are numbers.  A box that is to be ignored is no object.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import EMPTY, PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.landmarks import chosen, named, scheme_of
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.formats.xml_places import (
    NUMBER,
    Edit,
    Tags,
    edit_of,
    escaped,
    events,
    pixels_of,
    rewritten,
    root_of,
    start_tag,
)
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme, known_schemes, load_scheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_ENDS = frozenset({"image", "box"})
_RECTANGLE = {"top", "left", "width", "height"}
_NUMBERS = re.compile(f"(?:{NUMBER};)*+")
_LATIN = re.compile(rb"<\?xml[^>]*encoding=['\"]iso-8859-1", re.IGNORECASE)
_COUNTED = re.compile(r"p?[0-9]{1,7}")
_WHOLE = re.compile(rb"[-+]?[0-9]+")
_HEAD = "<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<name>{}</name>\n<images>\n"


@dataclass
class _Box:
    """One object: its image, its number there, and its parts in the order of the file."""

    image: str
    instance: int
    size: tuple[float, float]
    parts: list[tuple[int, str, str, int]] = field(default_factory=list)  # landmark, x, y, byte of the tag


@dataclass(frozen=True)
class _Names:
    """What parts are called, and what they are."""

    scheme: LandmarkScheme
    numbers: dict[str, int]


def _sniff(path: Path, head: bytes) -> Guess | None:
    if root_of(head) != "dataset" or b"<image" not in head:
        return None
    return Guess(1.0, "it is XML with a dataset of images, as dlib's imglab writes it")


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    notes: list[str] = []
    names, losses = _names(source, asked, notes), Losses()
    return Reading(_parts(source, names, losses), names.scheme, losses, notes)


def _names(source: Source, asked: LandmarkScheme | None, notes: list[str]) -> _Names:
    """All names of parts in a file, as landmarks of a scheme."""
    path = source.path
    if not path.is_file():
        raise DataError(f"{path}: no such file; format dlib reads one .xml file, as imglab writes it")
    found = list(
        dict.fromkeys(
            attributes.get("name", "")
            for name, attributes, _, _ in events(source, path, frozenset())
            if name == "part" and attributes is not None
        )
    )
    if not found:
        raise FormatError(f"{path}: no box in it has parts; label some in imglab (--parts)")
    if asked is not None and set(found) <= set(asked.names):
        return _Names(asked, {name: number for number, name in enumerate(asked.names)})
    if not all(name.isascii() and _COUNTED.fullmatch(name) for name in found):
        scheme, order = named(asked, scheme_of(found, path.stem), str(path), notes)
        return _Names(scheme, {name: int(number) for name, number in zip(found, order, strict=True)})
    numbers = {name: int(name.removeprefix("p")) for name in found}
    last = max(numbers.values())
    if 0 not in numbers.values() and (asked is None or last == asked.size):
        notes.append("parts are numbered from 1")
        numbers, last = {name: number - 1 for name, number in numbers.items()}, last - 1
    scheme = chosen(asked, last + 1, str(path)) if asked is None or last >= asked.size else asked
    return _Names(scheme, numbers)


def _parts(source: Source, names: _Names, losses: Losses) -> Iterator[Part]:
    held: list[_Box] = []
    most = max(1, PART_ROWS // names.scheme.size)
    for box in _boxes(source, names, losses):
        held.append(box)
        if len(held) == most:
            yield _part(held, names, source.path)
            held = []
    if held:
        yield _part(held, names, source.path)


def _part(boxes: list[_Box], names: _Names, path: Path) -> Part:
    count, size = len(boxes), names.scheme.size
    rows = np.repeat(np.arange(count), [len(box.parts) for box in boxes])
    landmarks = np.array([part[0] for box in boxes for part in box.parts], np.int64)
    if len(twice := np.flatnonzero(np.bincount(rows * size + landmarks) > 1)):
        row, landmark = divmod(int(twice[0]), size)
        raise FormatError(
            f"{path}: image {boxes[row].image}: part {names.scheme.names[landmark]!r:.60} of a box is there twice"
        )
    points = np.full((count, size, 2), np.nan)
    points[rows, landmarks] = _numbers(boxes, path)
    sizes = np.array([box.size for box in boxes], np.float64)
    about = {
        "image": np.array([box.image for box in boxes], object),
        "instance": np.array([box.instance for box in boxes], np.int64),
        "width": sizes[:, 0],
        "height": sizes[:, 1],
    }
    table = pd.DataFrame({name: np.repeat(values, size) for name, values in about.items()})
    table["landmark"] = np.tile(np.arange(size), count)
    table["x"], table["y"] = points.reshape(-1, 2).T
    return Part(table)


def _numbers(boxes: list[_Box], path: Path) -> Points:
    """(n, 2) the positions of all parts of some boxes."""
    texts = [text for box in boxes for part in box.parts for text in part[1:3]]
    joined = ";".join([*texts, ""])
    good = _NUMBERS.fullmatch(joined) is not None and joined.count(";") == len(texts)
    found = np.array(list(map(float, texts)) if good else [math.nan], np.float64)
    if not np.isfinite(found).all():
        for box in boxes:
            for _, x, y, _ in box.parts:
                if not all(re.fullmatch(NUMBER, text) and math.isfinite(float(text)) for text in (x, y)):
                    raise FormatError(f"{path}: image {box.image}: a part is at x and y, not {x!r:.60}, {y!r:.60}")
    return found.reshape(-1, 2)


def _boxes(source: Source, names: _Names, losses: Losses) -> Iterator[_Box]:
    """Every box with parts; what is in a file besides is counted."""
    path, latin = source.path, _declares_latin(source)
    image, size, instance = "", (math.nan, math.nan), 0
    box: _Box | None = None
    ignored = False
    for name, attributes, place, _ in events(source, path, _ENDS):
        if name == "part" and attributes is not None:
            if box is not None:
                number = names.numbers[attributes.get("name", "")]
                box.parts.append((number, attributes.get("x", ""), attributes.get("y", ""), place))
        elif name == "image" and attributes is not None:
            image = _text(attributes.get("file", ""), latin).replace("\\", "/")
            size = pixels_of(attributes, image, path)
            instance = 0
        elif name == "box" and attributes is not None:
            box, ignored = _Box(image, instance, size), attributes.get("ignore", "0") not in ("0", "false")
            if more := [key for key in attributes if key not in _RECTANGLE and key != "ignore"]:
                losses.add("what boxes say of pose, age, occlusion and the like", 1, f"{more[0]} in {image}")
        elif name == "box":
            if ignored:
                losses.add("boxes that are to be ignored", 1, image)
            elif box is None or not box.parts:
                losses.add("boxes without parts", 1, image)
            else:
                instance += 1
                yield box
            box = None
        elif name == "label" and box is not None:
            losses.add("labels of boxes", 1, image)


def _declares_latin(source: Source) -> bool:
    with source.open_bytes(source.path) as stream:
        return _LATIN.search(stream.read(200)) is not None


def _text(text: str, latin: bool) -> str:
    """A name as it was meant: dlib declares ISO-8859-1 whatever the bytes of its names are, UTF-8 mostly."""
    try:
        return text.encode("latin-1").decode("utf-8") if latin else text
    except UnicodeError:
        return text


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one XML file; a box is as large as its points are."""
    losses, names, size = Losses(), annotations.scheme.names, annotations.instances[["width", "height"]]
    shipped = [each.names for each in map(load_scheme, known_schemes()) if each.size == len(names)]
    if shipped == [names] or all(
        _COUNTED.fullmatch(name) for name in names
    ):  # dlib sorts names, and numbers keep order
        names = tuple(f"{number:0{len(str(len(names) - 1))}d}" for number in range(len(names)))
    parts = [start_tag("part", {"name": name})[:-1] for name in names]
    images, numbers = annotations.instances["image"].tolist(), annotations.instances["instance"].tolist()
    sizes = size.to_numpy(np.float64, na_value=np.nan).tolist()
    last, instance = "", 0
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEAD.format(escaped(annotations.scheme.name)))
        for image, number, (width, height), xy in zip(images, numbers, sizes, np.rint(points), strict=True):
            if image != last:
                file.write("  </image>\n" if last else "")
                known = {"width": f"{width:.0f}", "height": f"{height:.0f}"} if width > 0 and height > 0 else {}
                file.write(f"  {start_tag('image', {'file': image, **known})}\n")
                last, instance = image, 0
            if np.isnan(xy).all():
                losses.add(EMPTY, 1, f"{image} instance {number}")
                continue
            if number != instance:
                losses.add(Trait.SEVERAL, 1, f"{image} instance {number} is instance {instance} of its image then")
            _write_box(file, xy, parts)
            instance += 1
        file.write("  </image>\n</images>\n</dataset>\n")
    return list(losses)


def _write_box(file: TextIO, xy: Points, parts: list[str]) -> None:
    left, top = np.nanmin(xy, axis=0).tolist()
    right, bottom = np.nanmax(xy, axis=0).tolist()
    width, height = right - left + 1, bottom - top + 1
    file.write(f'    <box top="{int(top)}" left="{int(left)}" width="{int(width)}" height="{int(height)}">\n')
    for start, (x, y) in zip(parts, xy.tolist(), strict=True):
        if not math.isnan(x):
            file.write(f'      {start} x="{int(x)}" y="{int(y)}"/>\n')
    file.write("    </box>\n")


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the file again; whole numbers stay whole, and how many of the new ones were rounded is told."""
    names, losses = _names(source, changes.scheme, []), Losses()
    with source.open_bytes(source.path) as stream:
        rewritten(source, _edits(source, Tags(stream, source.path), names, changes, losses), target)
    for loss in losses:
        print(f"{target}: {loss}", file=sys.stderr)


def _edits(source: Source, tags: Tags, names: _Names, changes: Changes, losses: Losses) -> Iterator[Edit]:
    for box in _boxes(source, names, Losses()):
        row = changes.keys.get((box.image, box.instance))
        if row is None:
            continue
        for (landmark, _, _, place), (x, y) in zip(box.parts, _numbers([box], source.path).tolist(), strict=True):
            moved = changes.new(row, landmark, (x, y), str(source.path))
            if moved != (None, None):
                yield from _moved(tags.values(place), moved, f"{box.image} landmark {landmark}", losses)
        for landmark in set(range(changes.scheme.size)) - {part[0] for part in box.parts}:
            changes.new(row, landmark, (math.nan, math.nan), str(source.path))
    changes.check_all_seen(str(source.path))


def _moved(
    values: dict[str, tuple[int, bytes]], moved: tuple[float | None, float | None], point: str, losses: Losses
) -> Iterator[Edit]:
    rounded, edits = False, []
    for axis, value in zip(("x", "y"), moved, strict=True):
        if value is not None:
            place, old = values[axis]
            whole = _WHOLE.fullmatch(old.strip()) is not None
            new = str(round(value)) if whole else in_style_of(old.strip().decode("ascii", "replace"), value)
            edits.append(edit_of(place, old, new))
            rounded |= whole and value % 1 != 0
    if rounded:
        losses.add(Trait.SUBPIXEL, 1, point)
    yield from sorted(edits)


DLIB = Format(
    name="dlib",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.NAMES}),
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
