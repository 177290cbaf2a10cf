"""Whether a detector is good enough to correct human points, judged without any truth.

Where a detector is expected to be further off than the humans are, nobody can tell whether it would correct their
labels or spoil them.  It is compared landmark by landmark, and the median landmark decides: a few that are labelled or
predicted at random do not.  Points that the detector has not learnt have a say, too: they show when it is worse than
its views and its residuals on learnt points make it look.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

AS_GOOD = 1.0  # largest squared error that a detector may have, relative to the humans'; larger trusts weaker ones
ENOUGH = 30  # points that have not been learnt, below which they say too little
HALF = 0.455  # median of the square of a standard Gaussian
TAILS = 5.0  # degrees of freedom of the Student-t noise


class Trust(NamedTuple):
    """What is expected of detector and humans."""

    detector: Array  # (N, K, 2) variance of the detector's error, along and across
    human: Array  # (K, 2) variance of the human noise
    good: bool  # whether the detector is expected to be as near to the truth as the humans


def judge_the_detector(residual: Array, error: Array, noise: Array, searched: Flags, unseen: Flags | None) -> Trust:
    """Compare the expected errors of a detector and of the humans.

    Args:
        residual: (N, K, 2) human point minus prediction, along and across.
        error: (N, K, 2) variance of the detector's error, as views and learnt points say.
        noise: (K, 2) squared scale of the human noise.
        searched: (N, K) points that could be moved.
        unseen: (N, K) points that the detector has not learnt, if they are known.
    """
    human = noise * TAILS / (TAILS - 2)
    fresh = searched & unseen if unseen is not None else np.zeros_like(searched)
    if fresh.sum() >= ENOUGH:
        expected = error + human
        surprise = np.median((residual**2 / expected)[fresh]) / HALF
        error = error + max(0.0, surprise - 1) * expected
    count = searched.sum(0)
    if not count.any():
        return Trust(error, human, True)
    own = np.where(searched, error.sum(-1), 0.0).sum(0) / np.maximum(count, 1)
    ratio = np.median((own / human.sum(-1))[count > 0])
    return Trust(error, human, bool(ratio <= AS_GOOD))
