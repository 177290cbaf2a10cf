"""TPS files of tpsDig: a block an object, `LM=` and its points, `IMAGE=`, `ID=`, `SCALE=`, `CURVES=`.

y counts from the bottom of the image.  Two negative numbers are a missing point.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.folders import check_other
from lmk.formats.landmarks import chosen
from lmk.formats.pixels import Points, text_of
from lmk.formats.rows import Counted, Rows, Sizes, says_nothing
from lmk.formats.source import Source
from lmk.limits import POINTS
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme, parse_scheme
from lmk.store import replacing

ORIGIN: Origin = "bottom"
UNSAYABLE = "points left of and below their image, which tps takes for missing"
_KEY = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*=(.*)", re.DOTALL)
_WORD = re.compile(r"\S+")
_START = re.compile(r"\s*LM3?\s*=\s*[0-9]", re.IGNORECASE)
_LONGEST = 1 << 16  # characters of a line
_MORE_LINES = 1000  # of a block, that are no points: comments, and blank lines between points
_WANTED = "expected LM=K, K lines `x y`, and IMAGE="


@dataclass
class _Block:
    """One object.

    Attributes:
        line: of `LM=`.
        lines: the text, with the ends of lines.
        at: where in it each point is: those of `LM=`, then those of curves.
        points: their numbers, NaN where missing.
        count: how many are of `LM=`.
        curves: how many points each curve has.
        said: (key, value) of everything else.
    """

    line: int
    lines: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    count: int = 0
    curves: list[int] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)

    def image(self, path: Path) -> str:
        """The name of the image."""
        names = [value for key, value in self.said if key == "IMAGE"]
        if len(names) != 1 or not names[0]:
            what = "several" if names else "no"
            raise FormatError(f"{path}: line {self.line}: {what} IMAGE= in the block that starts here; {_WANTED}")
        return names[0].replace("\\", "/")


def _blocks(source: Source) -> Iterator[_Block]:
    """All blocks; what stands before the first `LM=` is a block without points."""
    path = source.path
    with source.open_text(path) as file:
        block, wanted, more = _Block(1), 0, 0
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), 1):
            place = f"{path}: line {number}"
            if len(line) >= _LONGEST:
                raise FormatError(f"{place}: longer than {_LONGEST} characters; {_WANTED}")
            key = _KEY.fullmatch(line)
            if key and key[1].upper() in ("LM", "LM3"):
                _check_whole(block, wanted, path)
                if block.lines:
                    yield block
                block, more = _Block(number), 0
            block.lines.append(line)
            if key:
                _check_whole(block, wanted, path)
                wanted = _told(block, key[1].upper(), key[2].strip(), place)
            elif line.strip() and wanted:
                block.at.append(len(block.lines) - 1)
                block.points.append(_point(line, place))
                wanted -= 1
            elif line.strip():
                raise FormatError(f"{place}: {line.strip()!r:.60} belongs to nothing; {_WANTED}")
            more += not block.at or block.at[-1] != len(block.lines) - 1
            if more > _MORE_LINES + 2 * POINTS:
                raise FormatError(f"{place}: more than {_MORE_LINES} lines of a block that are no points; {_WANTED}")
        _check_whole(block, wanted, path)
        yield block


def _check_whole(block: _Block, wanted: int, path: Path) -> None:
    if wanted:
        raise FormatError(f"{path}: line {block.line}: {wanted} points less than the block says; {_WANTED}")


def _told(block: _Block, key: str, value: str, place: str) -> int:
    """Take in a line KEY=value; how many points have to follow it."""
    if key == "LM3":
        raise FormatError(f"{place}: LM3= are points in three dimensions; lmk reads points of images")
    if key not in ("LM", "POINTS"):
        block.said.append((key, value))
        return 0
    if not value.isdecimal() or int(value[:9]) + len(block.points) > POINTS:
        raise FormatError(f"{place}: {key}={value:.20}; expected a number of points, at most {POINTS:,}")
    if key == "LM":
        block.count = int(value)
    else:
        block.curves.append(int(value))
        if not block.said or block.said[-1][0] not in ("CURVES", "OUTLINES", "POINTS"):
            raise FormatError(f"{place}: POINTS= behind neither CURVES= nor OUTLINES=; {_WANTED}")
    return int(value)


def _point(line: str, place: str) -> tuple[float, float]:
    words = line.split()
    if len(words) == 2 and [word.upper() for word in words] == ["NA", "NA"]:
        return math.nan, math.nan
    try:
        x, y = map(float, words)
    except ValueError as cause:
        raise FormatError(f"{place}: want a point, x and y, not {line.strip()!r:.60}") from cause
    if not (math.isfinite(x) and math.isfinite(y)):
        raise FormatError(f"{place}: a position that is not finite; a missing point is -1 -1")
    return (math.nan, math.nan) if x < 0 and y < 0 else (x, y)


def _sniff(path: Path, head: bytes) -> Guess | None:
    if _START.match(head.decode("utf-8-sig", errors="replace")):
        return Guess(1.0, "its first line is LM= with a number of points, as in files of tpsDig")
    return None


def _laid_out(blocks: Iterable[_Block], path: Path) -> tuple[int, list[int]]:
    """How many points the first block has, and how many each curve has, where that is the same in all blocks."""
    counts, curves = None, set[tuple[int, ...]]()
    for block in blocks:
        if block.count:
            counts = counts or block.count
            outlined = any(key == "OUTLINES" for key, _ in block.said)
            curves.add((-1,) if outlined else tuple(block.curves))
        if len(curves) > 1:
            break
    if counts is None:
        raise FormatError(f"{path}: no LM= with points in it; {_WANTED}")
    alike = next(iter(curves)) if len(curves) == 1 else ()
    return counts, [] if -1 in alike else list(alike)


def _scheme(asked: LandmarkScheme | None, count: int, curves: list[int], where: Path) -> LandmarkScheme:
    """The scheme: curves are contours of it, where it has place for their points."""
    if asked is not None or not curves:
        wide = count + sum(curves)
        return chosen(asked, wide if asked is not None and asked.size == wide else count, str(where))
    starts = count + np.cumsum([0, *curves[:-1]])
    contours = [list(range(start, start + length)) for start, length in zip(starts.tolist(), curves, strict=True)]
    about = {"name": where.stem, "points": count + sum(curves), "contours": [chain for chain in contours if chain]}
    return parse_scheme(json.dumps(about), str(where))


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format tps reads one .tps file")
    count, curves = _laid_out(_blocks(source), source.path)
    scheme, losses = _scheme(asked, count, curves, source.path), Losses()
    notes = []
    if curves and scheme.size > count:
        notes.append(f"points of {len(curves)} curves are landmarks {count} to {scheme.size - 1}, each curve a contour")
    return Reading(_parts(source, scheme, losses), scheme, losses, notes)


def _parts(source: Source, scheme: LandmarkScheme, losses: Losses) -> Iterator[Part]:
    rows, sizes, counted = Rows(scheme.size, PART_ROWS), Sizes(source), Counted()
    for block in _blocks(source):
        place = f"{source.path}: line {block.line}"
        if not block.points:
            continue
        points = _of_scheme(block, scheme, source.path)
        for key, value in block.said:
            if key not in ("IMAGE", "CURVES"):
                losses.add(f"{key}=", 1, f"{place}: {key}={value:.40}")
        if len(block.points) > scheme.size:
            losses.add("points of curves", len(block.points) - scheme.size, place)
        image = block.image(source.path)
        instance = counted.next(image)
        if says_nothing(points, losses, place):
            continue
        rows.add(points, place, image=image, instance=instance, **sizes.of(image))
        if rows.full:
            yield rows.part()
    if rows:
        yield rows.part()


def _of_scheme(block: _Block, scheme: LandmarkScheme, path: Path) -> Points:
    """(K, 2) the points of a block that are landmarks."""
    taken = block.count if block.count == scheme.size else len(block.points)
    if taken != scheme.size:
        raise FormatError(
            f"{path}: line {block.line}: {block.count} points, but the scheme {scheme.name} has {scheme.size}; all "
            "blocks have the same, and a missing one is -1 -1"
        )
    return np.array(block.points[:taken], np.float64).reshape(-1, 2)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one file, its blocks in the order of images."""
    losses = Losses()
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for row, image in enumerate(annotations.instances["image"]):
            if image.strip() != image or any(mark in image for mark in "\r\n"):
                raise DataError(f"{target}: {image!r} cannot stand behind IMAGE=; rename it")
            lines = []
            for landmark, (x, y) in enumerate(points[row].tolist()):
                if x < 0 and y < 0:
                    losses.add(UNSAYABLE, 1, f"{image} landmark {landmark}")
                gone = math.isnan(x) or (x < 0 and y < 0)
                lines.append("-1 -1\n" if gone else f"{text_of(x, 6)} {text_of(y, 6)}\n")
            file.write(f"LM={len(lines)}\n{''.join(lines)}IMAGE={image}\nID={row}\n")
    return list(losses)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    check_other(target, source)
    counted = Counted()
    with source.open_bytes(source.path) as data:
        mark = "\ufeff" if data.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else ""
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        for block in _blocks(source):
            if block.points:
                image = block.image(source.path)
                row = changes.keys.get((image, counted.next(image)))
                if row is not None:
                    _change(block, changes, row, source.path)
            file.writelines(block.lines)
        changes.check_all_seen(str(source.path))


def _change(block: _Block, changes: Changes, row: int, path: Path) -> None:
    """Put new numbers into the lines of a block."""
    for landmark, (x, y) in enumerate(_of_scheme(block, changes.scheme, path).tolist()):
        line = block.lines[block.at[landmark]]
        words = list(_WORD.finditer(line))
        moved = changes.new(row, landmark, (x, y), f"{path}: line {block.line + block.at[landmark]}")
        for word, value in reversed(list(zip(words, moved, strict=True))):
            if value is not None:
                line = line[: word.start()] + in_style_of(word[0], value) + line[word.end() :]
        block.lines[block.at[landmark]] = line


TPS = Format(
    name="tps",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.SUBPIXEL}),
    sized=True,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
