"""Reading, writing and writing back, as they are for all formats: between a file's numbers and our positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet, check_same_scheme, make_set
from lmk.errors import DataError, FormatError, Lost
from lmk.files import remove
from lmk.formats.base import Format, Guess, Loss, Part, Reading, Trait, column_of
from lmk.formats.changes import Changes
from lmk.formats.pixels import IN_WORDS, SIZED, Points, from_ours, pixel_of, to_ours
from lmk.formats.rows import Sizes
from lmk.formats.source import Source, head
from lmk.names import AnyFolder, as_folder, check_names
from lmk.registry import FORMATS, Origin, entry
from lmk.scheme import LandmarkScheme

SURE = 0.9  # confidence from which a guess wins over those below it


def format_named(name: str) -> Format:
    """The format that a user named."""
    found: Format = entry("format", name, FORMATS).load()
    return found


def looks_like(path: Path) -> tuple[Format, Guess]:
    """The one format that a source looks like, and why; which it is has to be said where there are several or none."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    start, found = head(path), []
    for name in FORMATS:
        form = format_named(name)
        if form.sniff is not None and (guess := form.sniff(path, start)) is not None:
            found.append((form, guess))
    sure = [(form, guess) for form, guess in found if guess.confidence >= SURE]
    if len(sure) == 1 or len(found) == 1:
        return (sure or found)[0]
    what = "; ".join(f"{form.name} ({guess.reason})" for form, guess in found) or "no format that lmk knows"
    raise DataError(f"{path}: looks like {what}; say with --format which it is: {', '.join(FORMATS)}")


def settled(form: Format, source: Source) -> Format:
    """The format with the origin of one source, where versions differ and the user has not said it."""
    return form if form.origin_of is None else replace(form, origin=form.origin_of(source), origin_of=None)


def read(form: Format, source: AnyFolder, scheme: LandmarkScheme | None, with_images: bool) -> Reading:
    """Read labels; positions of the parts are ours, and every image's name stays in the dataset's folder.

    Without a scheme the points mean what the source says.
    """
    folder = as_folder(source)
    path = folder.path
    if form.read is None:
        raise FormatError(f"{path}: lmk writes format {form.name}, but does not read it")
    if folder.images is not None and not form.apart:
        raise FormatError(f"{path}: images of format {form.name} lie beside their labels; leave --images out")
    opened = Source(path, folder.links, folder.images)
    form = settled(form, opened)
    assert form.read is not None
    reading = form.read(opened, scheme, with_images)
    return replace(reading, parts=_ours(reading.parts, form.origin, opened))


def _ours(parts: Iterator[Part], origin: Origin, source: Source) -> Iterator[Part]:
    where, known = str(source.path), Sizes(source)
    for part in parts:
        check_names(part.table["image"].unique(), where)
        table = _with_sizes(part.table, known) if origin in SIZED else part.table
        points = to_ours(table[["x", "y"]].to_numpy(np.float64), origin, _sizes(table, origin, where))
        yield replace(part, table=table.assign(x=points[:, 0], y=points[:, 1]))


def _with_sizes(table: pd.DataFrame, known: Sizes) -> pd.DataFrame:
    """The table with sizes of images, of the images themselves where it does not have them."""
    if {"width", "height"} <= set(table):
        return table
    sizes = pd.DataFrame({image: known.of(image) for image in table["image"].unique()}).T
    return table.join(sizes, on="image")


def _sizes(table: pd.DataFrame, origin: Origin, where: str) -> Points | None:
    """(rows, 2) the sizes of images, where they are needed."""
    if origin not in SIZED:
        return None
    sizes = table.reindex(columns=["width", "height"]).to_numpy(np.float64, na_value=np.nan)
    if np.isnan(sizes).any():
        name = table["image"].iloc[int(np.argmax(np.isnan(sizes).any(1)))]
        raise DataError(f"{where}: positions are {IN_WORDS[origin]}, and nobody says how large {name} is")
    return sizes


def write(form: Format, annotations: AnnotationSet, target: Path, strict: bool = False) -> list[Loss]:
    """Write a set for other people's tools; what the set says and the format cannot is returned, or refused."""
    if form.write is None:
        raise FormatError(f"{target}: lmk reads format {form.name}, but does not write it")
    check_names(annotations.instances["image"].unique(), str(target))
    if form.sized and annotations.instances[["width", "height"]].isna().to_numpy().any():
        raise DataError(f"{target}: format {form.name} says how large images are; read the set with its images first")
    lost = [loss for trait, loss in said_by(annotations).items() if trait not in form.carries]
    _refuse(lost, form, target, strict)
    more = form.write(annotations, _numbers(annotations.points, form, annotations), target)
    if strict and more:
        remove(target)
    _refuse(more, form, target, strict)
    return [*lost, *more]


def _refuse(lost: Sequence[Loss], form: Format, target: Path, strict: bool) -> None:
    if strict and lost:
        raise Lost(f"{target}: not written as {form.name}: {'; '.join(map(str, lost))}")


def _numbers(points: Points, form: Format, annotations: AnnotationSet) -> Points:
    """(N, K, 2) numbers of a file."""
    if form.origin not in SIZED:
        return from_ours(points, form.origin)
    return from_ours(points, form.origin, np.broadcast_to(_of_images(annotations), points.shape))


