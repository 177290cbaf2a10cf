"""Half pixels: once, and the same on the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lmk.annotations import FAR, UNIT
from lmk.formats.pixels import IN_WORDS, OFFSETS, from_ours, text_of, to_ours

steps = st.integers(-int(FAR / UNIT), int(FAR / UNIT))


@pytest.mark.parametrize("origin", [*OFFSETS, "bottom"])
@given(steps=arrays(np.int64, (3, 2), elements=steps))
def test_the_way_there_and_back_is_exact_in_both_directions(origin, steps):
    points = steps * UNIT

    sizes = np.broadcast_to(np.array([640.0, 480.0]), points.shape)
    np.testing.assert_array_equal(to_ours(from_ours(points, origin, sizes), origin, sizes), points)
    np.testing.assert_array_equal(from_ours(to_ours(points, origin, sizes), origin, sizes), points)


@pytest.mark.parametrize(("origin", "number"), [("centre", 0.0), ("one", 1.0), ("corner", 0.5)])
def test_the_centre_of_the_top_left_pixel_is_our_origin(origin, number):
    np.testing.assert_array_equal(to_ours(np.array([[number, number + 7]]), origin), [[0, 7]])
    np.testing.assert_array_equal(from_ours(np.array([[0.0, 7.0]]), origin), [[number, number + 7]])


@pytest.mark.parametrize("origin", IN_WORDS)
def test_a_missing_point_stays_missing(origin):
    missing = np.full((1, 2), np.nan)
    assert np.isnan(to_ours(missing, origin, np.ones((1, 2)))).all()
    assert np.isnan(from_ours(missing, origin, np.ones((1, 2)))).all()


@pytest.mark.parametrize("origin", OFFSETS)
@given(written=st.decimals(-10_000, 10_000, places=9))
def test_a_number_that_somebody_wrote_comes_back_to_the_last_bit(origin, written):
    number = np.array([float(written)])

    np.testing.assert_array_equal(from_ours(to_ours(number, origin), origin), number)


@pytest.mark.parametrize("origin", IN_WORDS)
@given(
    written=st.lists(st.decimals(0, 1, places=6), min_size=2, max_size=2),
    size=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
)
def test_a_share_that_somebody_wrote_comes_back_to_the_last_bit(origin, written, size):
    numbers, sizes = np.array([written], np.float64), np.array([size], np.float64)

    np.testing.assert_array_equal(from_ours(to_ours(numbers, origin, sizes), origin, sizes), numbers)


@pytest.mark.parametrize(
    ("origin", "written"), [("fraction", [0.75, 0.5]), ("percent", [75, 50]), ("bottom", [299.5, 120.5])]
)
def test_what_needs_the_images_size_is_turned_with_it(origin, written):
    found = to_ours(np.array([written], np.float64), origin, np.array([[400.0, 240.0]]))

    np.testing.assert_array_equal(found, [[299.5, 119.5]])


@given(number=st.floats(-1e6, 1e6))
def test_a_number_is_written_with_all_that_it_has(number):
    assert float(text_of(number, decimals=6)) == number


def test_a_number_that_needs_few_decimals_has_as_many_as_asked_for():
    assert text_of(289.6, decimals=6) == "289.600000"
    assert text_of(289.1234567, decimals=6) == "289.1234567"
