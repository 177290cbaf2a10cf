"""Contours from the edges of a skeleton: only where these are chains, as a contour has a direction and no branch.

Edges that branch are limbs of a body: nothing slides along them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

Edge = tuple[int, int]
BRANCHED = "edges of a skeleton with branches"


def contours_of(edges: Iterable[Sequence[int]]) -> tuple[list[list[int]], list[Edge]]:
    """Chains of edges as contours, and the edges that are in none.

    A chain starts at its end with the lower number.  A closed one starts at its lowest point, goes on to the lower
    neighbour, and ends where it starts.

    Args:
        edges: pairs of landmarks, in any order and direction.
    """
    pairs = list(dict.fromkeys((min(edge), max(edge)) for edge in map(tuple, edges) if edge[0] != edge[1]))
    beside: dict[int, list[int]] = {}
    for one, other in pairs:
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    contours, left = [], []
    waiting = dict.fromkeys(sorted(beside))
    while waiting:
        together = _together(next(iter(waiting)), beside)
        for point in together:
            del waiting[point]
        if any(len(beside[point]) > 2 for point in together):
            left += [pair for pair in pairs if pair[0] in together]
            continue
        ends = sorted(point for point in together if len(beside[point]) == 1)
        contours.append(_walked(ends[0] if ends else min(together), beside))
    return contours, left


def edges_of(contours: Iterable[Sequence[int]]) -> list[Edge]:
    """The edges of contours, each once, in order."""
    lines: dict[frozenset[int], Edge] = {}
    for one, other in (pair for contour in contours for pair in pairwise(contour)):
        lines.setdefault(frozenset((one, other)), (one, other))
    return list(lines.values())


def _together(start: int, beside: dict[int, list[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        new = [other for other in beside[waiting.pop()] if other not in found]
        found.update(new)
        waiting += new
    return found


def _walked(start: int, beside: dict[int, list[int]]) -> list[int]:
    """A chain from its end, or a ring from one of its points, back to it."""
    chain, before = [start], -1
    while True:
        onward = sorted(other for other in beside[chain[-1]] if other != before)
        if not onward:
            return chain
        before = chain[-1]
        chain.append(onward[0])
        if chain[-1] == start:
            return chain
