"""Which landmarks a source has: by the user's scheme, by names in the file, or by their number."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lmk.errors import SchemeError
from lmk.scheme import LandmarkScheme, known_schemes, load_scheme, parse_scheme


def chosen(asked: LandmarkScheme | None, count: int, where: str) -> LandmarkScheme:
    """The scheme of a source whose landmarks have no names: the user's, or the only shipped one with as many points.

    Args:
        asked: what the user named.
        count: landmarks of the source.
        where: the source, for messages.
    """
    if asked is not None:
        if asked.size != count:
            raise SchemeError(f"{where}: {count} points, but scheme {asked.name} has {asked.size}")
        return asked
    found = fitting(count)
    if len(found) != 1:
        named = f"; {' and '.join(scheme.name for scheme in found)} have as many" if found else ""
        raise SchemeError(
            f"{where}: {count} points without names{named}; say with --scheme what they mean: a name such as ibug68, "
            "or a .json file"
        )
    return found[0]


def fitting(count: int) -> list[LandmarkScheme]:
    """The shipped schemes with so many points."""
    return [scheme for scheme in map(load_scheme, known_schemes()) if scheme.size == count]


def named(
    asked: LandmarkScheme | None, brought: LandmarkScheme, where: str, notes: list[str]
) -> tuple[LandmarkScheme, NDArray[np.int64]]:
    """The scheme of a source that names its landmarks, and the number in it of each landmark of the source.

    Args:
        asked: what the user named; where it has the same names, in any order, these decide, else the order does.
        brought: what the source says.
        where: the source, for messages.
        notes: what the user should know about it is added.
    """
    if asked is None:
        return brought, np.arange(brought.size)
    if asked.size != brought.size:
        raise SchemeError(f"{where}: {brought.size} landmarks, but scheme {asked.name} has {asked.size}")
    if set(asked.names) == set(brought.names):
        return asked, numbers(brought.names, asked)
    differs = next(number for number, name in enumerate(brought.names) if name not in asked.names)
    notes.append(
        f"landmarks are taken in the order of the file: it calls number {differs} {brought.names[differs]!r}, scheme "
        f"{asked.name} {asked.names[differs]!r}"
    )
    return asked, np.arange(asked.size)


def scheme_of(names: Sequence[str], name: str, where: str = "") -> LandmarkScheme:
    """A scheme with these landmarks and no contours; messages name the source."""
    return parse_scheme(json.dumps({"name": name, "points": list(names)}), where or name)


def numbers(names: Sequence[str], scheme: LandmarkScheme) -> NDArray[np.int64]:
    """The number in a scheme of each name, which it has."""
    places = {name: number for number, name in enumerate(scheme.names)}
    return np.array([places[name] for name in names], np.int64)
