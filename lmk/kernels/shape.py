"""Shapes of instances: their mean, how far one is from what shapes usually are, how far from its own mirror image.

Points are complex numbers here, x + iy: a turn and a change of size are then one factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDS = 4  # the mean settles after two
KEPT = 0.95  # of the variance of shapes, by the directions of their space


def mean_shape(points: Floats) -> Floats:
    """Average shapes after turning, scaling and shifting each onto the mean (Procrustes, with missing points).

    Args:
        points: (N, K, 2), NaN where missing.

    Returns:
        (K, 2) with the longer side of its bounds 1 and its corner at the origin, turned as the shapes are on average;
        NaN for a point that no shape has.
    """
    filled, there = _complex(points)
    filled, there = filled[there.any(axis=1)], there[there.any(axis=1)]
    # Start from the shape with the most points: every other one shares some with it.
    start = int(there.sum(axis=1).argmax())
    mean, known = filled[start], there[start]
    turns = np.ones((len(filled), 1), complex)
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


@dataclass(frozen=True)
class ShapeSpace:
    """What the shapes of a set have in common: their mean, and the directions in which they differ."""

    mean: NDArray[np.complex128]  # (K,) with the longer side of its bounds 1
    known: NDArray[np.bool_]  # (K,)
    directions: Floats  # (C, 2 K) orthonormal
    spread: Floats  # (C,) standard deviation along each
    rest: float  # of one coordinate, beside all directions

    def distance(self, points: Floats) -> Floats:
        """(N,) root mean square of what is left of a shape after similarity and directions, in % of its longer side.

        A missing point counts as where the mean has it.
        """
        apart = _apart(points, self.mean, self.known)
        # Not `@`: the threads of BLAS would spin for work beside those that write the table.
        usual = np.einsum("nk,ck->nc", apart, self.directions)
        left = np.maximum((apart**2).sum(1) - (usual**2).sum(1), 0)
        return np.asarray(100 * np.sqrt(left / max(int(self.known.sum()), 1)))


def shape_space(points: Floats, kept: float = KEPT) -> ShapeSpace:
    """The space that shapes, (N, K, 2), span but for what is not `kept` of their variance."""
    mean = mean_shape(points)
    known = np.isfinite(mean[:, 0])
    filled = np.where(known, mean[:, 0] + 1j * mean[:, 1], 0)
    _, size, directions = np.linalg.svd(_apart(points, filled, known), full_matrices=False)
    share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-12)
    count = min(int(np.searchsorted(share, kept)) + 1, len(size))
    left = float((size[count:] ** 2).sum()) / max(len(points) * (2 * int(known.sum()) - count), 1)
    return ShapeSpace(filled, known, directions[:count], size[:count] / len(points) ** 0.5, left**0.5)


def _apart(points: Floats, mean: NDArray[np.complex128], known: NDArray[np.bool_]) -> Floats:
    """(N, 2 K) by what shapes differ from the mean once they lie on it."""
    filled, there = _complex(points)
    moved, _ = _onto(filled, there, mean, known)
    apart = np.where(there & known, moved - mean, 0)
    return np.concatenate([apart.real, apart.imag], axis=1)


def asymmetry(points: Floats, flip: NDArray[np.int64]) -> Floats:
    """(N,) root mean square distance of the points, (N, K, 2), from their mirror image laid over them; pixels.

    Args:
        points: NaN where missing; a point counts when it and its partner are there.
        flip: (K,) the partner of each point.
    """
    filled, there = _complex(points)
    mirrored, seen = -filled.conj()[:, flip], there[:, flip]
    moved, _ = _onto(mirrored, seen, filled, there)
    both = there & seen
    square = np.where(both, abs(moved - filled) ** 2, 0).sum(1)
    count = both.sum(1)
    return np.asarray(np.sqrt(np.divide(square, count, out=np.full(len(points), np.nan), where=count > 0)))


def _complex(points: Floats) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """(N, K) positions, 0 where there is none, and where there is one."""
    shapes = points[..., 0] + 1j * points[..., 1]
    there = np.isfinite(shapes)
    return np.where(there, shapes, 0), there


def _onto(
    shapes: NDArray[np.complex128], there: NDArray[np.bool_], mean: NDArray[np.complex128], known: NDArray[np.bool_]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Least-squares similarity of each shape, (N, K), onto the mean, (K,) or (N, K); shapes and turns, (N, 1)."""
    weight = there & known
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    centre = np.where(weight, shapes, 0).sum(axis=1, keepdims=True) / count
    target = np.where(weight, mean, 0).sum(axis=1, keepdims=True) / count
    from_centre = np.where(weight, shapes - centre, 0)
    power = (abs(from_centre) ** 2).sum(axis=1)
    product = (from_centre.conj() * np.where(weight, mean - target, 0)).sum(axis=1)
    # A shape that shares a single point with the mean can only be shifted.
    turn = np.divide(product, power, out=np.ones(len(shapes), complex), where=(power > 0) & (abs(product) > 0))
    return (shapes - centre) * turn[:, None] + target, turn[:, None]
