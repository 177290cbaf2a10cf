"""Points to heatmaps and back.

Positions are in heatmap pixels, the centre of the first pixel is 0.  Heatmaps are log-probabilities over one map's
pixels: a Gaussian is a parabola there, which makes both interpolation and peak finding exact on it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

STAR_WIDTH = 0.01  # weight of the width of a map, relative to its error; larger keeps maps narrower
TEMPLATE = 3.0  # sigmas; the paper's 19 pixels for a sigma of 3


def gaussian_profiles(centres: Tensor, length: int, sigma: float) -> Tensor:
    """Return 1-D Gaussians that sum to one over their pixels.

    Args:
        centres: (...) in pixels.
        length: number of pixels.
        sigma: standard deviation in pixels.

    Returns:
        (..., length).
    """
    place = torch.arange(length, dtype=centres.dtype, device=centres.device)
    return torch.softmax(-((place - centres[..., None]) ** 2) / (2 * sigma**2), dim=-1)


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy with its gradient, softmax minus target, made in the same few passes over the maps.

    Written out with autograd the same loss takes most of a training step on a processor: it is bound by memory, and
    every elementary operation would write a tensor as large as all heatmaps of the batch.  Maps are turned so that the
    landmarks lie innermost, as channels_last has them already.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, points: Tensor, weight: Tensor, sigma: float) -> Tensor:
        height, width = logits.shape[-2:]
        precision = torch.promote_types(logits.dtype, torch.float32)
        maps = logits.permute(0, 2, 3, 1).to(
            precision, copy=True, memory_format=torch.contiguous_format
        )  # (B, H, W, K)
        along_x = gaussian_profiles(points[..., 0].to(precision), width, sigma).transpose(1, 2)[:, None]  # (B, 1, W, K)
        along_y = gaussian_profiles(points[..., 1].to(precision), height, sigma).transpose(1, 2)  # (B, H, K)
        # The target is an outer product: contract it with the maps along x, then along y.
        expected = ((maps * along_x).sum(2) * along_y).sum(1)
        top = maps.amax((1, 2), keepdim=True)
        total = maps.sub_(top).exp_().sum((1, 2), keepdim=True)
        each = (total.log() + top)[:, 0, 0] - expected
        count = weight.sum().clamp(min=1)
        gradient = (
            maps.div_(total).addcmul_(along_y[:, :, None], along_x, value=-1).mul_((weight / count)[:, None, None])
        )
        ctx.save_for_backward(gradient.to(logits.dtype).permute(0, 3, 1, 2))
        return (each * weight).sum() / count

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer.to(gradient.dtype), None, None, None


def cross_entropy(logits: Tensor, points: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Cross-entropy between the softmax of each map and a Gaussian at the point: -sum_i t_i log p_i.

    Args:
        logits: (B, K, H, W).
        points: (B, K, 2) in heatmap pixels.
        weight: (B, K); 0 leaves a point out.
        sigma: of the target, in heatmap pixels.

    Returns:
        The mean over the points that count.
    """
    loss: Tensor = _CrossEntropy.apply(logits, points, weight, sigma)  # type: ignore[no-untyped-call]  # torch is untyped here
    return loss


