"""The search of Semantic Alignment: Eq. 8 of the paper, for many points at once.

Around each observed point o it minimises `lambda |y - o|^2 + chi2(y)` with `chi2(y) = sum_i (E_i - P_i(y))^2 / E_i`
(Eq. 4), where P(y) is the patch of the heatmap centred on y and E the Gaussian that a perfect heatmap would show.
Candidates lie finer than the heatmap's pixels, so the map is resampled around o first, by cubic interpolation of its
logarithm: exact on a Gaussian.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Found(NamedTuple):
    """What the search found for M points; lengths in heatmap pixels."""

    points: Tensor  # (M, 2)
    prior_cost: Tensor  # (M,) lambda |y - o|^2
    chi2: Tensor  # (M,) at y
    chi2_observed: Tensor  # (M,) at o
    peak: Tensor  # (M,) largest value of the heatmap in reach, 1 for a perfect one
    spread: Tensor  # (M,) standard deviation of the heatmap's mass in reach, mean of both axes
    at_edge: Tensor  # (M,) bool, the best candidate lies on the border of the window


def template_profile(half: int, sigma: float, floor: float) -> Tensor:
    """1-D Gaussian of peak 1 at -half … half pixels, (2 half + 1,), nowhere below `floor`.

    E is the outer product of two of these.  Without a floor, 1/E at the corners of a large template swamps everything.
    """
    place = torch.arange(-half, half + 1, dtype=torch.float64)
    return torch.exp(-(place**2) / (2 * sigma**2)).clamp(min=floor)


def cubic_weights(offset: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (a = -1/2) at each offset in pixels; reproduces parabolas exactly."""
    u = offset.abs()
    near = (1.5 * u - 2.5) * u**2 + 1
    far = ((-0.5 * u + 2.5) * u - 4) * u + 2
    return torch.where(u <= 1, near, torch.where(u < 2, far, torch.zeros_like(u)))


def resample(log_maps: Tensor, centres: Tensor, steps: int, per_pixel: int) -> Tensor:
    """Sample each map on a square grid around its centre.

    Args:
        log_maps: (M, H, W); outside, the nearest edge continues.
        centres: (M, 2) x, y in pixels.
        steps: grid points on each side of the centre.
        per_pixel: grid points a pixel.

    Returns:
        (M, 2 steps + 1, 2 steps + 1), rows are y.
    """
    height, width = log_maps.shape[-2:]
    reach = math.ceil(steps / per_pixel + 0.5) + 2
    columns, rows = min(2 * reach + 1, width), min(2 * reach + 1, height)
    farthest = torch.tensor([width - columns, height - rows], device=centres.device)
    corner = (centres.round().long() - reach).clamp_(min=0).minimum(farthest)
    # All places of all maps where a row of a patch could begin; picking whole rows is many times faster than pixels.
    lines = log_maps.flatten().unfold(0, columns, 1)
    first = (torch.arange(len(centres), device=centres.device) * height + corner[:, 1]) * width + corner[:, 0]
    below = width * torch.arange(rows, device=centres.device)
    patch = lines.index_select(0, (first[:, None] + below).flatten()).view(-1, rows, columns)
    fine = torch.arange(-steps, steps + 1, dtype=centres.dtype, device=centres.device) / per_pixel
    place = centres[..., None] + fine
    patch = patch @ _interpolation(place[:, 0], corner[:, 0], width, columns).transpose(1, 2)
    return _interpolation(place[:, 1], corner[:, 1], height, rows) @ patch


def _interpolation(place: Tensor, corner: Tensor, size: int, count: int) -> Tensor:
    """(M, F) places on lines of `size` pixels to (M, F, count): what each of `count` pixels from a corner counts."""
    taps = place.floor()[..., None] + torch.arange(-1, 3, device=place.device)
    weights = cubic_weights(place[..., None] - taps)
    index = taps.clamp_(0, size - 1).sub_(corner[:, None, None]).long()
    return place.new_zeros(*place.shape, count).scatter_add_(-1, index, weights)


