"""Weighing human points against readings: against formulas written out, and against a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmk.kernels.consensus import LEAST_SCALE, Human, _expect, correlation, error_scale, estimate, times, view_variance

CHAIN = [(tuple(range(12)), False)]


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


def told(residual, weight=None, learn=None, most=None):
    """What humans say, of all points, without a limit of their noise, unless it is given."""
    weight = torch.ones_like(residual) if weight is None else weight
    learn = torch.ones(len(residual), dtype=torch.bool) if learn is None else learn
    most = torch.full_like(residual[0], torch.inf) if most is None else most
    return Human(residual, weight, learn, most)


def wobble(views, labelled):
    variance = view_variance((views**2).sum(0) / (len(views) - 1), labelled)
    return variance, correlation(views, variance, labelled, CHAIN)


def test_the_expectation_is_that_of_joint_gaussians_written_out():
    random = torch.Generator().manual_seed(0)
    count, size = 5, 8
    residual = torch.randn(count, size, generator=random, dtype=torch.float64)
    variance = torch.rand(count, size, generator=random, dtype=torch.float64) + 0.2
    mixed = torch.randn(size, 30, generator=random, dtype=torch.float64)
    together = torch.from_numpy(np.corrcoef(mixed.numpy()))
    noise = torch.rand(count, size, generator=random, dtype=torch.float64) + 0.3
    noise[0, :2] = torch.inf  # a point without a label

    mean, left = _expect(residual, variance, together, 1 / noise)

    for n in range(count):
        seen = torch.isfinite(noise[n])
        spread = together * variance[n].sqrt() * variance[n].sqrt()[:, None]
        gain = spread[:, seen] @ torch.linalg.inv(spread[seen][:, seen] + torch.diag(noise[n, seen]))
        wanted = gain @ residual[n, seen]
        rest = spread - gain @ spread[seen]
        torch.testing.assert_close(mean[n], wanted)
        torch.testing.assert_close(left[n], rest.diagonal())


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_nearer_than_human_and_reading_and_the_noise_is_that_which_was_drawn(seed):
    error, scatter, human, noise = draw(seed)
    square = (scatter**2).sum(0) / (len(scatter) - 1)

    together = correlation(scatter, square, torch.ones_like(error).bool(), CHAIN)
    found = estimate(told(human - error), square, together)

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

    found = estimate(told(residual, trust), variance, together)
    other = residual.clone()
    other[:100, 6:8] = 1e3
    again = estimate(told(other, trust), variance, together)

    torch.testing.assert_close(found.offset, again.offset)
    missed = error[:100, 7]  # across, where neighbours know something of it
    assert (found.offset[:100, 7] + missed).square().mean() < 0.9 * missed.square().mean()


def test_only_those_that_teach_are_learnt_from():
    error, scatter, human, noise = draw(3)
    teach = torch.arange(len(error)) % 2 == 0
    human[~teach] *= 10
    everything = torch.ones_like(error)
    variance, together = wobble(scatter, everything.bool())

    found = estimate(told(human - error, learn=teach), variance, together)

    assert float((found.noise / noise).mean()) < 1.3


def test_a_reading_that_wobbles_gives_way_to_the_human():
    error, scatter, human, _ = draw(5)
    everything = torch.ones_like(error)
    variance, together = wobble(scatter, everything.bool())
    lost = variance.clone()
    lost[:10] *= 1e4
    residual = human - error

    found = estimate(told(residual), lost, together)

    assert (found.offset[:10] - residual[:10]).abs().mean() < 0.2 * residual[:10].abs().mean()


@pytest.mark.parametrize("chains", [CHAIN, [(tuple(range(11, -1, -1)), True)], [], [((0, 1), False)]])
def test_the_scale_of_each_direction_is_found_whatever_the_human_noise(chains):
    error, scatter, human, _ = draw(11, count=2000)
    across = torch.arange(error.shape[1]) % 2 == 1
    error[:, across] *= 2  # than the views show
    everything = torch.ones_like(error).bool()
    square = (scatter**2).sum(0) / (len(scatter) - 1)
    variance, together = view_variance(square, everything), correlation(scatter, square, everything, chains)

    quiet, loud = (error_scale(told(part * human - error), square, together, chains) for part in (0.0, 1.0))

    wanted = (error**2).view(-1, 2).mean(0) / square.view(-1, 2).mean(0)
    torch.testing.assert_close(quiet, wanted, rtol=0.25, atol=0)
    torch.testing.assert_close(loud, quiet, rtol=0.25, atol=0)
    assert (
        error_scale(told(human), variance, together, chains) == torch.tensor(LEAST_SCALE, dtype=torch.float64)
    ).all()


def test_what_the_humans_cannot_have_missed_by_is_the_detectors_error():
    """Exact labels, and a detector that is off by five times what its views say."""
    error, scatter, _, _ = draw(13)
    error *= 5
    variance, together = wobble(scatter, torch.ones_like(error).bool())
    free, limited = told(-error), told(-error, most=torch.full_like(error[0], 0.1**2))
    variance = times(error_scale(free, variance, together, CHAIN), variance)

    without, found = (estimate(one, variance, together) for one in (free, limited))

    assert (found.noise <= 0.1**2).all()
    assert (found.offset + error).abs().mean() < 0.03 * error.abs().mean()
    assert (without.offset + error).abs().mean() > 3 * (found.offset + error).abs().mean()


def test_the_scale_is_found_where_errors_hang_together_more_than_views_do():
    """On a contour the residuals themselves tell; views that scatter independently would hide half of the error."""
    error, scatter, human, _ = draw(17, count=2000)
    lonely = torch.from_numpy(np.random.default_rng(0).standard_normal(scatter.shape)) * scatter.std()
    everything = torch.ones_like(error).bool()
    square = view_variance((lonely**2).sum(0) / (len(lonely) - 1), everything)
    together = correlation(lonely, square, everything, CHAIN)

    found, blind = (error_scale(told(human - 2 * error), square, together, chains) for chains in (CHAIN, []))

    wanted = (4 * error**2).view(-1, 2).mean(0) / square.view(-1, 2).mean(0)
    torch.testing.assert_close(found, wanted, rtol=0.25, atol=0)
    assert ((blind / wanted - 1).abs() > 0.5).all()


def test_points_near_each_other_on_a_contour_have_errors_in_common_and_others_do_not():
    nothing = torch.zeros(4, 20, 12, dtype=torch.float64)
    everything = torch.ones(20, 12, dtype=torch.float64)

    chain, closed, none = (
        correlation(nothing, everything, everything.bool(), chains)
        for chains in ([((0, 1, 2, 3), False)], [((0, 1, 2, 3), True), ((2, 3, 5), False)], [])
    )

    assert torch.equal(none, torch.eye(12, dtype=torch.float64))
    assert chain[0, 2] > chain[0, 4] > chain[0, 6] > 0
    assert (chain[::2, 1::2] == 0).all()  # along and across
    assert (chain[8:, :8] == 0).all()  # two points are on no contour
    assert closed[0, 2] == pytest.approx(float(closed[0, 6]), rel=0.2)
    assert closed[0, 4] < closed[0, 2]
    for one in (chain, closed):
        assert torch.linalg.eigvalsh(one).min() > 0.5
        torch.testing.assert_close(one.diagonal(), torch.ones(12, dtype=torch.float64))
