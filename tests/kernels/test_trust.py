"""Whether a detector may move anything: by its expected error, and by points that it has not learnt."""

from __future__ import annotations

import numpy as np

from lmk.kernels.trust import judge_the_detector

COUNT, POINTS = 50, 10
EVERYTHING = np.ones((COUNT, POINTS), bool)


def draw(own, noise, seed=0):
    """Residuals, the detector's variances as stated, and the noise's squared scale."""
    random = np.random.default_rng(seed)
    shape = (COUNT, POINTS, 2)
    residual = noise * random.standard_t(5, shape) - own * random.standard_normal(shape)
    return residual, np.full(shape, own**2), np.full((POINTS, 2), noise**2)


def test_a_detector_is_trusted_where_it_is_expected_to_be_nearer_than_the_humans():
    assert judge_the_detector(*draw(1.0, 2.0), EVERYTHING, None).good
    assert not judge_the_detector(*draw(3.0, 1.0), EVERYTHING, None).good


def test_only_points_that_could_be_moved_count():
    residual, error, noise = draw(1.0, 2.0)
    error[:, 3:] = 100.0
    some = EVERYTHING.copy()
    some[:, 3:] = False

    assert judge_the_detector(residual, error, noise, some, None).good
    assert not judge_the_detector(residual, error, noise, EVERYTHING, None).good
    assert judge_the_detector(residual, error, noise, ~EVERYTHING, None).good


def test_points_that_were_not_learnt_tell_of_a_detector_that_is_worse_than_it_looks():
    residual, error, noise = draw(1.0, 2.0)
    unseen = np.random.default_rng(1).random(EVERYTHING.shape) < 0.1
    residual[unseen] *= 4

    honest = judge_the_detector(*draw(1.0, 2.0), EVERYTHING, unseen)
    found = judge_the_detector(residual, error, noise, EVERYTHING, unseen)

    np.testing.assert_array_equal(honest.detector, error)
    assert not found.good
    assert (found.detector > 4 * error).all()
    few = unseen & (np.arange(COUNT) < 5)[:, None]
    assert judge_the_detector(residual, error, noise, EVERYTHING, few).good  # too few to say anything


def test_a_few_landmarks_at_random_change_nothing():
    residual, error, noise = draw(3.0, 1.0)
    noise[:3] = 1e4

    assert not judge_the_detector(residual, error, noise, EVERYTHING, None).good
    residual, error, noise = draw(1.0, 2.0)
    error[:, :3] = 1e4
    assert judge_the_detector(residual, error, noise, EVERYTHING, None).good