def search(
    log_maps: Tensor,
    observed: Tensor,
    *,
    sigma: float,
    window: float,
    template: float,
    per_pixel: int,
    prior_weight: float,
    floor: float,
) -> Found:
    """Find, for every point, the position that observation and heatmap agree on.

    Args:
        log_maps: (M, H, W) log-probabilities, one map a point.
        observed: (M, 2) where each search starts, in heatmap pixels.
        sigma: of the training target, in heatmap pixels.
        window: full width of the square of candidates, in heatmap pixels.
        template: full width of the compared patch, in heatmap pixels.
        per_pixel: candidates a heatmap pixel; the best one is refined by a parabola.
        prior_weight: lambda.
        floor: least value of each profile of E.
    """
    half = int(template / 2)
    reach = int(window / 2 * per_pixel)
    count = 2 * reach + 1
    log_fine = resample(log_maps, observed, reach + half * per_pixel, per_pixel)
    # The softmax sums to one; times 2 pi sigma^2 a perfect heatmap has peak 1, as the template.
    patch = log_fine.add_(math.log(2 * math.pi * sigma**2)).exp_()
    chi2 = chi_square(patch, template_profile(half, sigma, floor), per_pixel)

    place = torch.arange(-reach, reach + 1, dtype=patch.dtype, device=patch.device) / per_pixel
    distance2 = place[:, None] ** 2 + place**2
    cost = chi2 + prior_weight * distance2
    best = cost.flatten(1).argmin(1)
    row, column = best // count, best % count
    each = torch.arange(len(best), device=best.device)
    at = torch.stack([column, row], -1)
    shift = place[at] + _vertex(torch.stack([cost[each, row], cost[each, :, column]], 1), at) / per_pixel
    inner = patch[:, half * per_pixel :, half * per_pixel :][:, :count, :count]
    return Found(
        points=observed + shift,
        prior_cost=prior_weight * (shift**2).sum(-1),
        chi2=chi2.flatten(1).gather(1, best[:, None])[:, 0],
        chi2_observed=chi2[:, reach, reach],
        peak=inner.flatten(1).amax(1),
        spread=_spread(patch, per_pixel),
        at_edge=((at == 0) | (at == count - 1)).any(-1),
    )


def chi_square(patch: Tensor, profile: Tensor, per_pixel: int) -> Tensor:
    """Eq. 4 at every place where the template fits into the patch.

    Expanded, chi2 = sum E - 2 sum P + sum P^2 / E.  As E is an outer product, each sum over the template is one product
    with a banded matrix along the rows and one along the columns: two matrix products for all points together.

    Args:
        patch: (M, S, S) heatmaps, peak 1 for a perfect one, `per_pixel` grid points a pixel.
        profile: (T,) of the template, one value a pixel.
        per_pixel: how many grid points the template's values are apart.

    Returns:
        (M, C, C) with C = S - (T - 1) per_pixel; rows are y.
    """
    profile = profile.to(patch)
    count = patch.shape[-1] - (len(profile) - 1) * per_pixel
    mass = _slide(patch, _bands(torch.ones_like(profile), per_pixel, count))
    energy = _slide(patch * patch, _bands(1 / profile, per_pixel, count))
    return energy.add_(mass, alpha=-2).add_(profile.sum() ** 2)


def _bands(profile: Tensor, per_pixel: int, count: int) -> Tensor:
    """(count, S): row i holds the profile from grid point i on, `per_pixel` points apart."""
    span = (len(profile) - 1) * per_pixel + 1
    padded = profile.new_zeros(2 * (count - 1) + span)
    padded[count - 1 : count - 1 + span : per_pixel] = profile
    return padded.unfold(0, count - 1 + span, 1).flip(0)


def _slide(patch: Tensor, bands: Tensor) -> Tensor:
    """(M, S, S) to (M, C, C): the bands along x, then along y."""
    along = patch @ bands.T
    return (along.transpose(1, 2) @ bands.T).transpose(1, 2)


def _vertex(line: Tensor, at: Tensor) -> Tensor:
    """Offset in (-1/2, 1/2) of the lowest point of the parabola through `at` and its neighbours; 0 at an end.

    Args:
        line: (..., count).
        at: (...) index of the least value of each line.
    """
    last = line.shape[-1] - 1
    beside = torch.stack([at - 1, at, at + 1], -1).clamp_(0, last)
    left, here, right = line.gather(-1, beside).unbind(-1)
    bend = left - 2 * here + right
    inside = (at > 0) & (at < last) & (bend > 0)
    lowest = (left - right) / (2 * bend.clamp_(min=torch.finfo(line.dtype).tiny))
    return torch.where(inside, lowest, 0).clamp_(-0.5, 0.5)


def _spread(patch: Tensor, per_pixel: int) -> Tensor:
    """Standard deviation of each patch's mass in pixels, mean of the two axes' variances."""
    place = torch.arange(patch.shape[-1], dtype=patch.dtype, device=patch.device) / per_pixel
    total = patch.sum((1, 2)).clamp(min=torch.finfo(patch.dtype).tiny)
    variance = torch.zeros_like(total)
    for axis in (1, 2):
        share = patch.sum(axis) / total[:, None]
        mean = (share * place).sum(1, keepdim=True)
        variance = variance + (share * (place - mean) ** 2).sum(1) / 2
    return variance.sqrt()
