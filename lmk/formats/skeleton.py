"""Skeletons of other tools, lines between landmarks, and contours of ours, which are chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from lmk.scheme import Index, LandmarkScheme

Edge = tuple[int, int]


def edges_of(scheme: LandmarkScheme) -> list[Edge]:
    """The lines along a scheme's contours, each once, in order."""
    lines: dict[frozenset[int], Edge] = {}
    for contour in scheme.contours:
        for one, other in pairwise(contour):
            lines.setdefault(frozenset((one, other)), (one, other))
    return list(lines.values())


def with_skeleton(scheme: LandmarkScheme, edges: Iterable[Edge]) -> LandmarkScheme:
    """The scheme with contours where lines form chains, open or closed.

    Lines that branch, as those of a body do, are no contour: nothing slides along them.
    """
    beside: dict[int, set[int]] = {}
    for one, other in edges:
        if one != other:
            beside.setdefault(one, set()).add(other)
            beside.setdefault(other, set()).add(one)
    contours: list[Index] = []
    seen: set[int] = set()
    for start in sorted(beside):
        if start in seen:
            continue
        together = _reached(start, beside)
        seen |= together
        if all(len(beside[point]) <= 2 for point in together):
            contours.append(_chain(together, beside))
    return replace(scheme, contours=tuple(contours))


def _reached(start: int, beside: dict[int, set[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        for point in beside[waiting.pop()]:
            if point not in found:
                found.add(point)
                waiting.append(point)
    return found


def _chain(points: set[int], beside: dict[int, set[int]]) -> Index:
    """The points of a chain in order, from its lower end; of a closed one the first comes last again."""
    ends = [point for point in sorted(points) if len(beside[point]) == 1]
    chain = [ends[0] if ends else min(points)]
    while len(chain) < len(points):
        chain.append(min(point for point in beside[chain[-1]] if point not in chain[-2:]))
    return tuple(chain if ends else [*chain, chain[0]])
