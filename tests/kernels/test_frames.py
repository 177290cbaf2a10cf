"""Along and across: which way is positive, and that parts go back to offsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmk.kernels.frames import across, axes, join, split, split_on_contours


def test_across_is_to_the_right_of_somebody_who_walks_along_the_contour():
    # y points down: whoever walks to the right has the bottom of the image on the right hand.
    assert across(np.array([1.0, 0.0])).tolist() == [0.0, 1.0]
    assert across(np.array([0.0, 1.0])).tolist() == [-1.0, 0.0]


def test_an_offset_is_split_as_the_formulas_say():
    tangent = np.array([0.6, 0.8])
    offset = np.array([2.0, -1.0])

    along, beside = split(offset, axes(tangent))

    assert along == pytest.approx(0.6 * 2 + 0.8 * -1)
    assert beside == pytest.approx(0.6 * -1 - 0.8 * 2)


def test_a_point_on_no_contour_has_the_axes_of_the_image_or_no_parts():
    nowhere = np.full((1, 2), np.nan)
    offset = np.array([[3.0, 4.0]])

    assert split(offset, axes(nowhere)).tolist() == [[3.0, 4.0]]
    assert all(np.isnan(part).all() for part in split_on_contours(offset, nowhere))


@given(st.floats(0, 6.28), st.floats(-50, 50), st.floats(-50, 50))
def test_joining_what_was_split_gives_the_offset(turn, x, y):
    frame = axes(np.array([np.cos(turn), np.sin(turn)]))

    back = join(split(np.array([x, y]), frame), frame)

    np.testing.assert_allclose(back, [x, y], atol=1e-9)