def _of_images(annotations: AnnotationSet) -> Points:
    """(N, 1, 2) width and height of each instance's image."""
    return annotations.instances[["width", "height"]].to_numpy(np.float64, na_value=np.nan)[:, None]


def write_back(form: Format, path: Path, before: AnnotationSet, after: AnnotationSet, target: Path) -> None:
    """Write a source's label files again, with new positions in place of the old ones and every other byte as it was.

    Args:
        form: of the source.
        path: the source.
        before: the set as it was read from there.
        after: the same instances, or some of them, with other positions.
        target: a new file, or a new folder with the label files alone; put it over the source to replace them.
    """
    if form.write_back is None:
        raise FormatError(f"{path}: lmk cannot write back into format {form.name}; export the set instead")
    form = settled(form, Source(path))
    assert form.write_back is not None
    check_same_scheme(before.scheme, after.scheme, str(path))
    rows = {key: row for row, key in enumerate(_keys(before))}
    keys = _keys(after)
    if unknown := [image for image, instance in keys if (image, instance) not in rows]:
        raise DataError(f"{path}: {unknown[0]} is not in the set that was read from there")
    old = before.points[[rows[key] for key in keys]]
    differs = np.isnan(old).any(axis=-1) != np.isnan(after.points).any(axis=-1)
    if differs.any():
        row, landmark = np.argwhere(differs)[0].tolist()
        raise DataError(
            f"{path}: {keys[row][0]} landmark {landmark} is labelled in one set and not in the other; writing back "
            "moves points and neither adds nor removes any, so export the set instead"
        )
    changes = Changes(
        {key: row for row, key in enumerate(keys)},
        after.scheme,
        _numbers(old, form, after),
        _numbers(after.points, form, after),
        pixel_of(form.origin, _of_images(after)) if form.origin in SIZED else None,
    )
    form.write_back(Source(path), changes, target)


def write_back_into(form: Format, path: Path, before: AnnotationSet | None, after: AnnotationSet, target: Path) -> int:
    """Write a source's label files again with the positions of a set that was made of it; returns the moved points.

    Args:
        form: of the source.
        path: the source.
        before: the set as it was read from there; without it, edits since then are not noticed.
        after: that set, or one that was made of it.
        target: a new file, or a new folder with the label files alone.
    """
    if before is None:
        parts = read(form, path, after.scheme, with_images=False).parts
        before = make_set((part.table for part in parts), after.scheme, {}, where=str(path))
    write_back(form, path, before, after, target)
    rows = {key: row for row, key in enumerate(_keys(before))}
    moved = before.points[[rows[key] for key in _keys(after)]] != after.points
    return int((moved.any(-1) & after.labelled).sum())


def said_by(annotations: AnnotationSet) -> dict[Trait, Loss]:
    """What a set says, how often, and the first example: a format that does not carry it loses that."""
    instances = annotations.instances
    shared = instances.duplicated("image", keep=False) | (instances["instance"] != 0)
    visibility = annotations.column("visibility")
    between = (annotations.points % 1 != 0) & annotations.labelled[..., None]
    found = {
        Trait.MISSING: _points(annotations, visibility == 0),
        Trait.OCCLUSION: _points(annotations, visibility == 1),
        Trait.SUBPIXEL: _points(annotations, between.any(axis=-1)),
        Trait.SEVERAL: _instances(annotations, shared.to_numpy(np.bool_)),
        Trait.SPLIT: _instances(annotations, (instances["split"] != "train").to_numpy(np.bool_)),
        Trait.NAMES: _names(annotations.scheme),
    }
    if (gross := column_of(annotations, "gross")) is not None:
        found[Trait.GROSS] = _points(annotations, _is_text(gross))
    for trait, name in ((Trait.ANNOTATOR, "annotator"), (Trait.SOURCE, "source")):
        if name in instances:
            found[trait] = _instances(annotations, _is_text(instances[name]))
    return {trait: loss for trait, (count, example) in found.items() if count for loss in [Loss(trait, count, example)]}


def _points(annotations: AnnotationSet, chosen: NDArray[np.bool_]) -> tuple[int, str]:
    if not chosen.any():
        return 0, ""
    row, landmark = np.argwhere(chosen)[0].tolist()
    return int(chosen.sum()), f"{_name(annotations, row)} landmark {landmark}"


def _instances(annotations: AnnotationSet, chosen: NDArray[np.bool_]) -> tuple[int, str]:
    return (int(chosen.sum()), _name(annotations, int(np.argmax(chosen)))) if chosen.any() else (0, "")


def _names(scheme: LandmarkScheme) -> tuple[int, str]:
    # A scheme that only counts its points calls them p00, p01, …
    named = [(k, name) for k, name in enumerate(scheme.names) if not name.removeprefix("p").isdigit()]
    return (len(named), f"landmark {named[0][0]} is {named[0][1]}") if named else (0, "")


def _name(annotations: AnnotationSet, row: int) -> str:
    instance = annotations.instances.iloc[row]
    return f"{instance['image']} instance {instance['instance']}"


def _is_text(values: Any) -> NDArray[np.bool_]:
    return np.asarray(~pd.isna(values) & (values != ""), np.bool_)


def _keys(annotations: AnnotationSet) -> list[tuple[str, int]]:
    instances = annotations.instances
    return list(zip(instances["image"], instances["instance"].astype(int), strict=True))
