"""The mean shape: what was one shape before it was turned, scaled and shifted is one shape again."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.kernels.shape import mean_shape, shape_space


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


@pytest.mark.parametrize("count", [50, 2000])
def test_what_shapes_differ_in_is_found_with_its_direction_and_size(count):
    """A square that is drawn out to the right, by so much: no turn, size or shift does that to one."""
    random = np.random.default_rng(4)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]])
    centre = square - 0.5
    way = np.column_stack([centre[:, 0], -centre[:, 1]])  # wider and lower
    shapes = centre + random.normal(0, 0.02, count)[:, None, None] * way
    turn = random.uniform(-0.5, 0.5, count)
    rotation = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], -1).reshape(-1, 2, 2)
    copies = random.uniform(20, 60, count)[:, None, None] * shapes @ rotation.transpose(0, 2, 1)

    space = shape_space(copies, 0.95)

    assert len(space.directions) == 1
    expected = 0.02 * np.linalg.norm(way)  # in parts of the square's side
    assert space.spread[0] == pytest.approx(expected, rel=0.25 if count == 50 else 0.05)
    direction = way.T.ravel() / np.linalg.norm(way)
    assert abs(space.directions[0] @ direction) > 0.99
