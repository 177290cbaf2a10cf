"""The depth buffer against a slow one."""

import numpy as np

from lmk.synth.raster import rasterise


def slow(screen, depth, triangles, size):
    """Every pixel against every triangle, as in a textbook."""
    owner, nearest = np.full((size, size), -1), np.full((size, size), np.inf)
    for t, (a, b, c) in enumerate(triangles):
        area = np.linalg.det(np.array([screen[b] - screen[a], screen[c] - screen[a]]))
        if area <= 1e-6:
            continue
        for row in range(size):
            for column in range(size):
                p = np.array([column, row])
                v = np.linalg.det(np.array([p - screen[a], screen[c] - screen[a]])) / area
                w = np.linalg.det(np.array([screen[b] - screen[a], p - screen[a]])) / area
                z = depth[a] * (1 - v - w) + depth[b] * v + depth[c] * w
                if min(v, w, 1 - v - w) >= 0 and z < nearest[row, column]:
                    owner[row, column], nearest[row, column] = t, z
    return owner, nearest


def test_the_nearest_triangle_wins_at_every_pixel():
    rng = np.random.default_rng(0)
    size, count = 12, 8
    screen, depth = rng.uniform(-3, 15, (3 * count, 2)), rng.uniform(100, 200, 3 * count)
    triangles = np.arange(3 * count).reshape(-1, 3)

    fragments = rasterise(screen, depth, triangles, size)

    owner, nearest = slow(screen, depth, triangles, size)
    found = np.full(size * size, -1)
    found[fragments.pixel] = fragments.corners[:, 0] // 3
    np.testing.assert_array_equal(found.reshape(size, size), owner)
    np.testing.assert_allclose(fragments.interpolate(depth), nearest.ravel()[fragments.pixel], rtol=1e-4)


def test_weights_reproduce_the_pixel_itself():
    screen = np.array([[1.3, 0.2], [9.7, 2.4], [3.1, 8.8]])

    fragments = rasterise(screen, np.array([5.0, 6.0, 7.0]), np.array([[0, 1, 2]]), 10)

    where = fragments.interpolate(screen)
    np.testing.assert_allclose(where[:, 0], fragments.pixel % 10, atol=1e-4)
    np.testing.assert_allclose(where[:, 1], fragments.pixel // 10, atol=1e-4)


def test_a_triangle_seen_from_behind_is_not_drawn():
    screen = np.array([[1.0, 1], [8, 1], [1, 8]])

    assert len(rasterise(screen, np.ones(3), np.array([[0, 2, 1]]), 10).pixel) == 0
    assert len(rasterise(screen, np.ones(3), np.array([[0, 1, 2]]), 10).pixel) > 0
