"""How noisy human points can be at most, from the human points themselves.

The true points of an instance tell about each other: a shape is smooth, and most of a point's place follows from its
neighbours.  Human noise is drawn afresh for every point and follows from nothing.  So whatever of a point cannot be
predicted from the other points of its instance is noise or a peculiarity of its shape; its noise is at most that.  This
holds however good or bad a detector is, which a detector's own residuals cannot tell: those of a bad detector look like
noise of the annotators.

Two things are predicted: the offset of a point from the mean shape, laid on the other points of its instance, and its
offset from a detector's prediction.  The offsets of the points around it predict both.  The lesser of the two counts.

Lengths are pixels of a 256-pixel heatmap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.kernels.frames import split

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

AROUND = (2, 6, None)  # numbers of points around a point whose mean offsets predict its own; None is all others
ENOUGH = 6  # instances with a point, and points of an instance, below which nothing is predicted from those around it
ROUNDS = 3  # of reweighting, in which points that fit badly lose weight
TAILS = 5.0  # degrees of freedom of the Student-t noise
MEDIAN = 0.7267  # median of the absolute value of a Student-t with 5 degrees of freedom
POOLED = 4.0  # instances by which the median over all landmarks counts in each landmark's ceiling


def ceiling(human: Array, prediction: Array, axes: Array) -> Array:
    """(K, 2) largest squared scale of the human noise, along and across; infinite where nothing is known.

    Args:
        human: (N, K, 2), NaN where missing.
        prediction: (N, K, 2) of a detector.
        axes: (N, K, 2, 2) unit vectors along and across the contour at each point.
    """
    there = np.asarray(np.isfinite(human).all(-1))
    shape = np.nan_to_num(_middle(human, there))
    turn, shift = fitted(shape, human)

    def laid_on(point: int) -> Array:
        place = turn[:, point, None] * (shape[:, 0] + 1j * shape[:, 1]) + shift[:, point, None]
        return np.stack([place.real, place.imag], -1)

    rests = (unexplained(human, expected, axes, shape) for expected in (laid_on, lambda point: prediction))
    found = [_squared_scale(rest) for rest in rests]
    least = np.fmin(*found)
    counts, finite = there.sum(0)[:, None], np.isfinite(least)
    told = np.where(finite, least, 0.0)
    usual = np.array([np.median(told[seen, way]) if seen.any() else 0.0 for way, seen in enumerate(finite.T)])
    return np.where(finite, (counts * told + POOLED * usual) / (counts + POOLED), np.inf)


def _middle(human: Array, there: Flags) -> Array:
    """(K, 2) the median of each point, once every instance is centred on its median point."""
    some = np.asarray(there.any(1))
    centre = np.nanmedian(np.where(some[:, None, None], human, 0.0), axis=1, keepdims=True)
    centred = np.asarray(human - centre)
    middle = np.full(human.shape[1:], np.nan)
    seen: Flags = np.asarray(there.any(0))
    middle[seen] = np.nanmedian(centred[:, seen], axis=0)
    return middle


def fitted(shape: Array, human: Array) -> tuple[Any, Any]:
    """How a shape is turned and scaled, and where it is moved, to fit the other points of an instance, for each point.

    Returns:
        (N, K) complex factors and shifts, for points x + iy; NaN where there are not two others, or they are in one
        place.
    """
    there = np.isfinite(human).all(-1)
    ours = (shape[:, 0] + 1j * shape[:, 1]) * there
    theirs = np.where(there, human[..., 0] + 1j * human[..., 1], 0)

    def others(values: Any) -> Any:
        """The sum over all points of an instance but one, for each one."""
        return values.sum(1, keepdims=True) - values

    count = others(there.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, centre = others(ours) / count, others(theirs) / count
        spread = others(np.abs(ours) ** 2) - count * np.abs(middle) ** 2
        turn = (others(ours.conj() * theirs) - count * middle.conj() * centre) / spread
    turn = np.where((count >= 2) & (spread > 1e-9), turn, np.nan)
    return turn, centre - turn * middle


def unexplained(human: Array, expected: Callable[[int], Array], axes: Array, shape: Array) -> Array:
    """(N, K, 2) what of the points does not follow from those around them, along and across; NaN where unknown.

    A regression for each landmark and direction, on the mean offsets of the nearest points.  Every instance is
    predicted by the others: the leverage of each is taken out.

    Args:
        human: (N, K, 2), NaN where missing.
        expected: from a landmark to (N, K, 2), where all points are expected by one who has not seen that landmark.
        axes: (N, K, 2, 2) unit vectors along and across the contour at each point.
        shape: (K, 2) the mean shape, which says what is near.
    """
    points = human.shape[1]
    apart = np.linalg.norm(shape[:, None] - shape, axis=-1)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart, axis=1)
    found = np.full(human.shape, np.nan)
    for point in range(points):
        offset = human - expected(point)
        known = np.asarray(np.isfinite(offset).all(-1))
        chosen = known[:, point]
        if chosen.sum() < ENOUGH:
            continue
        frame = axes[chosen, point]
        own = split(offset[chosen, point], frame)
        if points > ENOUGH:
            nearest = (order[point, : number or points - 1] for number in AROUND)
            around = [_mean(offset[chosen][:, places], known[chosen][:, places]) for places in nearest]
            told = split(np.stack(around, 1), frame[:, None])
            own = np.stack([_left_over(own[:, way], told[..., way]) for way in range(2)], -1)
        found[chosen, point] = own
    return found


def _mean(offset: Array, known: Flags) -> Array:
    """(N, 2) the mean of those offsets, (N, n, 2), that are known."""
    return np.asarray(np.where(known[..., None], offset, 0.0).sum(1) / np.maximum(known.sum(1), 1)[:, None])


def _left_over(wanted: Array, told: Array) -> Array:
    """(n,) what a robust ridge regression on (n, F) leaves of (n,), each row predicted without itself."""
    rest, weight = wanted, np.ones(len(wanted))
    for _ in range(ROUNDS):
        weighted = told * weight[:, None]
        product = told.T @ weighted
        product += np.eye(len(product)) * (np.trace(product) / len(product) / len(wanted) + 1e-9)
        inverse = np.linalg.inv(product)
        leverage = np.einsum("nf,fg,ng->n", told, inverse, weighted)
        rest = (wanted - told @ (inverse @ (weighted.T @ wanted))) / np.maximum(1 - leverage, 0.1)
        scale = np.median(np.abs(rest)) / MEDIAN + 1e-9
        weight = (TAILS + 1) / (TAILS + (rest / scale) ** 2)
    return rest


def _squared_scale(rest: Array) -> Array:
    """(K, 2) robust squared scale of Student-t offsets, infinite where there are too few."""
    enough = np.isfinite(rest).sum(0) >= ENOUGH
    scale = np.full(rest.shape[1:], np.inf)
    scale[enough] = np.nanmedian(np.abs(rest[:, enough]), axis=0) / MEDIAN
    return scale**2
