"""Posterior of every point, given the human points of a set and a detector's predictions for several views.

A detector's errors are correlated over a face; a human's errors are drawn afresh for every point.  How the detector's
errors are correlated shows in how its predictions change together when the view changes a little, and in which points
are near each other on a contour.  So, with p the mean prediction, o the human point and y the true one, for all points
of an instance at once,

    y ~ Normal(p, S)                      S: covariance of the detector's errors, scaled along and across
    o ~ Student-t(y, noise)               noise: squared scale of each landmark, along and across its contour

and y is estimated by expectation-maximisation over the whole set: the noise of each landmark from all instances, then
each instance's y from the noise.  Where the views agree, y is near the prediction; where they differ, the human point
has more weight; and a human point also tells about its neighbours, whose detector errors are correlated with its own.

A detector that has learnt little is off by more than its views say, and that would pass for noise of the humans.  So
the noise of each landmark has a largest value, from elsewhere (`lmk.kernels.ceiling`), and the scale of S a least one.

All arrays have D = 2 K coordinates an instance, along and across the contour of each point in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Chains = Sequence[tuple[Sequence[int], bool]]  # contours as different points in order, and whether each is closed

TAILS = 5.0  # degrees of freedom of the Student-t, as heavy as real annotators' noise; larger is nearer to a Gaussian
SHARED = 0.9  # largest correlation of two points' errors by the views; the rest of the variance is each point's own
BESIDE = 0.3  # share of a contour's errors that hang together along it, whatever the views say; 0 is the views alone
STIFF = 12.0  # errors of neighbours on a long contour have a correlation of 0.75; larger makes it reach further
EXTRAPOLATED = 2.0  # largest ratio of a point's squared error to the product with its neighbour's that is believed
OWN = 2.0  # variance of a prediction's own error, relative to its landmark's median variance; views underestimate it
ROUNDS, MORE_ROUNDS = 12, 4  # of expectation-maximisation: from scratch, and from an earlier result
LEAST_SCALE = (0.7, 1.3)  # least scale of the detector's error, along and across; larger trusts humans more
CUT = 3.0  # standard deviations at which a residual is cut before the scale is found
POOLED = 4.0  # instances by which the mean noise of all landmarks counts in each landmark's noise
NOTHING = 1e-8  # least precision of a human point relative to the prediction's; variances are divided by it
_ENTRIES = 1 << 20  # numbers in the matrices that are inverted at once; more need more memory and are no faster


class Human(NamedTuple):
    """What the humans say of all points."""

    residual: Tensor  # (N, D) human point minus mean prediction; anything finite where `weight` is 0
    weight: Tensor  # (N, D) in [0, 1]: 0 for a point without a label, less than 1 for one that may be a gross error
    learn: Tensor  # (N,) bool, whose human points the noise and the scale are estimated from
    most: Tensor  # (D,) largest squared scale that the noise of a coordinate can have


class Consensus(NamedTuple):
    """The posterior."""

    offset: Tensor  # (N, D) from the mean prediction to the posterior mean
    variance: Tensor  # (N, D) of the posterior
    noise: Tensor  # (D,) squared scale of the human noise


def view_variance(square: Tensor, labelled: Tensor) -> Tensor:
    """(N, D) variances of predictions over views, with the part added that views do not show.

    Args:
        square: (N, D) variances over views.
        labelled: (N, D) bool, which of them count for the median.
    """
    usual = square.masked_fill(~labelled, torch.nan).nanmedian(0).values.nan_to_num(0)
    return square + OWN * usual.clamp(min=1e-6)


def correlation(deviations: Tensor, variance: Tensor, labelled: Tensor, chains: Chains) -> Tensor:
    """(D, D) correlation of the detector's errors, from how predictions deviate together and from the contours.

    Args:
        deviations: (V, N, D) predictions minus their mean over the views.
        variance: (N, D) as `view_variance` gives it.
        labelled: (N, D) bool, which of them count.
        chains: the contours.
    """
    scaled = (deviations / variance.sqrt() * labelled).flatten(0, 1)
    product = scaled.T @ scaled
    size = product.diagonal().clamp(min=1e-12).sqrt()
    shown = SHARED * product / size / size[:, None]
    shown.diagonal().fill_(1)
    beside, share = _on_contours(chains, len(product) // 2)
    rest = (1 - share).sqrt()
    return rest * shown * rest[:, None] + share.sqrt() * beside * share.sqrt()[:, None]


def _on_contours(chains: Chains, points: int) -> tuple[Tensor, Tensor]:
    """(D, D) correlation that falls with the number of points between two on a contour, (D,) its share in all.

    The points are joined by springs along the contours, and each is held in its place by a weaker one.
    """
    first, second = _apart(chains, 1)
    joined = torch.zeros(points, points, dtype=torch.float64)
    joined[first, second] = joined[second, first] = STIFF
    moved = torch.linalg.inv(torch.diag(1 + joined.sum(0)) - joined)
    size = moved.diagonal().sqrt()
    found = torch.zeros(2 * points, 2 * points, dtype=torch.float64)
    found[::2, ::2] = found[1::2, 1::2] = moved / size / size[:, None]
    return found, BESIDE * (joined.sum(0) > 0).double().repeat_interleave(2)


def _apart(chains: Chains, steps: int) -> tuple[Tensor, Tensor]:
    """(P,) and (P,) the points that are so many steps apart on a contour; two that are on two contours count once."""
    pairs = set()
    for chain, closed in chains:
        count = len(chain)
        for place in range(count if closed and count > 2 * steps else count - steps):
            one, other = chain[place], chain[(place + steps) % count]
            pairs.add((min(one, other), max(one, other)))
    found = torch.tensor(sorted(pairs), dtype=torch.int64).view(-1, 2)
    return found[:, 0], found[:, 1]


def error_scale(human: Human, variance: Tensor, correlated: Tensor, chains: Chains) -> Tensor:
    """(2,) variance of the detector's error relative to what the views say, along and across.

    Human noise is drawn afresh for every point.  So what the residuals of two points of an instance have in common is
    the detector's.  On a contour the products of residuals fall smoothly with the distance, and are extrapolated from
    neighbours, and from points two apart, to the point itself.  (In geostatistics the human noise is the nugget of a
    variogram.)  Where no contour has three points, all products count that the correlation of the errors makes large.
    Large residuals are cut.
    """
    weight = human.weight * human.learn[:, None]
    cut = CUT * 1.48 * _median(human.residual, weight)
    residual, size = weight * human.residual.clamp(min=-cut, max=cut), weight * variance.sqrt()
    steps = [_apart(chains, count) for count in (1, 2)]
    if len(steps[1][0]):
        told, expected = residual.T @ residual, size.T @ size
        near, further = (_between(told, pairs) / _between(expected, pairs).clamp(min=1e-12) for pairs in steps)
        found = near * (near / further.clamp(min=1e-9)).clamp(min=1, max=EXTRAPOLATED)
    else:
        found = torch.stack([_all_products(residual, size, correlated, way) for way in range(2)])
    return found.maximum(variance.new_tensor(LEAST_SCALE))


def _between(products: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
    """(2,) the sums of (D, D) products over pairs of points, along and across."""
    return torch.stack([products[way::2, way::2][pairs].sum() for way in range(2)])


def _all_products(residual: Tensor, size: Tensor, correlated: Tensor, way: int) -> Tensor:
    """The scale in one direction that explains the products of all pairs of points best."""
    square, shared = size[:, way::2] ** 2, correlated[way::2, way::2]
    told = residual[:, way::2] * size[:, way::2]
    seen = (told @ shared * told).sum() - (told**2).sum()
    wanted = (square @ shared**2 * square).sum() - (square**2).sum()
    return seen / wanted.clamp(min=1e-12)


def estimate(human: Human, variance: Tensor, correlated: Tensor, start: Consensus | None = None) -> Consensus:
    """Estimate the posterior of all points, and the noise.

    Args:
        human: what the humans say.
        variance: (N, D) of the detector's error.
        correlated: (D, D) correlation of the detector's errors.
        start: an earlier result with nearly the same weights; a few rounds continue from there.
    """
    residual, weight, most = human.residual, human.weight, human.most
    counts = weight * human.learn[:, None]
    if start is None:
        noise, tails = _start(residual, counts).minimum(most), torch.ones_like(residual)
    else:
        noise = start.noise
        tails = (TAILS + 1) / (TAILS + ((residual - start.offset) ** 2 + start.variance) / noise)
    offset, left = torch.zeros_like(residual), variance
    for _ in range(ROUNDS if start is None else MORE_ROUNDS):
        offset, left = _expect(residual, variance, correlated, weight * tails / noise)
        squared = (residual - offset) ** 2 + left
        tails = (TAILS + 1) / (TAILS + squared / noise)
        noise = _pooled((counts * tails * squared).sum(0), counts.sum(0)).minimum(most)
    return Consensus(offset, left, noise)


def times(scale: Tensor, variance: Tensor) -> Tensor:
    """(N, D) variances, each times the scale of its direction, (2,)."""
    return variance * scale.repeat(variance.shape[1] // 2)


def _start(residual: Tensor, counts: Tensor) -> Tensor:
    """A first guess of the noise, from the median residual of each coordinate."""
    square = (1.48 * _median(residual, counts)) ** 2
    return _pooled(square * counts.sum(0), counts.sum(0))


def _median(residual: Tensor, counts: Tensor) -> Tensor:
    """(D,) median distance of the coordinates that count, 0 where none does."""
    return residual.abs().masked_fill(counts <= 0, torch.nan).nanmedian(0).values.nan_to_num(0)


def _pooled(total: Tensor, count: Tensor) -> Tensor:
    """Means per landmark and direction, shrunk to the mean over all landmarks where there are few instances."""
    pairs, counts = total.view(-1, 2), count.view(-1, 2)
    usual = pairs.sum(0) / counts.sum(0).clamp(min=1e-12)
    return ((pairs + POOLED * usual) / (counts + POOLED)).flatten().clamp(min=1e-8)


def _expect(residual: Tensor, variance: Tensor, correlated: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) posterior means and variances of each instance's points, given the precision of each human coordinate."""
    offset, left = torch.empty_like(residual), torch.empty_like(residual)
    weight = precision.maximum(NOTHING / variance)
    pull = precision / weight.sqrt() * residual
    count = residual.shape[1]
    chunk = max(1, _ENTRIES // count**2)
    for start in range(0, len(residual), chunk):
        part = slice(start, start + chunk)
        size, root = variance[part].sqrt(), weight[part].sqrt()
        # With C the prior covariance and R the roots of the precisions, all follows from the inverse of I + R C R.
        outer = root * size
        inner = correlated * outer[:, :, None] * outer[:, None, :]
        inner.diagonal(dim1=1, dim2=2).add_(1)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(inner))
        pulled = root * (inverse @ pull[part, :, None])[:, :, 0]
        offset[part] = size * ((size * pulled) @ correlated)
        doubt = inverse.diagonal(dim1=1, dim2=2)
        left[part] = (1 - doubt) / weight[part]
    return offset, left
