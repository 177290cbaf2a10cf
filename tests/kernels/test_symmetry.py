"""Mirror partners from a mean shape, against schemes that name them."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.kernels.symmetry import mirror_partners
from lmk.scheme import load_scheme
from lmk.synth.render import render_face


@pytest.fixture(scope="module")
def mean_face():
    points = np.stack([render_face(5, index, 128).points for index in range(60)])
    low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
    return ((points - low) / (high - low).max(-1, keepdims=True)).mean(0)


def test_the_partners_of_a_face_are_those_of_its_scheme(mean_face):
    scheme = load_scheme("ibug68")

    found = mirror_partners(mean_face, scheme.contours)

    np.testing.assert_array_equal(found, scheme.flip)


def test_contours_that_all_but_coincide_keep_their_own_points():
    """Two closed lips: upper points must not be paired with lower ones."""
    x = np.linspace(0.3, 0.7, 5)
    shape = np.concatenate([np.stack([x, 0.5 + 0 * x], -1), np.stack([x, 0.501 + 0 * x], -1)])
    shape += np.random.default_rng(0).normal(0, 0.002, shape.shape)

    found = mirror_partners(shape, [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)])

    np.testing.assert_array_equal(found, [4, 3, 2, 1, 0, 9, 8, 7, 6, 5])


@pytest.mark.parametrize("seed", range(5))
def test_a_shape_without_symmetry_has_no_partners(seed):
    random = np.random.default_rng(seed)
    turn = np.linspace(0, 5, 20)
    wing = np.stack([0.5 + 0.05 * turn * np.cos(turn), 0.5 + 0.08 * turn * np.sin(turn + 0.4)], -1)
    scattered = random.random((20, 2))

    assert mirror_partners(wing + random.normal(0, 0.003, wing.shape), [tuple(range(20))]) is None
    assert mirror_partners(scattered, []) is None


def test_a_symmetric_outline_whose_links_do_not_match_has_no_partners(mean_face):
    scrambled = [(0, 30, 5, 60), (16, 2, 48, 40)]

    assert mirror_partners(mean_face, scrambled) is None
