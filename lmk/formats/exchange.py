"""Reading, writing and writing back, as they are for all formats: between a file's numbers and our positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet, check_same_scheme
from lmk.errors import DataError, FormatError
from lmk.formats.base import Format, Loss, Part, Reading, Trait, column_of
from lmk.formats.changes import Changes
from lmk.formats.pixels import from_ours, to_ours
from lmk.formats.source import Source
from lmk.names import AnyFolder, as_folder, check_names
from lmk.registry import FORMATS, entry
from lmk.scheme import LandmarkScheme


def format_named(name: str) -> Format:
    """The format that a user named."""
    found: Format = entry("format", name, FORMATS).load()
    return found


def read(form: Format, source: AnyFolder, scheme: LandmarkScheme, with_images: bool) -> Reading:
    """Read labels; positions of the parts are ours, and every image's name stays in the dataset's folder."""
    folder = as_folder(source)
    path = folder.path
    if form.read is None:
        raise FormatError(f"{path}: lmk writes format {form.name}, but does not read it")
    reading = form.read(Source(path, folder.links), scheme, with_images)
    return replace(reading, parts=_ours(reading.parts, form, str(path)))


def _ours(parts: Iterator[Part], form: Format, where: str) -> Iterator[Part]:
    for part in parts:
        check_names(part.table["image"].unique(), where)
        places = {name: to_ours(part.table[name].to_numpy(np.float64), form.origin) for name in ("x", "y")}
        yield replace(part, table=part.table.assign(**places))


def write(form: Format, annotations: AnnotationSet, target: Path) -> list[Loss]:
    """Write a set for other people's tools; what the set says and the format cannot is returned."""
    if form.write is None:
        raise FormatError(f"{target}: lmk reads format {form.name}, but does not write it")
    check_names(annotations.instances["image"].unique(), str(target))
    lost = [loss for trait, loss in said_by(annotations).items() if trait not in form.carries]
    return [*lost, *form.write(annotations, from_ours(annotations.points, form.origin), target)]


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
        from_ours(old, form.origin),
        from_ours(after.points, form.origin),
    )
    form.write_back(Source(path), changes, target)


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