def chi_square(logits: Tensor, points: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Chi-square of Eq. 4 between each map and a Gaussian at the point, the loss of Eq. 9.

    The map is its softmax, scaled so that a perfect one has peak 1; what is compared lies within `TEMPLATE` sigmas on
    both axes.  It is relative to the sum of the Gaussian: 1 for an empty map, whatever the resolution.

    Args:
        logits: (B, K, H, W).
        points: (B, K, 2) in heatmap pixels.
        weight: (B, K); 0 leaves a point out.
        sigma: of the target, in heatmap pixels.

    Returns:
        The mean over the points that count.
    """
    heat = log_probabilities(logits).exp() * (2 * math.pi * sigma**2)
    place = [torch.arange(length, device=logits.device) for length in (logits.shape[-1], logits.shape[-2])]
    away = [at - points[..., axis, None].float() for axis, at in enumerate(place)]
    near = [distance.abs() <= TEMPLATE * sigma for distance in away]
    gauss = [torch.exp(-(distance**2) / (2 * sigma**2)) for distance in away]
    expected = torch.stack([(g * n).sum(-1) for g, n in zip(gauss, near, strict=True)]).prod(0)
    mass = _contract(heat, *(n.float() for n in near))
    energy = _contract(heat**2, *(n / g.masked_fill(~n, 1) for g, n in zip(gauss, near, strict=True)))
    each = (expected - 2 * mass + energy) / expected.clamp(min=1e-6)
    return (each * weight).sum() / weight.sum().clamp(min=1)


def star(logits: Tensor, points: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Cross-entropy, and the STAR loss (CVPR 2023): an error counts less in the direction in which a map is wide.

    The map's mean is compared with the point along the two axes of the map's covariance, each distance relative to the
    standard deviation there.  The excess of the two variances over the target's is added; otherwise maps would grow
    wide to lower the loss.

    Args:
        logits: (B, K, H, W).
        points: (B, K, 2) in heatmap pixels.
        weight: (B, K); 0 leaves a point out.
        sigma: of the target, in heatmap pixels.

    Returns:
        The mean over the points that count.
    """
    mean, square, mixed = moments(logits)
    xx, yy = (square - mean**2).unbind(-1)
    xy = mixed - mean.prod(-1)
    # Axes and variances of a symmetric 2x2 matrix, written out; how the axes turn carries no gradient.
    half = torch.sqrt(((xx - yy) / 2) ** 2 + xy**2 + 1e-6)
    variance = torch.stack([(xx + yy) / 2 + half, (xx + yy) / 2 - half], -1).clamp(min=1e-2)
    turn = (0.5 * torch.atan2(2 * xy, xx - yy)).detach()
    axes = torch.stack([torch.stack([turn.cos(), turn.sin()], -1), torch.stack([-turn.sin(), turn.cos()], -1)], -2)
    away = (axes * (points.to(mean.dtype) - mean)[..., None, :]).sum(-1)
    error = functional.smooth_l1_loss(away, torch.zeros_like(away), reduction="none", beta=sigma) / variance.sqrt()
    wide = (variance / sigma**2 - 1).clamp(min=0)
    each = error.sum(-1) + STAR_WIDTH * wide.sum(-1)
    return cross_entropy(logits, points, weight, sigma) + (each * weight).sum() / weight.sum().clamp(min=1)


class _Moments(torch.autograd.Function):
    """Means over each map's softmax of what is asked for, with their gradient in two passes over the maps.

    The gradient of a mean of f with respect to the logits is p (f - mean of f), and all f here are sums of products of
    a function of the column and one of the row.  Variances are small differences of these means, so autocast is off.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, across: Tensor, down: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            chances = logits.float().flatten(2).softmax(-1).view_as(logits)
            found = torch.einsum("bkhf,fh->bkf", chances @ across.T, down)
        ctx.save_for_backward(chances, across, down, found)
        ctx.kind = logits.dtype
        return found

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        chances, across, down, found = ctx.saved_tensors
        with torch.autocast(chances.device.type, enabled=False):
            wanted = (outer[..., None, :] * down.T) @ across  # (B, K, H, W)
        gradient = wanted.sub_((outer * found).sum(-1)[..., None, None]).mul_(chances)
        return gradient.to(ctx.kind), None, None


def moments(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, K, 2), (B, K, 2) and (B, K): the means of x and y, of their squares, and of their product."""
    x, y = (torch.arange(length, device=logits.device).float() for length in (logits.shape[-1], logits.shape[-2]))
    across = torch.stack([x, x**0, x**2, x**0, x])
    down = torch.stack([y**0, y, y**0, y**2, y])
    found: Tensor = _Moments.apply(logits, across, down)  # type: ignore[no-untyped-call]  # torch is untyped here
    return found[..., :2], found[..., 2:4], found[..., 4]


def _contract(maps: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """(B, K, H, W), (B, K, W) and (B, K, H) to (B, K)."""
    return torch.einsum("bkh,bkh->bk", (maps @ along_x[..., None])[..., 0], along_y)


def log_probabilities(logits: Tensor) -> Tensor:
    """Spatial log-softmax, (B, K, H, W) to the same."""
    return logits.float().flatten(2).log_softmax(-1).view_as(logits)


def shifted(log_maps: Tensor, by: Tensor) -> Tensor:
    """Maps (B, K, H, W), each moved by whole pixels (B, K, 2); what comes in is what stood at the edge."""
    height, width = log_maps.shape[-2:]
    columns = (torch.arange(width, device=log_maps.device) - by[..., :1]).clamp(0, width - 1)
    rows = (torch.arange(height, device=log_maps.device) - by[..., 1:]).clamp(0, height - 1)
    moved = log_maps.gather(2, rows[..., None].expand(log_maps.shape))
    return moved.gather(3, columns[:, :, None].expand(log_maps.shape))


def expected_position(log_maps: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return the mean position of the mass within `radius` pixels of each map's largest value, and that mass.

    A network that is trained on noisy labels draws where they may lie; the mean of that is nearer to their centre than
    its highest pixel, and leaving out what is far away keeps a second mode from pulling.

    Args:
        log_maps: (B, K, H, W) log-probabilities.
        radius: half side of the square that counts.

    Returns:
        (B, K, 2) in heatmap pixels; (B, K), 1 where all mass is near.
    """
    height, width = log_maps.shape[-2:]
    best = log_maps.flatten(2).argmax(-1)
    top = torch.stack([best % width, best // width], -1)
    reach = torch.arange(-radius, radius + 1, device=log_maps.device)
    columns, rows = top[..., :1] + reach, top[..., 1:] + reach  # (B, K, R)
    inside = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    flat = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    mass = log_maps.flatten(2).gather(-1, flat.flatten(2)).exp().view(flat.shape) * inside
    total = mass.sum((-2, -1))
    mass = mass / total[..., None, None]
    x = (mass.sum(-2) * columns).sum(-1)
    y = (mass.sum(-1) * rows).sum(-1)
    return torch.stack([x, y], -1), total


def covariances(log_maps: Tensor) -> Tensor:
    """(B, K, H, W) log-probabilities to (B, K, 2, 2), not smaller than that of a single pixel."""
    mean, square, mixed = moments(log_maps)
    variance = square - mean**2 + 1 / 12
    product = mixed - mean.prod(-1)
    rows = [torch.stack([variance[..., 0], product], -1), torch.stack([product, variance[..., 1]], -1)]
    return torch.stack(rows, -2)
