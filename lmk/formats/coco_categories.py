"""Which category of a COCO file is read, and what its points mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.errors import FormatError, SchemeError
from lmk.formats.base import Losses
from lmk.formats.coco_header import Header, is_id
from lmk.formats.edges import contours_of
from lmk.formats.json_walk import elements, parsed
from lmk.formats.landmarks import chosen, fitting, named, scheme_of
from lmk.formats.source import Source
from lmk.scheme import LandmarkScheme


@dataclass(frozen=True)
class Chosen:
    """What is read of a file."""

    ids: set[Any] | None  # of categories; None for all
    scheme: LandmarkScheme
    numbers: NDArray[np.int64]  # in the scheme, of each point in the order of the file


def chosen_category(
    source: Source, header: Header, asked: LandmarkScheme | None, losses: Losses, notes: list[str]
) -> Chosen:
    """The categories that have the landmarks which are asked for, or the only ones that have any.

    Args:
        source: of the file, for one annotation where categories name no landmarks.
        header: of the file.
        asked: what the user named.
        losses: names of categories that are read as one are added.
        notes: what the user should know about it is added.
    """
    where = str(header.file)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for category in header.categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names:
            if not is_id(category.get("id")):
                raise FormatError(f"{where}: category {category.get('name')!r:.40} has no id")
            groups.setdefault(tuple(map(str, names)), []).append(category)
    if not groups:
        scheme = chosen(asked, _counted(source, header), where)
        return Chosen(None, scheme, np.arange(scheme.size))
    names = _names_of(groups, asked, where)
    categories = groups[names]
    if len(groups) > 1:
        notes.append(f"read is {_called(categories)}; other categories have landmarks, too")
    if len(categories) > 1:
        losses.add("categories", len(categories), str(categories[0].get("name")))
        notes.append(f"{_called(categories)} have the same landmarks, and are read as one")
    brought = scheme_of(names, str(categories[0].get("name") or header.file.stem), where)
    brought = _with_contours(brought, categories[0].get("skeleton"), notes)
    ids = {category["id"] for category in categories}
    if asked is None and all(name.isdecimal() for name in names) and fitting(len(names)):
        return Chosen(ids, chosen(None, len(names), where), np.arange(len(names)))  # these are numbers, and no names
    return Chosen(ids, *named(asked, brought, where, notes))


def _names_of(
    groups: dict[tuple[str, ...], list[dict[str, Any]]], asked: LandmarkScheme | None, where: str
) -> tuple[str, ...]:
    """The landmarks of the categories that are meant."""
    if len(groups) == 1:
        return next(iter(groups))
    if asked is not None:
        same = [names for names in groups if set(names) == set(asked.names)]
        same = same or [names for names in groups if len(names) == asked.size]
        if len(same) == 1:
            return same[0]
    which = " and ".join(f"{_called(group)} ({len(names)} points)" for names, group in list(groups.items())[:3])
    raise SchemeError(
        f"{where}: {which} have different landmarks; say with --scheme which are meant, or leave one in the file"
    )


def _called(categories: list[dict[str, Any]]) -> str:
    names = [f"{category.get('name')!r:.40}" for category in categories]
    return f"category {names[0]}" if len(names) == 1 else f"categories {', '.join(names[:3])}{', …' * (len(names) > 3)}"


def _counted(source: Source, header: Header) -> int:
    """How many points the first annotation with any has."""
    for element in elements(source, header.file, {"annotations"}):
        annotation = parsed(element, header.file)
        points = annotation.get("keypoints") if isinstance(annotation, dict) else None
        if isinstance(points, list) and points:
            return len(points) // 3
    raise FormatError(f"{header.file}: no annotation has keypoints, and no category names any")


def _with_contours(scheme: LandmarkScheme, skeleton: Any, notes: list[str]) -> LandmarkScheme:
    """The scheme with contours where a skeleton has chains."""
    lines = skeleton if isinstance(skeleton, list) else []
    points = [point for line in lines if isinstance(line, list) and len(line) == 2 for point in line]
    if len(points) < 2 * len(lines) or not all(type(point) is int for point in points):
        notes.append("the skeleton is no list of pairs of points; it is not read")
        return scheme
    first = 0 if 0 in points else 1
    if points and not (min(points) >= first and max(points) < scheme.size + first):
        notes.append("the skeleton has points that the category does not name; it is not read")
        return scheme
    if points and first == 0:
        notes.append("points of the skeleton count from 0, as datumaro writes them; COCO counts them from 1")
    edges = zip(points[::2], points[1::2], strict=True)
    contours, _ = contours_of((one - first, other - first) for one, other in edges)
    return replace(scheme, contours=tuple(map(tuple, contours)))
