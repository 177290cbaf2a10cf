"""Edges of skeletons are contours where they are chains."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmk.formats.edges import contours_of, edges_of


def test_chains_and_rings_are_contours_and_branches_are_not():
    edges = [(2, 1), (3, 2), (5, 4), (4, 6), (6, 5), (7, 8), (7, 9), (7, 10), (0, 0), (1, 2)]

    contours, left = contours_of(edges)

    assert contours == [[1, 2, 3], [4, 5, 6, 4]]
    assert left == [(7, 8), (7, 9), (7, 10)]


@given(edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_every_edge_is_in_one_contour_or_left(edges):
    contours, left = contours_of(edges)

    found = [tuple(sorted(edge)) for edge in [*edges_of(contours), *left]]
    assert sorted(found) == sorted({tuple(sorted(edge)) for edge in edges if edge[0] != edge[1]})
