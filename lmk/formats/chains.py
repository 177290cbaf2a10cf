"""Contours from the edges of a skeleton, where these are chains."""

from __future__ import annotations

from collections.abc import Iterable


def contours_of(edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Each chain of edges as points in order; a closed one ends where it starts.

    Edges that branch are limbs of a body, not a contour, and say nothing about the order of points along a line.
    """
    next_to: dict[int, set[int]] = {}
    for one, other in edges:
        if one != other:
            next_to.setdefault(one, set()).add(other)
            next_to.setdefault(other, set()).add(one)
    contours, seen = [], set[int]()
    for first in sorted(next_to):
        if first in seen:
            continue
        together, waiting = {first}, [first]
        while waiting:
            new = next_to[waiting.pop()] - together
            together |= new
            waiting.extend(new)
        seen |= together
        if all(len(next_to[point]) <= 2 for point in together):
            contours.append(_walked(together, next_to))
    return contours


def _walked(together: set[int], next_to: dict[int, set[int]]) -> list[int]:
    """A chain from its end with the lower number; a closed one from its lowest number towards the lower neighbour."""
    ends = [point for point in together if len(next_to[point]) == 1]
    chain = [min(ends or together)]
    while len(chain) < len(together):
        chain.append(min(next_to[chain[-1]] - set(chain[-2:]) if len(chain) > 1 else next_to[chain[0]]))
    return chain if ends else [*chain, chain[0]]
