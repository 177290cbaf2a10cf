"""Where a point is, given where a human put it and where a detector reads it from several views of its image.

What a detector misses by hangs together over a face; what a hand misses by is drawn afresh for every point.  How the
detector's misses hang together shows in how its readings wobble when the view changes a little.  So with p the mean
reading, o the human point and y the true one, for all points of an instance at once,

    y ~ Normal(p, S)                      S: covariance of the readings' wobble, scaled to this instance
    o ~ Student-t(y, noise of the landmark along and across its contour)

and y is found by expectation-maximisation over the whole set: the noise of each landmark from all instances, then
each instance's y from the noise.  Where the readings agree, y is near them; where they wobble, the human point holds
it; and a human point that is right says something about its neighbours, too.

All arrays have D = 2 K coordinates an instance, along and across the contour of each point in turn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TAILS = 5.0  # degrees of freedom of the Student-t: as heavy as measured on real annotators
SHARED = 0.9  # how much of the detector's error may hang together; the rest is each point's own
LEAST = 2.0  # what a reading misses on its own, in parts of the median variance of its landmark: views do not show all
ROUNDS, MORE_ROUNDS = 12, 4
POOLED = 4.0  # a landmark's noise counts as so many instances with the noise of an average landmark
NOTHING = 1e-8  # least weight of a human point in the variances, in parts of the reading's; they are divided by it
_ENTRIES = 1 << 22  # of the matrices that are solved at once


class Consensus(NamedTuple):
    """What the set agrees on."""

    shift: Tensor  # (N, D) from the mean reading to the point
    variance: Tensor  # (N, D) of that
    noise: Tensor  # (D,) squared scale of the human noise
    scale: float  # variance of the detector's error, in parts of that of its wobble


def scatter(square: Tensor, labelled: Tensor) -> Tensor:
    """(N, D) variances of readings over views, none without what a reading of its landmark usually misses on its own.

    Args:
        square: (N, D) variances as they are.
        labelled: (N, D) bool, which of them count for what is usual.
    """
    usual = square.masked_fill(~labelled, torch.nan).nanmedian(0).values.nan_to_num(0)
    return square + LEAST * usual.clamp(min=1e-6)


def correlation(views: Tensor, variance: Tensor, labelled: Tensor) -> Tensor:
    """(D, D) how the scatter of views hangs together.

    Args:
        views: (V, N, D) readings minus their mean over the views.
        variance: (N, D) as `scatter` gives it.
        labelled: (N, D) bool, which of them count.
    """
    scaled = (views / variance.sqrt() * labelled).flatten(0, 1)
    together = scaled.T @ scaled
    size = together.diagonal().clamp(min=1e-12).sqrt()
    together = SHARED * together / size / size[:, None]
    together.diagonal().fill_(1)
    return together


def settle(
    residual: Tensor,
    variance: Tensor,
    together: Tensor,
    trust: Tensor,
    learn: Tensor,
    start: Consensus | None = None,
) -> Consensus:
    """Find all points of all instances.

    Args:
        residual: (N, D) human point minus mean reading; anything finite where `trust` is 0.
        variance: (N, D) of the readings.
        together: (D, D) correlations of the readings.
        trust: (N, D) in [0, 1]: 0 for a point that is not labelled, less than 1 for one that may be a gross error.
        learn: (N,) bool, whose human points the noise is learnt from.
        start: what was found before with nearly the same trust; a few rounds take it on from there.
    """
    if start is None:
        noise, scale, tails = _start(residual, trust * learn[:, None]), 1.0, torch.ones_like(residual)
    else:
        noise, scale = start.noise, start.scale
        tails = (TAILS + 1) / (TAILS + ((residual - start.shift) ** 2 + start.variance) / noise)
    shift, left = torch.zeros_like(residual), variance
    for _ in range(ROUNDS if start is None else MORE_ROUNDS):
        shift, left, size = _expect(residual, scale * variance, together, trust * tails / noise)
        scale *= float(size[learn].mean())
        missed = (residual - shift) ** 2 + left
        tails = (TAILS + 1) / (TAILS + missed / noise)
        counts = trust * learn[:, None]
        noise = _pooled((counts * tails * missed).sum(0), counts.sum(0))
    return Consensus(shift, left, noise, scale)


def _start(residual: Tensor, counts: Tensor) -> Tensor:
    """A first guess of the noise, from the median of what separates human points and readings."""
    median = residual.abs().masked_fill(counts <= 0, torch.nan).nanmedian(0).values.nan_to_num(0)
    square = (1.48 * median) ** 2
    return _pooled(square * counts.sum(0), counts.sum(0))


def _pooled(total: Tensor, count: Tensor) -> Tensor:
    """Means per landmark and direction, drawn to the mean over all landmarks where there are few instances."""
    pairs, counts = total.view(-1, 2), count.view(-1, 2)
    usual = pairs.sum(0) / counts.sum(0).clamp(min=1e-12)
    return ((pairs + POOLED * usual) / (counts + POOLED)).flatten().clamp(min=1e-8)


def _expect(residual: Tensor, variance: Tensor, together: Tensor, precision: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each instance's points, given the precision of each human coordinate, (N, D).

    Returns:
        (N, D), (N, D) and (N,) the expected square of the mean in parts of what the covariance says.
    """
    shift, left = torch.empty_like(residual), torch.empty_like(residual)
    ratio = torch.empty_like(residual[:, 0])
    weight = precision.maximum(NOTHING / variance)
    pull = precision / weight.sqrt() * residual
    count = residual.shape[1]
    chunk = max(1, _ENTRIES // count**2)
    for start in range(0, len(residual), chunk):
        part = slice(start, start + chunk)
        size, root = variance[part].sqrt(), weight[part].sqrt()
        # With C the covariance and R the roots of the precisions, the inverse of I + R C R has all that is asked for.
        outer = root * size
        inner = together * outer[:, :, None] * outer[:, None, :]
        inner.diagonal(dim1=1, dim2=2).add_(1)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(inner))
        pulled = root * (inverse @ pull[part, :, None])[:, :, 0]
        shift[part] = size * ((size * pulled) @ together)
        doubt = inverse.diagonal(dim1=1, dim2=2)
        left[part] = (1 - doubt) / weight[part]
        ratio[part] = ((pulled * shift[part]).sum(1) + doubt.sum(1)) / count
    return shift, left, ratio
