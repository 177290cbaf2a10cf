"""Heatmaps against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lmk.kernels.heatmap import (
    STAR_WIDTH,
    chi_square,
    cross_entropy,
    expected_position,
    gaussian_profiles,
    log_probabilities,
    moments,
    shifted,
    star,
)


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3.0])
def test_a_profile_falls_as_a_gaussian_and_sums_to_one(sigma):
    profile = gaussian_profiles(torch.tensor([6.3], dtype=torch.float64), 14, sigma)[0]

    assert profile.sum().item() == pytest.approx(1)
    expected = math.exp(-((9 - 6.3) ** 2 - (7 - 6.3) ** 2) / (2 * sigma**2))
    assert (profile[9] / profile[7]).item() == pytest.approx(expected)


def slow_cross_entropy(logits, points, weight, sigma):
    """-sum_i t_i log p_i with the target drawn pixel by pixel."""
    batch, landmarks, height, width = logits.shape
    total = torch.zeros((), dtype=logits.dtype)
    for b in range(batch):
        for k in range(landmarks):
            target = torch.zeros(height, width, dtype=logits.dtype)
            for y in range(height):
                for x in range(width):
                    away = (x - points[b, k, 0]) ** 2 + (y - points[b, k, 1]) ** 2
                    target[y, x] = torch.exp(-away / (2 * sigma**2))
            target /= target.sum()
            log_p = logits[b, k] - torch.log(torch.exp(logits[b, k]).sum())
            total = total - weight[b, k] * (target * log_p).sum()
    return total / weight.sum()


def test_loss_and_gradient_are_those_of_the_formula_written_out():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, 11, generator=random, dtype=torch.float64, requires_grad=True)
    points = torch.rand(2, 3, 2, generator=random, dtype=torch.float64) * 8
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.5, 1.0, 1.0]], dtype=torch.float64)

    fast, slow = cross_entropy(logits, points, weight, 1.3), slow_cross_entropy(logits, points, weight, 1.3)

    assert fast.item() == pytest.approx(slow.item())
    (quick,), (written_out,) = torch.autograd.grad(3 * fast, logits), torch.autograd.grad(3 * slow, logits)
    np.testing.assert_allclose(quick, written_out, atol=1e-12)


def test_points_without_weight_do_not_count():
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    points = torch.tensor([[[3.0, 3.0], [5.0, 1.0]]])

    both = cross_entropy(logits[:, :1], points[:, :1], torch.ones(1, 1), 1.0)
    masked = cross_entropy(logits, points, torch.tensor([[1.0, 0.0]]), 1.0)

    assert masked.item() == pytest.approx(both.item())


@pytest.mark.parametrize("centre", [(7.0, 9.0), (7.31, 8.77), (11.5, 4.49)])
def test_the_expected_position_of_a_gaussian_is_its_centre(centre):
    x, y = (gaussian_profiles(torch.tensor(c, dtype=torch.float64), 20, 1.2) for c in centre)
    log_map = torch.log(y[:, None] * x)[None, None]

    # What is cut off at the square's border is not symmetric for a centre between pixels.
    assert expected_position(log_map, radius=6)[0][0, 0].tolist() == pytest.approx(centre, abs=1e-3)


def test_a_second_mode_far_away_does_not_pull():
    one, other = (gaussian_profiles(torch.tensor(c), 40, 1.0) for c in (8.0, 33.0))
    log_map = torch.log(0.6 * one[:, None] * one + 0.4 * other[:, None] * other + 1e-12)[None, None]

    assert expected_position(log_map, radius=4)[0][0, 0].tolist() == pytest.approx([8, 8], abs=1e-3)


def test_maps_are_moved_and_what_comes_in_is_what_stood_at_the_edge():
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 7, 9, generator=random)
    by = torch.randint(-4, 5, (2, 3, 2), generator=random)

    moved = shifted(maps, by)

    for b, k, y, x in np.ndindex(2, 3, 7, 9):
        across, down = by[b, k].tolist()
        assert moved[b, k, y, x] == maps[b, k, min(max(y - down, 0), 6), min(max(x - across, 0), 8)]


def test_a_peak_at_the_border_is_found_there():
    log_map = log_probabilities(
        torch.zeros(1, 1, 10, 10).index_put(
            (torch.tensor(0), torch.tensor(0), torch.tensor(9), torch.tensor(0)), torch.tensor(50.0)
        )
    )

    assert expected_position(log_map, radius=3)[0][0, 0].tolist() == pytest.approx([0, 9], abs=1e-4)


def test_chi_square_is_that_of_the_formula_written_out():
    random = torch.Generator().manual_seed(4)
    logits = 8 * torch.rand(2, 3, 17, 21, generator=random)
    points = torch.tensor([3.0, 4.0]) + 9 * torch.rand(2, 3, 2, generator=random)  # some templates are cut off
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.5, 1.0, 1.0]])
    sigma = 2.0

    total = 0.0
    for b in range(2):
        for k in range(3):
            drawn = torch.softmax(logits[b, k].double().flatten(), 0).view(17, 21) * 2 * np.pi * sigma**2
            chi2 = norm = 0.0
            for row in range(17):
                for column in range(21):
                    dx, dy = column - float(points[b, k, 0]), row - float(points[b, k, 1])
                    if abs(dx) <= 6 and abs(dy) <= 6:
                        expected = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
                        chi2 += (expected - float(drawn[row, column])) ** 2 / expected
                        norm += expected
            total += float(weight[b, k]) * chi2 / norm

    assert float(chi_square(logits, points, weight, sigma)) == pytest.approx(total / float(weight.sum()), rel=1e-5)


def test_chi_square_is_nothing_for_a_perfect_map_and_one_for_an_empty_one():
    away = torch.arange(40.0) - 19.3
    perfect = -(away[:, None] ** 2 + away**2) / (2 * 2.0**2)
    empty = torch.zeros(40, 40)
    empty[:4] = 100.0
    place, weight = torch.full((1, 2, 2), 19.3), torch.ones(1, 2)

    assert float(chi_square(perfect.expand(1, 2, 40, 40), place, weight, 2.0)) == pytest.approx(0, abs=1e-4)
    assert float(chi_square(empty.expand(1, 2, 40, 40), place, weight, 2.0)) == pytest.approx(1, abs=1e-4)


def test_star_is_that_of_the_formula_written_out():
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 20, 24, generator=random) * 2
    points = torch.rand(2, 3, 2, generator=random) * 18
    weight = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.5]])
    sigma, total = 1.5, 0.0
    rows, columns = np.mgrid[:20, :24]
    for b in range(2):
        for k in range(3):
            heat = np.exp(logits[b, k].double().numpy())
            heat /= heat.sum()
            mean = np.array([(heat * columns).sum(), (heat * rows).sum()])
            offset = np.stack([columns - mean[0], rows - mean[1]], -1)
            covariance = np.einsum("yx,yxi,yxj->ij", heat, offset, offset)
            values, vectors = np.linalg.eigh(covariance)
            for value, vector in zip(values, vectors.T, strict=True):
                away = abs(vector @ (points[b, k].double().numpy() - mean))
                smooth = away**2 / (2 * sigma) if away < sigma else away - sigma / 2
                each = smooth / np.sqrt(value) + STAR_WIDTH * max(value / sigma**2 - 1, 0)
                total += float(weight[b, k]) * each
    expected = float(cross_entropy(logits, points, weight, sigma)) + total / float(weight.sum())

    assert float(star(logits, points, weight, sigma)) == pytest.approx(expected, rel=1e-3)


def test_the_gradient_of_star_is_that_of_the_formula_with_axes_that_stand_still():
    random = torch.Generator().manual_seed(5)
    across = torch.stack(torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="xy"), -1)
    middles, shapes = torch.tensor([[9.0, 8.0], [10.5, 11.0]]), [[[5.0, 1.5], [1.5, 2.0]], [[0.8, 0.1], [0.1, 0.5]]]
    away = across - middles[:, None, None]  # a wide map, and one narrower than its target
    logits = -torch.einsum("kyxi,kij,kyxj->kyx", away, torch.linalg.inv(torch.tensor(shapes)), away)[None] / 2
    logits = (logits + 0.05 * torch.randn(logits.shape, generator=random)).requires_grad_()
    points = torch.tensor([[[10.2, 9.5], [10.0, 14.0]]])
    weight, sigma = torch.tensor([[1.0, 0.5]]), 1.5

    exact = logits.detach().double().requires_grad_()
    places, total = across.double().view(-1, 2), 0.0
    for k in range(2):
        heat = exact[0, k].flatten().softmax(0)
        mean = heat @ places
        covariance = torch.einsum("n,ni,nj->ij", heat, places - mean, places - mean)
        for vector in torch.linalg.eigh(covariance)[1].detach().T:
            variance = vector @ covariance @ vector
            missed = (vector @ (points[0, k].double() - mean)).abs()
            smooth = missed**2 / (2 * sigma) if missed < sigma else missed - sigma / 2
            each = smooth / variance.sqrt() + STAR_WIDTH * (variance / sigma**2 - 1).clamp(min=0)
            total = total + weight[0, k] * each / weight.sum()
    (expected,) = torch.autograd.grad(total, exact)

    alone = star(logits, points, weight, sigma) - cross_entropy(logits, points, weight, sigma)
    (found,) = torch.autograd.grad(alone, logits)

    assert alone.item() == pytest.approx(total.item(), rel=1e-3)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)


def test_star_counts_a_miss_along_a_wide_map_less_than_one_across_it():
    along, across = gaussian_profiles(torch.tensor([16.0]), 33, 4.0), gaussian_profiles(torch.tensor([16.0]), 33, 1.5)
    logits = (across[0][:, None] * along[0]).log().view(1, 1, 33, 33)
    weight = torch.ones(1, 1)

    def star_alone(x: float, y: float) -> float:
        place = torch.tensor([[[x, y]]])
        return float(star(logits, place, weight, 1.5) - cross_entropy(logits, place, weight, 1.5))

    nothing = star_alone(16, 16)
    assert star_alone(16, 20) - nothing > 2 * (star_alone(20, 16) - nothing) > 0


def test_the_gradient_of_star_is_finite_on_a_round_map():
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    star(logits, torch.tensor([[[7.5, 7.5]]]), torch.ones(1, 1), 1.5).backward()

    assert torch.isfinite(logits.grad).all()


def test_moments_are_exact_where_a_network_is_not():
    maps = torch.stack([gaussian_profiles(torch.tensor(at), 64, 2.0) for at in (52.0, 41.0)])
    logits = (maps[0][:, None] * maps[1]).log().view(1, 1, 64, 64)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean, square, _ = moments(logits)

    torch.testing.assert_close((square - mean**2)[0, 0], torch.tensor([4.0, 4.0]), rtol=0.1, atol=0)


def test_the_gradient_of_moments_is_that_of_the_formula_written_out():
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, 9, 8, generator=random).requires_grad_()
    outer = torch.randn(2, 3, 5, generator=random)
    heat = logits.flatten(2).softmax(-1).view_as(logits)
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    slow = torch.stack([(heat * f).sum((-2, -1)) for f in (x, y, x**2, y**2, x * y)], -1)
    (wanted,) = torch.autograd.grad((slow * outer).sum(), logits)

    mean, square, mixed = moments(logits)
    fast = torch.cat([mean, square, mixed[..., None]], -1)
    (found,) = torch.autograd.grad((fast * outer).sum(), logits)

    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
