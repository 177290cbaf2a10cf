"""The mean shape: what was one shape before it was turned, scaled and shifted is one shape again."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.kernels.shape import mean_shape


def scattered_copies(shape, count, seed):
    """(count, K, 2) similar copies, turned by up to a radian to either side."""
    random = np.random.default_rng(seed)
    z = shape[:, 0] + 1j * shape[:, 1]
    turns = random.uniform(0.2, 5, count) * np.exp(1j * random.uniform(-1, 1, count))
    copies = z * turns[:, None] + (random.normal(0, 100, (count, 2)) @ np.array([1, 1j]))[:, None]
    return np.stack([copies.real, copies.imag], axis=-1)


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


@pytest.mark.parametrize("seed", range(3))
def test_similar_shapes_with_holes_give_their_common_shape(seed):
    shape = np.random.default_rng(seed + 50).uniform(0, 1, (9, 2))
    copies = scattered_copies(shape, 60, seed)
    copies[np.random.default_rng(seed).uniform(size=(60, 9)) < 0.3] = np.nan

    mean = mean_shape(copies)

    ratio = distances(mean)[0, 1:] / distances(shape)[0, 1:]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert (mean.min(), np.ptp(mean, axis=0).max()) == (pytest.approx(0), pytest.approx(1))


def test_the_mean_is_turned_as_the_shapes_are_on_average_and_not_as_the_first_is():
    upright = np.array([[0, 0], [0, 4.0], [1, 4]])
    copies = scattered_copies(upright, 400, 1)

    x, y = np.diff(mean_shape(copies)[:2], axis=0)[0]

    assert abs(np.arctan2(x, y)) < 0.1
    assert y > 0


def test_a_point_that_nobody_has_stays_missing():
    copies = scattered_copies(np.random.default_rng(3).uniform(0, 1, (4, 2)), 5, 3)
    copies[:, 2] = np.nan

    assert np.isnan(mean_shape(copies)).all(axis=1).tolist() == [False, False, True, False]
