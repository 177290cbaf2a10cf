"""A point distribution model, fitted: the shape that predictions of unequal certainty come from most likely.

A shape is the mean plus a weighted sum of directions, turned, scaled and shifted into the image.  Predictions count by
the inverse of their covariances; each direction is held back by its own variance, so that a shape is never one that the
shapes of the set do not have.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDS = 12  # the turn depends on the shape, and the shape on the turn


class ShapeModel(NamedTuple):
    """Of K points with C directions, as `lmk.kernels.shape.shape_space` finds it."""

    mean: Tensor  # (K, 2)
    directions: Tensor  # (C, 2 K): x of all points, then y of all
    spread: Tensor  # (C,) standard deviation along each
    known: Tensor  # (K,) bool, the points that the model has


def fit_shapes(model: ShapeModel, points: Tensor, covariance: Tensor) -> Tensor:
    """(B, K, 2) the likeliest shapes for predictions, (B, K, 2), with covariances, (B, K, 2, 2).

    A point that the model does not have stays where it is.
    """
    mean, count = model.mean.double(), len(model.spread)
    ways = model.directions.double().view(count, 2, len(mean)).transpose(1, 2)  # (C, K, 2)
    hold = torch.diag(1 / model.spread.double().clamp(min=1e-6) ** 2)
    precision = torch.linalg.inv(covariance.double()) * model.known[:, None, None]
    shape = mean.expand(len(points), -1, -1)
    for _ in range(ROUNDS):
        linear, shift = similarity(shape, points, precision)
        # With turn and size given, the shape is linear in its coefficients.
        seen = torch.einsum("bij,ckj->bcki", linear, ways)
        residual = points - mean @ linear.transpose(1, 2) - shift[:, None]
        weighted = torch.einsum("bcki,bkij->bckj", seen, precision)
        normal = torch.einsum("bcki,bdki->bcd", weighted, seen) + hold
        right = torch.einsum("bcki,bki->bc", weighted, residual)
        shape = mean + torch.einsum("bc,cki->bki", torch.linalg.solve(normal, right), ways)
    return torch.where(model.known[:, None], aligned(shape, points, precision), points)


def aligned(shape: Tensor, points: Tensor, precision: Tensor) -> Tensor:
    """Shapes (B, K, 2), turned, scaled and shifted onto points, (B, K, 2), weighted by precisions, (B, K, 2, 2)."""
    linear, shift = similarity(shape, points, precision)
    return shape @ linear.transpose(1, 2) + shift[:, None]


def similarity(shape: Tensor, points: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """The turn and size, (B, 2, 2), and the shift, (B, 2), that bring shapes onto points best: least squares."""
    x, y = shape.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # Each point is linear in a, b and the shift: (a x - b y + p, b x + a y + q).
    design = torch.stack([torch.stack([x, -y, one, zero], -1), torch.stack([y, x, zero, one], -1)], -2)  # (B, K, 2, 4)
    weighted = design.transpose(-1, -2) @ precision
    normal = (weighted @ design).sum(1) + 1e-9 * torch.eye(4, dtype=shape.dtype, device=shape.device)
    found = torch.linalg.solve(normal, (weighted @ points[..., None]).sum(1))[..., 0]
    a, b, p, q = found.unbind(-1)
    return torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2), torch.stack([p, q], -1)
