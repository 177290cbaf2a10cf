"""Our refiner: the position that human points and detector of the whole set agree on, and what are gross errors.

The search of the paper weighs one human point against one heatmap.  Here all points of all instances are weighed at
once: see lmk/kernels/consensus.py for what is assumed, lmk/kernels/suspicion.py for gross errors.  Both need nothing
but human points and readings of a detector from several views, so they are done in turns: a point that is likely a
gross error counts less for everything else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.kernels.consensus import TAILS, Consensus, correlation, scatter, settle
from lmk.kernels.frames import axes, join, split
from lmk.kernels.suspicion import suspect

Array = NDArray[np.float64]
TURNS = 2
SAMPLE = 4000  # instances that show how errors hang together; more would say the same
READABLE = 0.5  # part of the views that have to show a point
DOUBT = 0.5  # from here on, a point is rather a gross error than not


class Agreement(NamedTuple):
    """What is found for every labelled point, in the image's pixels."""

    points: Array  # (N, K, 2)
    error: Array  # (N, K) expected distance to the true point, root of its mean square
    error_along: Array  # (N, K) the part of it along the contour, or to the right where there is none
    suspicion: Array  # (N, K)
    reason: NDArray[np.int64]  # (N, K)


def agree(human: AnnotationSet, views: NDArray[np.float32], learn: NDArray[np.bool_]) -> Agreement:
    """Weigh human points against readings.

    Args:
        human: the labels as they came.
        views: (V, N, K, 2) readings in the image's pixels, NaN where a view shows none.  A point that half of the views
            do not show stays where it is, and says nothing about others.
        learn: (N,) whose human points teach how noisy humans are; the others are judged by it.
    """
    scheme, count = human.scheme, len(human.instances)
    unit = human.boxes[:, None, 2:] / 256
    seen: NDArray[np.bool_] = np.isfinite(views[..., 0])
    readable = np.asarray(seen.mean(0) >= READABLE)
    labelled = human.labelled & readable
    total = np.where(seen[..., None], views, 0).sum(0, dtype=np.float64)
    mean = total / np.maximum(seen.sum(0), 1)[..., None]
    reading = np.where(readable[..., None], mean, np.nan_to_num(human.points)) / unit
    frame = axes(scheme.tangents(reading))
    points = np.where(labelled[..., None], human.points / unit, np.nan)

    def apart(view: int, chosen: NDArray[np.int64]) -> Tensor:
        offsets = views[view][chosen] / unit[chosen] - reading[chosen]
        return _split(np.where(seen[view][chosen][..., None], offsets, 0.0), frame[chosen])

    residual = _split(np.where(labelled[..., None], points - reading, 0.0), frame)
    there = torch.from_numpy(np.repeat(labelled, 2, axis=1))
    square = torch.zeros_like(residual)
    for view in range(len(views)):
        square += apart(view, np.arange(count)) ** 2
    variance = scatter(square / (len(views) - 1), there)
    some = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
    parts = torch.stack([apart(view, some) for view in range(len(views))])
    together = correlation(parts, variance[some], there[some])
    teaches = torch.from_numpy(learn.copy())
    trust = there.double()
    found = settle(residual, variance, together, trust, teaches)
    for _ in range(TURNS):
        habit = _habits(residual, found, trust, human, learn)
        judged = suspect(
            points - _join(habit, frame), reading, frame, _paired(found.scale * variance, count),
            found.noise.view(-1, 2).numpy(), scheme.chains, scheme.flip,
        )  # fmt: skip
        trust = there * torch.from_numpy(np.repeat(1 - judged.score, 2, axis=1))
        found = settle(residual - habit, variance, together, trust, teaches, found)
    settled = (reading + _join(found.shift, frame)) * unit
    left = _paired(found.variance, count)
    return Agreement(
        np.where(labelled[..., None], settled, human.points),
        np.where(labelled, np.sqrt(left.sum(-1)) * unit[..., 0], np.nan),
        np.where(labelled, np.sqrt(left[..., 0]) * unit[..., 0], np.nan),
        judged.score,
        judged.reason,
    )


def _split(offsets: Array, frame: Array) -> Tensor:
    """(N, K, 2) along x and y to (N, 2 K) along and across."""
    return torch.from_numpy(split(offsets, frame).reshape(len(offsets), -1))


def _join(parts: Tensor, frame: Array) -> Array:
    """(N, 2 K) along and across to (N, K, 2) along x and y."""
    return join(_paired(parts, len(frame)), frame)


def _paired(values: Tensor, count: int) -> Array:
    return np.asarray(values.numpy().reshape(count, -1, 2))


def _habits(
    residual: Tensor, found: Consensus, trust: Tensor, human: AnnotationSet, learn: NDArray[np.bool_]
) -> Tensor:
    """(N, D) by how much each annotator misses each landmark always, against the mean of all annotators.

    Means of few points are mostly noise: each is shrunk as the spread of all of them says (empirical Bayes).
    """
    habits = torch.zeros_like(residual)
    if "annotator" not in human.instances:
        return habits
    names = human.instances["annotator"].fillna("").to_numpy()
    rest = residual - found.shift
    precision = trust * (TAILS + 1) / (TAILS + rest**2 / found.noise) / found.noise
    groups = [torch.from_numpy((names == name) & learn) for name in np.unique(names) if name]
    if len(groups) < 2:
        return habits
    weight = torch.stack([precision[group].sum(0) for group in groups]).clamp(min=1e-9)
    mean = torch.stack([(precision * rest)[group].sum(0) for group in groups]) / weight
    mean = mean - (weight * mean).sum(0) / weight.sum(0)
    sampling = 1 / weight
    spread = ((mean**2 - sampling).view(-1, 2).mean(0)).clamp(min=0).repeat(residual.shape[1] // 2)
    for name, shrunk in zip([n for n in np.unique(names) if n], mean * spread / (spread + sampling), strict=True):
        habits[torch.from_numpy(names == name)] = shrunk
    return habits
