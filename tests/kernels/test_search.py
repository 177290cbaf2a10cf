"""The search against Eq. 8 written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lmk.kernels.search import cubic_weights, resample, search, template_profile


def gaussian_map(centre, size=32, sigma=1.5, weight=1.0):
    """(size, size) log-probabilities of a Gaussian that is sampled at the pixels."""
    y, x = torch.meshgrid(
        torch.arange(size, dtype=torch.float64), torch.arange(size, dtype=torch.float64), indexing="ij"
    )
    logits = -weight * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2)
    return logits.flatten().log_softmax(0).view(size, size)


def keys(offset):
    """Cubic convolution, case by case as Keys (1981) gives it for a = -1/2."""
    u = abs(offset)
    if u < 1:
        return 1.5 * u**3 - 2.5 * u**2 + 1
    return -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2 if u < 2 else 0.0


def value_at(log_map, x, y):
    """The heatmap between its pixels: cubic interpolation of the logarithm, the edge continuing outside."""
    size = len(log_map)
    total = 0.0
    for row in range(math.floor(y) - 2, math.floor(y) + 4):
        for column in range(math.floor(x) - 2, math.floor(x) + 4):
            inside = log_map[min(max(row, 0), size - 1), min(max(column, 0), size - 1)]
            total += keys(y - row) * keys(x - column) * float(inside)
    return math.exp(total)


def chi_square(log_map, centre, sigma, half, floor):
    """Eq. 4, term by term; heatmap and template have peak 1."""
    total = 0.0
    for dy in range(-half, half + 1):
        for dx in range(-half, half + 1):
            expected = max(math.exp(-(dx**2) / (2 * sigma**2)), floor) * max(math.exp(-(dy**2) / (2 * sigma**2)), floor)
            seen = value_at(log_map, centre[0] + dx, centre[1] + dy) * 2 * math.pi * sigma**2
            total += (expected - seen) ** 2 / expected
    return total


@pytest.mark.parametrize("seed", range(4))
def test_costs_and_minimum_are_those_of_equation_8_written_out(seed):
    random = torch.Generator().manual_seed(seed)
    log_map = gaussian_map((15.3, 16.8)) + 0.4 * torch.randn(32, 32, generator=random, dtype=torch.float64)
    log_map = log_map.flatten().log_softmax(0).view(32, 32)
    observed = (14.6, 17.7)
    sigma, half, floor, per_pixel, weight = 1.5, 2, 0.01, 2, 0.07

    found = search(
        log_map[None], torch.tensor([observed], dtype=torch.float64), sigma=sigma, window=4.0, template=5.0,
        per_pixel=per_pixel, prior_weight=weight, floor=floor,
    )  # fmt: skip

    steps = np.arange(-4, 5) / per_pixel
    costs = {
        (dx, dy): weight * (dx**2 + dy**2)
        + chi_square(log_map, (observed[0] + dx, observed[1] + dy), sigma, half, floor)
        for dx in steps for dy in steps
    }  # fmt: skip
    dx, dy = min(costs, key=costs.get)
    assert found.chi2_observed[0] == pytest.approx(costs[0, 0], rel=1e-9)
    assert found.chi2[0] == pytest.approx(costs[dx, dy] - weight * (dx**2 + dy**2), rel=1e-9)
    # The parabola moves the best candidate by half a step at most.
    assert abs(found.points[0, 0] - observed[0] - dx) <= 0.5 / per_pixel
    assert abs(found.points[0, 1] - observed[1] - dy) <= 0.5 / per_pixel
    assert found.prior_cost[0] == pytest.approx(
        weight * ((found.points[0] - torch.tensor(observed, dtype=torch.float64)) ** 2).sum().item()
    )


@pytest.mark.parametrize("centre", [(15.0, 16.0), (15.37, 16.81), (14.5, 17.5)])
@pytest.mark.parametrize("observed", [(15.0, 16.0), (16.2, 15.4)])
def test_without_a_prior_a_perfect_heatmap_is_found_wherever_the_search_starts(centre, observed):
    found = search(
        gaussian_map(centre)[None], torch.tensor([observed], dtype=torch.float64), sigma=1.5, window=8.0, template=5.0,
        per_pixel=4, prior_weight=0.0, floor=0.01,
    )  # fmt: skip

    assert found.points[0].tolist() == pytest.approx(centre, abs=0.005)
    assert found.chi2[0] < 0.06  # of the nearest candidate, up to an eighth of a pixel away
    assert found.peak[0] == pytest.approx(1, abs=0.02)
    assert not found.at_edge[0]


def test_a_larger_prior_weight_stays_nearer_to_the_observation():
    observed = torch.tensor([[13.0, 16.0]], dtype=torch.float64)

    moved = [
        search(gaussian_map((15.0, 16.0))[None], observed, sigma=1.5, window=8.0, template=5.0, per_pixel=4,
               prior_weight=weight, floor=0.01).points[0, 0].item()
        for weight in (0.0, 0.3, 3.0, 300.0)
    ]  # fmt: skip

    assert moved == sorted(moved, reverse=True)
    assert moved[0] == pytest.approx(15, abs=0.01)
    assert moved[-1] == pytest.approx(13, abs=0.05)


def test_a_peak_out_of_reach_is_marked_as_the_windows_edge():
    found = search(
        gaussian_map((15.0, 16.0))[None], torch.tensor([[11.0, 16.0]], dtype=torch.float64), sigma=1.5, window=4.0,
        template=5.0, per_pixel=4, prior_weight=0.0, floor=0.01,
    )  # fmt: skip

    assert found.at_edge[0]
    assert found.points[0, 0] == pytest.approx(13, abs=1e-9)


def test_spread_is_the_gaussians_sigma():
    found = search(
        gaussian_map((15.2, 16.1), sigma=2.0)[None], torch.tensor([[15.0, 16.0]], dtype=torch.float64), sigma=2.0,
        window=20.0, template=5.0, per_pixel=2, prior_weight=0.0, floor=0.01,
    )  # fmt: skip

    assert found.spread[0] == pytest.approx(2.0, abs=0.01)


def test_resampling_reproduces_a_parabola_exactly():
    y, x = np.mgrid[0:20, 0:20]
    surface = torch.from_numpy(0.3 * (x - 7.2) ** 2 - 0.2 * (y - 9.1) ** 2 + 0.5 * x)[None]
    centre = torch.tensor([[9.3, 8.8]], dtype=torch.float64)

    fine = resample(surface, centre, steps=6, per_pixel=3)[0]

    place = np.arange(-6, 7) / 3
    at_x, at_y = 9.3 + place[None, :], 8.8 + place[:, None]
    expected = 0.3 * (at_x - 7.2) ** 2 - 0.2 * (at_y - 9.1) ** 2 + 0.5 * at_x
    np.testing.assert_allclose(fine.numpy(), expected, atol=1e-10)


def test_cubic_weights_sum_to_one_and_follow_keys():
    offset = torch.linspace(-3, 3, 61, dtype=torch.float64)

    np.testing.assert_allclose(cubic_weights(offset), [keys(u) for u in offset.tolist()], atol=1e-12)
    around = torch.tensor([0.3 + k for k in range(-3, 4)])
    assert cubic_weights(around).sum().item() == pytest.approx(1)


def test_the_templates_floor_is_put_on_each_profile():
    profile = template_profile(half=4, sigma=1.0, floor=0.05)

    assert profile[4] == 1
    assert profile[0] == pytest.approx(0.05)
    assert profile[3] == pytest.approx(math.exp(-0.5))


def test_many_points_give_what_each_gives_alone():
    random = torch.Generator().manual_seed(5)
    maps = torch.randn(6, 24, 24, generator=random, dtype=torch.float64).flatten(1).log_softmax(1).view(6, 24, 24)
    observed = 6 + 12 * torch.rand(6, 2, generator=random, dtype=torch.float64)
    how = {"sigma": 1.5, "window": 6.0, "template": 5.0, "per_pixel": 4, "prior_weight": 0.1, "floor": 0.01}

    together = search(maps, observed, **how)

    for i in range(6):
        alone = search(maps[i : i + 1], observed[i : i + 1], **how)
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_of_them[i], rtol=1e-9)
