"""Which points are each other's mirror images, as the mean shape shows it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
FARTHEST = 0.05  # of the box, that a point may lie from its partner's mirror image
OTHER_CONTOUR = 0.01  # of the box: what a partner on another contour must be nearer by
SHARE = 0.98  # of the contours' links that have to be links again on the other side
_AXES = np.linspace(-0.05, 0.05, 41)  # where the axis may lie beside the middle of the shape


def mirror_partners(shape: Array, contours: Sequence[Sequence[int]]) -> NDArray[np.int64] | None:
    """Find the partner of each point under a mirror with an upright axis.

    Args:
        shape: (K, 2) mean shape relative to the box.
        contours: chains of points; a partner's chain has to be the mirror image of the chain.

    Returns:
        (K,) partners, a point on the axis its own; None for a shape that is not symmetric.
    """
    middle = shape[:, 0].mean()
    costs = [_distances(shape, middle + offset) for offset in _AXES]
    cost = min(costs, key=lambda one: float(one.min(1).mean()))
    # Where two contours all but coincide, as closed lips do, each is rather its own mirror image than the other's …
    apart = np.ones_like(cost)
    for chain in contours:
        members = np.array(chain)
        apart[members[:, None], members] = 0
    partner = _assign(cost + OTHER_CONTOUR * apart)
    # … and all points of one have their partners on the same other.
    images = _images(partner, contours)
    strange = np.zeros_like(cost)
    for chain, image in zip(contours, images, strict=True):
        outside = np.setdiff1d(np.arange(len(shape)), contours[image])
        strange[np.array(chain)[:, None], outside] = 1
    partner = _assign(cost + strange + strange.T)
    links = {frozenset(link) for chain in contours for link in pairwise(chain)}
    kept = [frozenset(int(partner[k]) for k in link) in links for link in links]
    far = cost[np.arange(len(shape)), partner].max()
    symmetric = (partner[partner] == np.arange(len(shape))).all() and (partner != np.arange(len(shape))).any()
    return partner if symmetric and far <= FARTHEST and (not kept or np.mean(kept) >= SHARE) else None


def _distances(shape: Array, axis: float) -> Array:
    image = np.stack([2 * axis - shape[:, 0], shape[:, 1]], -1)
    there = np.linalg.norm(image[:, None] - shape, axis=-1)
    return np.asarray((there + there.T) / 2)


def _assign(cost: Array) -> NDArray[np.int64]:
    return np.asarray(linear_sum_assignment(cost**2)[1], np.int64)


def _images(partner: NDArray[np.int64], contours: Sequence[Sequence[int]]) -> list[int]:
    """For each contour, the one that most of its points' partners lie on."""
    members = [set(chain) for chain in contours]
    found = []
    for chain in contours:
        there = {int(partner[k]) for k in chain}
        shares = [len(there & other) / max(len(there | other), 1) for other in members]
        found.append(int(np.argmax(shares)))
    return found
