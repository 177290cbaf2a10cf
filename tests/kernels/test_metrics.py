"""Error measures against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lmk.kernels.metrics import (
    area_under_ced,
    bounds_side,
    ced,
    group_distance,
    instance_errors,
    point_errors,
    summary,
)


def test_nme_is_the_mean_distance_over_the_unit_of_each_instance():
    points = np.array([[[3.0, 4.0], [0, 0]], [[0, 0], [6.0, 8.0]]])

    errors = instance_errors(point_errors(points, np.zeros_like(points)), np.array([10.0, 20.0]))

    np.testing.assert_allclose(errors, [0.25, 0.25])


def test_missing_points_do_not_count_and_an_instance_without_any_has_no_error():
    points = np.array([[[3.0, 4.0], [np.nan, np.nan]], [[np.nan] * 2, [np.nan] * 2]])

    errors = instance_errors(point_errors(points, np.zeros_like(points)), np.array([10.0, 10.0]))

    assert errors[0] == pytest.approx(0.5)
    assert np.isnan(errors[1])


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 20)), st.floats(0.5, 15))
def test_the_area_is_the_integral_of_the_staircase(errors, threshold):
    grid = np.linspace(0, threshold, 20001)

    area = np.trapezoid(ced(errors, grid), grid) / threshold

    assert area_under_ced(errors, threshold) == pytest.approx(area, abs=2e-3)


def test_failures_are_the_errors_above_the_threshold():
    result = summary(np.array([1.0, 8.0, 8.1, np.nan]), threshold=8.0)

    assert result["instances"] == 3
    assert result["failure_rate"] == pytest.approx(1 / 3)
    assert result["nme"] == pytest.approx(17.1 / 3)
    assert result["median"] == 8


def test_nothing_to_measure_is_no_number():
    assert summary(np.array([np.nan]), 8.0)["nme"] is None


def test_units_of_the_papers():
    points = np.array([[[0.0, 0], [2, 0], [10, 0], [14, 0], [7, 4.5]]])

    assert group_distance(points, ((0, 1), (2, 3)))[0] == pytest.approx(11)  # between the eyes' centres
    assert group_distance(points, ((0,), (3,)))[0] == pytest.approx(14)
    assert bounds_side(points)[0] == pytest.approx(np.sqrt(14 * 4.5))
