"""One `.ljson` file of menpo, in any of its three versions: its groups of points, and where their numbers stand."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmk.errors import FormatError
from lmk.formats.json_places import Span, items, members
from lmk.limits import POINTS
from lmk.reading import parse_json, whole

Pair = tuple[float, float]
_LARGEST = 1e6  # pixels


@dataclass
class Group:
    """Points that are one object."""

    name: str
    points: list[Pair]  # y and x as in the file, NaN where a point is missing
    edges: list[tuple[int, int]]
    parts: list[tuple[str, list[int]]]  # names of parts, and their points


def groups_of(data: bytes, file: Path) -> list[Group]:
    """The groups of a file; versions 1 and 2 have one."""
    tree = parse_json(data.removeprefix(codecs.BOM_UTF8), str(file))
    if not isinstance(tree, dict) or tree.get("version") not in (1, 2, 3):
        version = tree.get("version") if isinstance(tree, dict) else tree
        raise FormatError(f"{file}: not an .ljson file of version 1, 2 or 3, but of {version!r:.40}")
    with whole(file, "not a whole .ljson file"):
        if tree["version"] == 1:
            return [_first(tree["groups"], file)]
        if tree["version"] == 2:
            return [_group("", tree, file)]
        return [_group(str(name), each, file) for name, each in tree["groups"].items()]


def _first(groups: list[dict[str, Any]], file: Path) -> Group:
    """Version 1: its groups are parts of one object, one behind the other; edges count from the first of each."""
    one = Group("", [], [], [])
    for each in groups:
        start = len(one.points)
        one.points += [_point(landmark["point"], file) for landmark in each["landmarks"]]
        _check_count(one, file)
        one.parts.append((str(each["label"]), list(range(start, len(one.points)))))
        one.edges += [
            (a + start, b + start) for a, b in _edges(each.get("connectivity"), len(one.points) - start, file)
        ]
    return one


def _group(name: str, said: dict[str, Any], file: Path) -> Group:
    landmarks = said["landmarks"]
    one = Group(name, [_point(point, file) for point in landmarks["points"]], [], [])
    _check_count(one, file)
    one.edges = _edges(landmarks.get("connectivity"), len(one.points), file)
    for label in said.get("labels") or []:
        one.parts.append((str(label["label"]), [int(point) for point in label["mask"]]))
    return one


def _check_count(one: Group, file: Path) -> None:
    if len(one.points) > POINTS:
        raise FormatError(f"{file}: more than {POINTS} points; no face has so many")


def _point(point: Any, file: Path) -> Pair:
    if not isinstance(point, list) or len(point) != 2:
        raise FormatError(f"{file}: a point is {point!r:.60}, and not [y, x]; points in space are not read")
    if point == [None, None]:
        return math.nan, math.nan
    for value in point:
        if type(value) not in (int, float) or not abs(value) < _LARGEST:  # NaN is not less than anything
            raise FormatError(f"{file}: a point is {point!r:.60}; a missing one is [null, null]")
    return point[0], point[1]


def _edges(connectivity: Any, count: int, file: Path) -> list[tuple[int, int]]:
    edges = [(one, other) for one, other in connectivity or []]
    if not all(type(end) is int and 0 <= end < count for edge in edges for end in edge):
        raise FormatError(f"{file}: connectivity has points that are not there")
    return edges


def places_of(data: bytes) -> Iterator[list[Span]]:
    """Where y and x of each point of each group stand, in a file that has been parsed."""
    start = len(data) - len(data.removeprefix(codecs.BOM_UTF8).lstrip())
    tree = members(data, start)
    version = int(data[slice(*tree["version"])])
    if version == 1:
        found: list[Span] = []
        for group in items(data, tree["groups"][0]):
            for landmark in items(data, members(data, group[0])["landmarks"][0]):
                found += items(data, members(data, landmark[0])["point"][0])
        yield found
    elif version == 2:
        yield _of_group(data, start)
    else:
        for group in members(data, tree["groups"][0]).values():
            yield _of_group(data, group[0])


def _of_group(data: bytes, start: int) -> list[Span]:
    points = members(data, members(data, start)["landmarks"][0])["points"]
    return [span for point in items(data, points[0]) for span in items(data, point[0])]
