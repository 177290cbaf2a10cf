"""The mean shape of a set: something to draw the landmarks on when no single image would do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDS = 4  # the mean settles after two


def mean_shape(points: Floats) -> Floats:
    """Average shapes after turning, scaling and shifting each onto the mean (Procrustes, with missing points).

    Args:
        points: (N, K, 2), NaN where missing.

    Returns:
        (K, 2) with the longer side of its bounds 1 and its corner at the origin, turned as the shapes are on average;
        NaN for a point that no shape has.
    """
    shapes = points[..., 0] + 1j * points[..., 1]
    there = np.isfinite(shapes)
    shapes, there = shapes[there.any(axis=1)], there[there.any(axis=1)]
    filled = np.where(there, shapes, 0)
    # Start from the shape with the most points: every other one shares some with it.
    start = int(there.sum(axis=1).argmax())
    mean, known = filled[start], there[start]
    turns = np.ones(len(shapes), complex)
    for _ in range(ROUNDS):
        moved, turns = _onto(filled, there, mean, known)
        count = there.sum(axis=0)
        mean, known = np.where(there, moved, 0).sum(axis=0) / np.maximum(count, 1), count > 0
    # The start's own turn is an accident; go back by the average one.
    average = np.exp(-1j * np.angle(turns)).sum()
    mean = mean * (average / abs(average) if abs(average) > 0 else 1)
    result = np.where(known[:, None], np.column_stack([mean.real, mean.imag]), np.nan)
    low, high = np.nanmin(result, axis=0), np.nanmax(result, axis=0)
    return np.asarray((result - low) / max(float((high - low).max()), 1e-12))


def _onto(
    shapes: NDArray[np.complex128], there: NDArray[np.bool_], mean: NDArray[np.complex128], known: NDArray[np.bool_]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Least-squares similarity of each shape, (N, K), onto the mean, (K,); returns shapes and turns, (N,)."""
    weight = there & known
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    centre = np.where(weight, shapes, 0).sum(axis=1, keepdims=True) / count
    target = np.where(weight, mean, 0).sum(axis=1, keepdims=True) / count
    from_centre = np.where(weight, shapes - centre, 0)
    power = (abs(from_centre) ** 2).sum(axis=1)
    product = (from_centre.conj() * np.where(weight, mean - target, 0)).sum(axis=1)
    # A shape that shares a single point with the mean can only be shifted.
    turn = np.divide(product, power, out=np.ones(len(shapes), complex), where=(power > 0) & (abs(product) > 0))
    return (shapes - centre) * turn[:, None] + target, turn
