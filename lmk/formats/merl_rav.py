"""MERL-RAV: `.pts` files whose signs mean something.

`-1 -1` is a point that the face itself hides, which is missing; two other negative numbers are a point that something
else hides: it is at their absolute values, and occluded.  Splits are folders called trainset and testset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.formats.annotators import stem
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes, in_style_of
from lmk.formats.folders import Beside, check_new, image_of, label_files, put
from lmk.formats.landmarks import chosen
from lmk.formats.pixels import Points, text_of
from lmk.formats.pts import MERL_SPLITS, WHOLE, is_merl_rav, parse
from lmk.formats.rows import Rows, says_nothing
from lmk.formats.source import Source, first_in
from lmk.limits import LABEL_BYTES
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_MISSING = "-1 -1"
_FOLDER = "format merl-rav reads a folder of images with .pts files beside them"
_WORD = re.compile(r"\S+")


def _sniff(path: Path, head: bytes) -> Guess | None:
    found = first_in(path, lambda file, _: file.suffix.lower() == ".pts" and is_merl_rav(file))
    if found is None:
        return None
    return Guess(1.0, f"there are .pts files in it where MERL-RAV has its labels, {found} for one")


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    files, beside = label_files(source, ".pts", _FOLDER)
    scheme = asked or chosen(None, len(parse(source.text(files[0], LABEL_BYTES), files[0])), str(files[0]))
    losses = Losses()
    return Reading(_parts(source, (files, beside), scheme, with_images, losses), scheme, losses)


def _parts(
    source: Source, found: tuple[list[Path], Beside], scheme: LandmarkScheme, with_images: bool, losses: Losses
) -> Iterator[Part]:
    files, beside = found
    if alone := sorted(beside.keys() - {file.with_suffix("") for file in files}):
        losses.add("images without a .pts file", len(alone), source.name(beside[alone[0]][0]))
    rows = Rows(scheme.size, PART_ROWS)
    for file in files:
        numbers = parse(source.text(file, LABEL_BYTES), file)
        chosen(scheme, len(numbers), str(file))
        points, visibility = _signed(numbers, file)
        if says_nothing(points, losses, str(file)):
            continue
        image = image_of(file, beside, source, with_images)
        rows.add(points, source.name(file), image=image, instance=0, visibility=visibility,
                 split=_split_in(image) or "train")  # fmt: skip
        if rows.full:
            yield rows.part()
    if rows:
        yield rows.part()


def _signed(numbers: Points, file: Path) -> tuple[Points, NDArray[np.int64]]:
    """Points (K, 2), NaN where missing, and visibility (K,) of the numbers of a file."""
    negative = np.signbit(numbers)
    if (odd := negative[:, 0] != negative[:, 1]).any():
        landmark = int(np.argmax(odd))
        raise FormatError(
            f"{file}: point {landmark} is {numbers[landmark, 0]:g} {numbers[landmark, 1]:g}; in MERL-RAV both numbers "
            "of a point have one sign"
        )
    missing = (numbers == -1).all(axis=1)
    visibility = np.where(missing, 0, np.where(negative[:, 0], 1, 2))
    return np.where(missing[:, None], np.nan, np.abs(numbers)), visibility


def _split_in(name: str) -> str | None:
    return next((MERL_SPLITS[part] for part in PurePosixPath(name).parts[:-1] if part in MERL_SPLITS), None)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one file an image into a new folder; of several instances each gets its number behind the name."""
    check_new(target)
    instances, visibility = annotations.instances, annotations.column("visibility")
    if (outside := (points < 0).any(axis=-1)).any():
        row, landmark = np.argwhere(outside)[0].tolist()
        raise FormatError(
            f"{target}: {instances['image'][row]} landmark {landmark} lies left of or above its image; its sign would "
            "say that it is occluded"
        )
    several = instances.duplicated("image", keep=False)
    keys = zip(instances["image"], instances["instance"], several, strict=True)
    names = [f"{stem(image)}_{instance}" if is_several else stem(image) for image, instance, is_several in keys]
    if len(set(names)) < len(names):
        raise DataError(f"{target}: two images would get the same .pts file; use format csv")
    losses = Losses()
    with replacing(target) as temporary:
        temporary.mkdir()
        for row, name in enumerate(names):
            lines = map(_line, points[row].tolist(), visibility[row].tolist())
            text = "\n".join(["version: 1", f"n_points: {annotations.landmarks}", "{", *lines, "}"]) + "\n"
            put(temporary, f"{name}.pts", text.encode())
            split = instances["split"][row]
            if split != (_split_in(name) or "train"):
                losses.add(Trait.SPLIT, 1, f"{name}.pts lies in no folder of {split}")
    return list(losses)


def _line(point: list[float], visibility: int) -> str:
    if visibility == 0:
        return _MISSING
    sign = "-" if visibility == 1 else ""
    if point == [1, 1] and sign:
        return "-1.000001 -1.000001"  # it would be taken for missing
    return " ".join(sign + text_of(number, decimals=6) for number in point)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write the `.pts` files into a new folder."""
    check_new(target)
    rows = {image: row for (image, instance), row in changes.keys.items() if instance == 0}
    stems = {stem(image): row for image, row in rows.items()}
    files, beside = label_files(source, ".pts", _FOLDER)
    with replacing(target) as temporary:
        temporary.mkdir()
        for file in files:
            data, text, name = source.data(file, LABEL_BYTES), source.text(file, LABEL_BYTES), source.name(file)
            row = rows.get(image_of(file, beside, source, False), stems.get(name[: -len(file.suffix)]))
            if row is not None:
                mark = data[: len(data) - len(text.encode())]  # a byte order mark, or nothing
                data = mark + _changed(text, changes, row, file).encode()
            put(temporary, name, data)
        changes.check_all_seen(str(source.path))


def _changed(text: str, changes: Changes, row: int, file: Path) -> str:
    """The text of one file with new numbers in place of the old ones, and their signs as they were."""
    points, whole = _signed(parse(text, file), file)[0], WHOLE.fullmatch(text)
    assert whole is not None
    chosen(changes.scheme, len(points), str(file))
    words = _WORD.finditer(text, *whole.span(2))
    pieces, end = [], 0
    for landmark, (x, y) in enumerate(points.tolist()):
        for value in changes.new(row, landmark, (x, y), str(file)):
            word = next(words)
            if value is None:
                continue
            if value < 0:
                raise DataError(
                    f"{file}: landmark {landmark} moved out of its image; its sign would say that it is occluded"
                )
            sign = "-" if word[0].startswith("-") else ""
            pieces += [text[end : word.start()], sign + in_style_of(word[0].lstrip("+-"), value)]
            end = word.end()
    return "".join([*pieces, text[end:]])


MERL_RAV = Format(
    name="merl-rav",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.OCCLUSION, Trait.SPLIT, Trait.SUBPIXEL}),
    apart=False,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
