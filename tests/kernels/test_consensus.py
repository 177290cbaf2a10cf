"""Weighing human points against readings: against formulas written out, and against a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmk.kernels.consensus import _expect, correlation, estimate, view_variance


def draw(seed, count=400, points=12, views=16, free=0.5):
    """Detector errors that hang together over neighbours, views that scatter alike, humans with heavy-tailed noise."""
    random = np.random.default_rng(seed)
    size = 2 * points
    place = np.arange(size) // 2
    together = np.exp(-np.abs(place[:, None] - place) / 4) * ((np.arange(size)[:, None] - np.arange(size)) % 2 == 0)
    root = np.linalg.cholesky(0.9 * together + 0.1 * np.eye(size))
    own = random.uniform(0.5, 1.5, (count, 1))
    error = own * (random.standard_normal((count, size)) @ root.T)
    scatter = own * (random.standard_normal((views, count, size)) @ root.T)
    scale = np.tile([3.0, 0.8], points)
    human = scale * random.standard_t(5, (count, size))
    return (torch.from_numpy(x) for x in (error, scatter - scatter.mean(0), human, scale**2))


def wobble(views, labelled):
    variance = view_variance((views**2).sum(0) / (len(views) - 1), labelled)
    return variance, correlation(views, variance, labelled)


def test_the_expectation_is_that_of_joint_gaussians_written_out():
    random = torch.Generator().manual_seed(0)
    count, size = 5, 8
    residual = torch.randn(count, size, generator=random, dtype=torch.float64)
    variance = torch.rand(count, size, generator=random, dtype=torch.float64) + 0.2
    mixed = torch.randn(size, 30, generator=random, dtype=torch.float64)
    together = torch.from_numpy(np.corrcoef(mixed.numpy()))
    noise = torch.rand(count, size, generator=random, dtype=torch.float64) + 0.3
    noise[0, :2] = torch.inf  # a point without a label

    mean, left, ratio = _expect(residual, variance, together, 1 / noise)

    for n in range(count):
        seen = torch.isfinite(noise[n])
        spread = together * variance[n].sqrt() * variance[n].sqrt()[:, None]
        gain = spread[:, seen] @ torch.linalg.inv(spread[seen][:, seen] + torch.diag(noise[n, seen]))
        wanted = gain @ residual[n, seen]
        rest = spread - gain @ spread[seen]
        torch.testing.assert_close(mean[n], wanted)
        torch.testing.assert_close(left[n], rest.diagonal())
        square = (torch.outer(wanted, wanted) + rest) @ torch.linalg.inv(spread)
        torch.testing.assert_close(ratio[n], square.trace() / size)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_nearer_than_human_and_reading_and_the_noise_is_that_which_was_drawn(seed):
    error, scatter, human, noise = draw(seed)
    everything = torch.ones_like(error)

    variance, together = wobble(scatter, everything.bool())
    found = estimate(human - error, variance, together, everything, torch.ones(len(error), dtype=torch.bool))

    def missed(shift):  # the reading lies at 0, the truth at -error
        return float((shift + error).square().mean().sqrt())

    assert missed(found.offset) < 0.85 * missed(torch.zeros_like(error))
    assert missed(found.offset) < 0.5 * float(human.square().mean().sqrt())
    ratio = (found.noise / noise).view(-1, 2).mean(0)
    assert ((ratio > 0.85) & (ratio < 1.3)).all()
    assert 0.7 < float(found.variance.mean().sqrt()) / missed(found.offset) < 1.3


def test_neighbours_help_a_point_that_has_no_label():
    error, scatter, human, _ = draw(7)
    trust = torch.ones_like(error)
    trust[:100, 6:8] = 0
    variance, together = wobble(scatter, trust.bool())
    residual = human - error
    everybody = torch.ones(len(error), dtype=torch.bool)

    found = estimate(residual, variance, together, trust, everybody)
    other = residual.clone()
    other[:100, 6:8] = 1e3
    again = estimate(other, variance, together, trust, everybody)

    torch.testing.assert_close(found.offset, again.offset)
    missed = error[:100, 7]  # across, where neighbours know something of it
    assert (found.offset[:100, 7] + missed).square().mean() < 0.9 * missed.square().mean()


def test_only_those_that_teach_are_learnt_from():
    error, scatter, human, noise = draw(3)
    teach = torch.arange(len(error)) % 2 == 0
    human[~teach] *= 10
    everything = torch.ones_like(error)
    variance, together = wobble(scatter, everything.bool())

    found = estimate(human - error, variance, together, everything, teach)

    assert float((found.noise / noise).mean()) < 1.3


def test_a_reading_that_wobbles_gives_way_to_the_human():
    error, scatter, human, _ = draw(5)
    everything = torch.ones_like(error)
    variance, together = wobble(scatter, everything.bool())
    lost = variance.clone()
    lost[:10] *= 1e4
    residual = human - error

    found = estimate(residual, lost, together, everything, torch.ones(len(error), dtype=torch.bool))

    assert (found.offset[:10] - residual[:10]).abs().mean() < 0.2 * residual[:10].abs().mean()
