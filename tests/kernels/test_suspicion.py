"""Gross errors among noisy points: each kind is found, called by its name, and noise is not."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.kernels.suspicion import FAR, REASONS, far_off, suspect

CHAINS = [((0, 1, 2, 3, 4, 5, 6, 7), False), ((8, 9, 10, 11, 12, 13), True), ((14, 15, 16, 17, 18, 19), True)]
FLIP = np.array([7, 6, 5, 4, 3, 2, 1, 0, 14, 15, 16, 17, 18, 19, 8, 9, 10, 11, 12, 13])
NOISE = np.tile([4.0, 1.0], (20, 1))


def shape():
    """An arc below, two rings above it."""
    turn = np.linspace(np.pi, 0, 8)
    arc = np.stack([128 + 90 * np.cos(turn), 130 + 90 * np.sin(turn)], -1)
    ring = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    left = np.stack([90 + 22 * np.cos(ring), 100 + 12 * np.sin(ring)], -1)
    right = np.stack([166 - 22 * np.cos(ring), 100 + 12 * np.sin(ring)], -1)
    return np.concatenate([arc, left, right])


@pytest.fixture
def scene():
    """Readings with an error of half a pixel, humans with the noise of NOISE along and across."""
    random = np.random.default_rng(0)
    count = 200
    truth = shape() + random.normal(0, 3, (count, 1, 2))
    reading = truth + random.normal(0, 0.5, truth.shape)
    along = np.zeros_like(truth)
    for chain, closed in CHAINS:
        place = list(chain)
        after, before = np.roll(place, -1), np.roll(place, 1)
        if not closed:
            after[-1], before[0] = place[-1], place[0]
        along[:, place] = truth[:, after] - truth[:, before]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    axes = np.stack([along, np.stack([-along[..., 1], along[..., 0]], -1)], -2)
    offset = random.standard_t(5, truth.shape) * np.sqrt(NOISE)
    human = truth + np.einsum("nkij,nki->nkj", axes, offset)
    return truth, reading, axes, human


def judge(reading, axes, human):
    variance = np.full(reading.shape, 0.25)
    return suspect(human, reading, axes, variance, NOISE, CHAINS, FLIP)


def test_noise_is_rarely_suspected(scene):
    _, reading, axes, human = scene

    found = judge(reading, axes, human)

    assert found.score.mean() < 0.01
    assert (found.score >= 0.5).mean() < 0.003
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_swapped_sides_are_found_as_such_and_points_without_a_partner_are_not_blamed(scene):
    _, reading, axes, human = scene
    human[:5] = human[:5][:, FLIP]

    found = judge(reading, axes, human)

    assert (found.score[:5] > 0.99).all()
    assert {REASONS[reason] for reason in found.reason[:5].ravel()} == {"sides swapped"}
    assert found.score[5:].mean() < 0.01


def test_a_shifted_contour_is_found_as_one_though_no_point_of_it_is_striking(scene):
    _, reading, axes, human = scene
    human[:10, 8:14] += [6.0, 3.0]

    found = judge(reading, axes, human)

    assert (found.score[:10, 8:14].mean(1) > 0.8).mean() >= 0.9
    assert "contour shifted" in {REASONS[reason] for reason in found.reason[:10, 8:14].ravel()}
    assert found.score[:10, 14:].mean() < 0.05


def test_a_contour_one_place_along_is_found_as_one(scene):
    _, reading, axes, human = scene
    human[:10, 8:14] = np.roll(human[:10, 8:14], -1, axis=1)

    found = judge(reading, axes, human)

    assert (found.score[:10, 8:14] > 0.9).mean() > 0.9
    names = [REASONS[reason] for reason in found.reason[:10, 8:14].ravel()]
    assert names.count("contour slipped") > 0.8 * len(names)


@pytest.mark.parametrize(("variance", "suspected"), [(0.25, True), (16.0, False)])
def test_a_detector_that_may_slide_along_a_contour_accuses_nobody_of_a_slip(variance, suspected):
    """All points of a straight contour are one place along: the humans slipped, unless the detector may have slid."""
    random = np.random.default_rng(0)
    line = np.zeros((50, 8, 2))
    line[..., 0] = 8.0 * np.arange(8)
    human = line + random.standard_t(5, line.shape) * np.sqrt(NOISE[:8])
    human[:10, :, 0] += 8.0
    axes = np.broadcast_to(np.eye(2), (50, 8, 2, 2))

    found = suspect(
        human, line, axes, np.full(line.shape, variance), NOISE[:8], [(tuple(range(8)), False)], np.arange(8)
    )

    assert (found.score[:10].mean() > 0.9) == suspected
    assert (found.score[:10].mean() < 0.3) != suspected
    assert found.score[10:].mean() < 0.05


def test_a_point_is_far_off_as_surely_as_its_true_place_is_known():
    apart = np.zeros((4, 1, 2))
    apart[:, 0, 0] = FAR * np.array([0.5, 1, 2, 2])
    variance = np.full((4, 1, 2), 0.5**2)
    variance[3, 0, 0] = 12.0**2

    found = far_off(apart, variance, np.ones(1))[:, 0]

    np.testing.assert_allclose(found, [0, 0.5, 1, 0.69], atol=0.01)
    assert far_off(apart, variance, np.full(1, np.inf)).max() == 0


def test_single_points_at_their_neighbours_place_are_found_among_noise(scene):
    _, reading, axes, human = scene
    human[:40, 3] = human[:40, 4]

    found = judge(reading, axes, human)

    assert (found.score[:40, 3] > 0.5).mean() > 0.9
    assert (found.score[40:, 3] > 0.5).mean() < 0.02
    assert REASONS[np.bincount(found.reason[:40, 3]).argmax()] == "slip"


def test_one_strays_point_is_found_and_does_not_drag_its_contour_along(scene):
    _, reading, axes, human = scene
    human[:10, 10] += [0.0, 30.0]

    found = judge(reading, axes, human)

    assert (found.score[:10, 10] > 0.9).all()
    assert np.delete(found.score[:10], 10, axis=1).mean() < 0.02


def test_a_detector_that_is_lost_accuses_nobody(scene):
    _, reading, axes, human = scene
    reading[:10, 8:14] += [10.0, 5.0]
    variance = np.full(reading.shape, 0.25)
    variance[:10, 8:14] = 100.0

    found = suspect(human, reading, axes, variance, NOISE, CHAINS, FLIP)

    assert (found.score[:10] > 0.5).mean() < 0.02


def test_what_is_not_labelled_is_not_suspected(scene):
    _, reading, axes, human = scene
    human[0] = np.nan
    human[1, 8:14] = np.nan

    found = judge(reading, axes, human)

    assert (found.score[0] == 0).all()
    assert (found.score[1, 8:14] == 0).all()
    assert np.isfinite(found.score).all()
