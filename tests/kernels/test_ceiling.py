"""The most that human points can be off: against noise that is known, and where nothing can be known."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.kernels.ceiling import ceiling, fitted
from lmk.kernels.frames import axes
from lmk.scheme import load_scheme
from lmk.synth.noise import annotate
from lmk.synth.render import render_face

SIZE, COUNT = 128, 80
SCHEME = load_scheme("ibug68")


@pytest.fixture(scope="module")
def truth():
    return np.stack([render_face(5, index, SIZE).points for index in range(COUNT)])


def labels(truth, noise):
    return np.stack([annotate(one, SIZE, SCHEME, noise, 5, index).points for index, one in enumerate(truth)])


def off(truth, seed=0):
    """Predictions of a detector that has learnt little: off by 5 pixels, neighbouring points alike."""
    random = np.random.default_rng(seed)
    near = np.exp(-np.square(truth.mean(0)[:, None] - truth.mean(0)).sum(-1) / (2 * 20**2))
    root = np.linalg.cholesky(near + 1e-6 * np.eye(68))
    return truth + 5 * np.einsum("kj,njd->nkd", root, random.standard_normal(truth.shape))


def most(human, prediction):
    return np.sqrt(ceiling(human, prediction, axes(SCHEME.tangents(prediction))))


def test_a_shape_is_fitted_to_the_other_points_alone(truth):
    human = truth[:3].copy()
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    shape = (truth[0] - 7.0) @ turned.T * 1.7
    human[0, 5] += 100
    human[1, :66] = np.nan
    human[2, 3:] = human[2, 3]

    turn, shift = fitted(shape, human)
    place = turn * (shape[:, 0] + 1j * shape[:, 1]) + shift

    wanted = truth[0, :, 0] + 1j * truth[0, :, 1]
    assert abs(place[0, 5] - wanted[5]) < 1e-6
    assert abs(place[0, 6] - wanted[6]) > 0.1  # the point that is off pulls at all others
    assert np.isnan(place[1]).sum() == 2  # which have only one other point
    assert np.isfinite(place[2, 0])


@pytest.mark.parametrize(("noise", "along"), [("half", 0.0125), ("default", 0.025), ("double", 0.05)])
def test_the_noise_is_nearly_found_however_bad_the_detector_is(truth, noise, along):
    found = most(labels(truth, noise), off(truth)).mean(0)

    scale = along * SIZE * np.sqrt(3 / 5)  # of the Student-t, from its standard deviation; corners have less
    assert 0.8 * scale < found[0] < 1.6 * scale


def test_exact_points_of_a_bad_detector_have_next_to_no_noise(truth):
    found = most(truth, off(truth))

    assert found.mean() < 1
    assert np.abs(off(truth) - truth).mean() > 3


def test_a_landmark_at_random_has_a_ceiling_of_its_own(truth):
    human = truth.copy()
    human[:, 30] = np.random.default_rng(0).uniform(0, SIZE, (COUNT, 2))

    found = most(human, truth)

    assert found[30].min() > 20
    assert np.median(found) < 0.6


def test_where_there_are_too_few_points_or_instances_nothing_is_known(truth):
    assert np.isinf(most(truth[:5], truth[:5])).all()
    gone = truth.copy()
    gone[:, 8] = np.nan
    gone[4:, 9] = np.nan
    found = most(gone, off(truth))
    assert np.isinf(found[8:10]).all()
    assert np.isfinite(np.delete(found, [8, 9], 0)).all()


def test_units_and_places_do_not_matter(truth):
    human, prediction = labels(truth, "default"), off(truth)

    np.testing.assert_allclose(most(3 * human + 50, 3 * prediction + 50), 3 * most(human, prediction), rtol=1e-5)
