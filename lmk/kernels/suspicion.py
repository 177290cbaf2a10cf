"""How likely a human point is a gross error, and of which kind.

Each kind of error predicts where the human point would be: at its neighbour's place (slip), anywhere around (stray), on
the other side (swap), or moved with its whole contour, together (shift) or one place along (slip).  Without an error it
is near the detector's prediction, as far as the noise of its landmark explains.  Bayes' rule compares them.  A contour
or a whole instance is judged as one: a deviation that is plausible in one point is not when all points share it.

A point that is much further from its true place than its landmark usually is, is a gross error whatever its kind:
`far_off`.

Lengths are pixels of a 256-pixel heatmap, so the constants below are 256ths of the instance's box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lmk.kernels.frames import split

Array = NDArray[np.float64]

REASONS = ("", "slip", "stray", "swapped side", "contour shifted", "contour slipped", "sides swapped", "far off")
DOUBT = 0.5  # suspicion from which a point is a gross error rather than not
SLIP, STRAY, OTHER_SIDE, CONTOUR_SHIFTED, CONTOUR_SLIPPED, SIDES_SWAPPED, FAR_OFF = range(1, 8)
# Prior probabilities of each kind: about 3 % of points together, as measured on crowds of annotators.
SINGLE, CONTOUR, INSTANCE = 0.01, 0.004, 0.005
REACH = 16.0  # standard deviation of the offset of a stray point or a shifted contour, per axis
TAILS = 5.0  # degrees of freedom of the Student-t noise; larger is nearer to a Gaussian
FAR = 6.0  # a point is far off from so many times the usual error of its landmark
_SUPPORT = 3  # points that a contour needs to be judged as a whole


class Suspicion(NamedTuple):
    """What is known about each human point."""

    score: Array  # (N, K) probability of a gross error; 0 where there is no point
    reason: NDArray[np.int64]  # (N, K) index into REASONS of the likeliest kind of error


def suspect(
    human: Array,
    prediction: Array,
    axes: Array,
    variance: Array,
    noise: Array,
    chains: Sequence[tuple[Sequence[int], bool]],
    flip: NDArray[Any],
) -> Suspicion:
    """Judge every human point.

    Args:
        human: (N, K, 2), NaN where missing.
        prediction: (N, K, 2) of the detector.
        axes: (N, K, 2, 2) unit vectors along and across the contour at each point.
        variance: (N, K, 2) of the prediction along these.
        noise: (K, 2) squared scale of the human noise along these.
        chains: contours as different points in order, and whether each is closed.
        flip: (K,) the partner of each point on the other side, itself where there is none.
    """
    there = np.asarray(np.isfinite(human).all(-1))
    residual = np.where(there[..., None], human - prediction, 0.0)
    square = variance + noise
    usual = _log_density(residual, axes, square)
    single = _singles(residual, prediction, axes, square, usual, chains, flip)
    group = np.full((2, *there.shape), -np.inf)  # shifted, slipped
    for chain, closed in chains:
        if len(chain) >= _SUPPORT:
            place = list(chain)
            odds = _contour(
                residual[:, place], prediction[:, place], axes[:, place], square[:, place], variance[:, place],
                there[:, place], closed,
            )  # fmt: skip
            group[:, :, place] = np.maximum(group[:, :, place], odds[:, :, None])
    swap = _swapped(human, prediction, axes, square, usual, there, flip)
    kinds = np.concatenate([single, group, swap[None]])
    share = np.stack([_chance(np.logaddexp.reduce(part, axis=0)) for part in (single, group, swap[None])])
    score = np.where(there, 1 - np.prod(1 - share, axis=0), 0.0)
    return Suspicion(score, np.where(there, 1 + kinds.argmax(0), 0))


def far_off(apart: Array, variance: Array, usual: Array) -> Array:
    """(N, K) probability that points are further from their true places than FAR times the usual error.

    Args:
        apart: (N, K, 2) human point minus the position that is agreed on, along and across.
        variance: (N, K, 2) of that position.
        usual: (K,) error of each landmark.
    """
    distance = np.linalg.norm(apart, axis=-1)
    towards = np.einsum("nkd,nkd->nk", apart**2, variance) / np.maximum(distance, 1e-9) ** 2
    return np.asarray(ndtr((distance - FAR * usual) / np.sqrt(np.maximum(towards, 1e-12))))


def _chance(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))


def _log_density(offset: Array, axes: Array, square: Array) -> Array:
    """(…, 2) offsets under Student-t noise along two axes, up to a constant that all kinds share."""
    along = split(offset, axes)
    each = -(TAILS + 1) / 2 * np.log1p(along**2 / (TAILS * square)) - 0.5 * np.log(square) - _T_AT_ZERO
    return np.asarray(each.sum(-1))


_T_AT_ZERO = 0.9686196  # minus the logarithm of the density of a Student-t with 5 degrees of freedom at 0


def _broad(offset: Array, square: Array | float) -> Array:
    """(…, 2) offsets under a round Gaussian."""
    variance = np.broadcast_to(square, offset.shape[:-1])
    return np.asarray(-(offset**2).sum(-1) / (2 * variance) - np.log(2 * np.pi * variance))


def _singles(
    residual: Array,
    prediction: Array,
    axes: Array,
    square: Array,
    usual: Array,
    chains: Sequence[tuple[Sequence[int], bool]],
    flip: NDArray[Any],
) -> Array:
    """(3, N, K) log odds of slip, stray and the other side, for points on their own."""
    slip = np.full(usual.shape, -np.inf)
    for chain, closed in chains:
        place = list(chain)
        if len(place) < 2:
            continue
        for way in (-1, 1):
            found = _one_along(residual[:, place], prediction[:, place], axes[:, place], square[:, place], closed, way)
            slip[:, place] = np.logaddexp(slip[:, place], found + np.log(0.5))
    stray = _broad(residual, REACH**2 + square.mean(-1))
    side = _log_density(residual - (prediction[:, flip] - prediction), axes, square)
    side[:, flip == np.arange(len(flip))] = -np.inf
    # A point in two contours may slip along either: its odds are those of the likelier, not their sum.
    weights = np.array([0.85, 0.12, 0.03])[:, None, None]
    return np.stack([slip, stray, side]) - usual + np.log(weights * SINGLE / (1 - SINGLE))


def _one_along(residual: Array, prediction: Array, axes: Array, square: Array, closed: bool, way: int) -> Array:
    """(N, n) log densities of a chain's points if each had been placed where its neighbour is.

    Beyond an open end there is no neighbour: that place is extrapolated from two points, and so is its noise.
    """
    there, wide = np.roll(axes, -way, axis=1), np.roll(square, -way, axis=1)
    if not closed:
        end = -1 if way == 1 else 0
        there[:, end], wide[:, end] = axes[:, end], 5 * square[:, end]
    return _log_density(residual - _steps(prediction, closed, way), there, wide)


def _steps(points: Array, closed: bool, way: int) -> Array:
    """(N, n, 2) from each point of a chain to its neighbour; at an open end, as far again as from the other one."""
    if closed:
        return np.asarray(np.roll(points, -way, axis=1) - points)
    ahead = np.diff(points, axis=1)
    if way == 1:
        return np.concatenate([ahead, ahead[:, -1:]], axis=1)
    return np.asarray(-np.concatenate([ahead[:, :1], ahead], axis=1))


def _contour(
    residual: Array, prediction: Array, axes: Array, square: Array, variance: Array, there: Any, closed: bool
) -> Array:
    """(2, N) log odds that a whole contour is shifted, and that it sits one place further along."""
    prior = np.log(CONTOUR / 2 / (1 - CONTOUR))
    usual = np.where(there, _log_density(residual, axes, square), 0)

    def gain(offset: Array) -> Array:
        return np.asarray(np.where(there, _log_density(residual - offset, axes, square) - usual, 0).sum(1))

    along = [_one_along(residual, prediction, axes, square, closed, way) - usual for way in (-1, 1)]
    slipped = np.logaddexp(*(np.where(there, gained, 0).sum(1) for gained in along)) + np.log(0.5)
    slipped = slipped - np.maximum(_slid(gain, residual, axes, square, variance, there), 0)
    # The offset that most points share: Student-t weights, from the median on.
    precision = np.einsum("nkdi,nkdj,nkd->nkij", axes, axes, 1 / square) * there[..., None, None]
    offset = _middle(residual, there)
    for _ in range(5):
        apart = split(residual - offset[:, None], axes)
        weight = (TAILS + 2) / (TAILS + (apart**2 / square).sum(-1))
        held = precision * weight[..., None, None]
        total = held.sum(1) + 1e-9 * np.eye(2)
        offset = np.linalg.solve(total, np.einsum("nkij,nkj->ni", held, residual)[..., None])[..., 0]
    spread = np.sqrt(1 / np.linalg.det(total))  # of the offset
    # Enough points must fit better with it, and the detector itself must be unlikely to be off by as much.
    explained = gain(offset[:, None]) + _broad(offset, REACH**2) + np.log(2 * np.pi * spread)
    own = variance.mean((1, 2))
    beyond = _broad(offset, REACH**2 + spread) - _broad(offset, own + spread)
    several = there.sum(1) >= _SUPPORT
    return np.where(several, np.stack([np.minimum(explained, beyond), slipped]) + prior, -np.inf)


def _slid(
    gain: Callable[[Array], Array], residual: Array, axes: Array, square: Array, variance: Array, there: Any
) -> Array:
    """(N,) log odds that the detector has all points of a contour too far along it, rather than none."""
    along, square = split(residual, axes)[..., 0], square[..., 0]
    slide = _middle(along, there)
    for _ in range(5):
        held = there / square * (TAILS + 1) / (TAILS + (along - slide[:, None]) ** 2 / square)
        total = held.sum(1) + 1e-9
        slide = (held * along).sum(1) / total
    own = np.where(there, variance[..., 0], 0).sum(1) / np.maximum(there.sum(1), 1)
    wide = own + 1 / total
    return np.asarray(gain(slide[:, None, None] * axes[..., 0, :]) - slide**2 / (2 * wide) - np.log(wide * total) / 2)


def _middle(values: Array, there: Any) -> Array:
    """(N, ...) medians over the points of a contour that are there; 0 where none is."""
    known = there.reshape(*there.shape, *[1] * (values.ndim - 2))
    return np.asarray(
        np.nan_to_num(np.nanmedian(np.where(known | ~known.any(1, keepdims=True), values, np.nan), axis=1))
    )


def _swapped(
    human: Array, prediction: Array, axes: Array, square: Array, usual: Array, there: Any, flip: NDArray[Any]
) -> Array:
    """(N, K) log odds that an instance is annotated with its sides exchanged; only points with a partner tell."""
    paired = (flip != np.arange(len(flip))) & there
    exchanged = np.where(paired[..., None], human - prediction[:, flip], 0.0)
    gain = np.where(paired, _log_density(exchanged, axes[:, flip], square[:, flip]) - usual, 0).sum(1)
    enough = paired.sum(1) >= 2
    odds = np.where(enough, gain + np.log(INSTANCE / (1 - INSTANCE)), -np.inf)
    return np.where(paired, odds[:, None], -np.inf)
