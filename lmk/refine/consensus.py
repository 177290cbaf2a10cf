"""Our refiner: the position that the human points and the detector of the whole set agree on, and the gross errors.

The search of the paper weighs one human point against one heatmap.  Here all points of all instances are weighed at
once: lmk/kernels/consensus.py has the model, lmk/kernels/suspicion.py the gross errors.  Both need only human points
and a detector's predictions for several views, and they are done in turns: a probable gross error has less weight in
everything else.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.config import RefinerParams
from lmk.crops import CropSource
from lmk.inference import predict_views
from lmk.kernels.consensus import TAILS, Consensus, correlation, estimate, view_variance
from lmk.kernels.frames import axes, join, split
from lmk.kernels.search import Found
from lmk.kernels.suspicion import DOUBT, REASONS, suspect
from lmk.models.base import HeatmapDetector
from lmk.refine.align import LOOKED_AT, look
from lmk.refine.base import Agreement, Observed, Refiner, Tell

Array = NDArray[np.float64]
TURNS = 2
SAMPLE = 4000  # instances that the correlation is estimated from; more would not change it
VISIBLE = 0.5  # least share of the views in which a point must be found


class ConsensusParams(RefinerParams):
    """Weigh all human points of the set against the detector's predictions for several views of each image."""

    fills = LOOKED_AT | {"error", "error_along", "suspicion", "reason"}

    kind: Literal["consensus"]
    views: Annotated[int, Field(ge=4)]  # of each image; more give a better mean and variance, and take longer


def agree(human: AnnotationSet, views: NDArray[np.float32], learn: NDArray[np.bool_]) -> Agreement:
    """Weigh human points against predictions.

    Args:
        human: the labels as they came.
        views: (V, N, K, 2) predictions in the image's pixels, NaN where a view shows none.  A point that fewer than
            half of the views show stays where it is, and says nothing about others.
        learn: (N,) whose human points teach how noisy humans are; the others are judged by it.
    """
    scheme, count = human.scheme, len(human.instances)
    unit = human.boxes[:, None, 2:] / 256
    found: NDArray[np.bool_] = np.isfinite(views[..., 0])
    enough = np.asarray(found.mean(0) >= VISIBLE)
    labelled = human.labelled & enough
    total = np.where(found[..., None], views, 0).sum(0, dtype=np.float64)
    mean = total / np.maximum(found.sum(0), 1)[..., None]
    prediction = np.where(enough[..., None], mean, np.nan_to_num(human.points)) / unit
    frame = axes(scheme.tangents(prediction))
    points = np.where(labelled[..., None], human.points / unit, np.nan)

    def deviation(view: int, chosen: NDArray[np.int64]) -> Tensor:
        """(n, 2 K) of one view's predictions from the mean of all views."""
        offsets = views[view][chosen] / unit[chosen] - prediction[chosen]
        return _split(np.where(found[view][chosen][..., None], offsets, 0.0), frame[chosen])

    residual = _split(np.where(labelled[..., None], points - prediction, 0.0), frame)
    there = torch.from_numpy(np.repeat(labelled, 2, axis=1))
    square = torch.zeros_like(residual)
    for view in range(len(views)):
        square += deviation(view, np.arange(count)) ** 2
    variance = view_variance(square / (len(views) - 1), there)
    some = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
    deviations = torch.stack([deviation(view, some) for view in range(len(views))])
    correlated = correlation(deviations, variance[some], there[some])
    teaches = torch.from_numpy(learn.copy())
    weight = there.double()
    posterior = estimate(residual, variance, correlated, weight, teaches)
    for _ in range(TURNS):
        bias = _annotator_bias(residual, posterior, weight, human, learn)
        judged = suspect(
            points - _join(bias, frame), prediction, frame, _paired(posterior.scale * variance, count),
            posterior.noise.view(-1, 2).numpy(), scheme.chains, scheme.flip,
        )  # fmt: skip
        weight = there * torch.from_numpy(np.repeat(1 - judged.score, 2, axis=1))
        posterior = estimate(residual - bias, variance, correlated, weight, teaches, posterior)
    settled = (prediction + _join(posterior.offset, frame)) * unit
    left = _paired(posterior.variance, count)
    searched = labelled & learn[:, None]
    return Agreement(
        np.where(labelled[..., None], settled, human.points),
        {
            "error": np.where(searched, np.sqrt(left.sum(-1)) * unit[..., 0], np.nan),
            "error_along": np.where(searched, np.sqrt(left[..., 0]) * unit[..., 0], np.nan),
            "suspicion": np.where(human.labelled, judged.score, np.nan),
            "reason": np.where(
                human.labelled & (judged.score >= DOUBT), np.array(REASONS, object)[judged.reason], np.array(None)
            ),
        },
    )


def survey(
    human: AnnotationSet, judge: HeatmapDetector, crops: CropSource, params: ConsensusParams,
    learn: NDArray[np.bool_], progress: Tell | None,
) -> Agreement:  # fmt: skip
    """Predict several views of every instance, and weigh all human points against them."""
    return agree(human, predict_views(judge, human, crops, params.views, progress), learn)


def consensus(seen: Observed, params: ConsensusParams) -> Found:
    """Move each label to where the whole set agrees that it is, and say what the heatmap looks like there."""
    before, after = look(seen, seen.points), look(seen, seen.agreed)
    return after._replace(chi2_observed=before.chi2)


CONSENSUS = Refiner(ConsensusParams, consensus, whole_set=survey)


def _split(offsets: Array, frame: Array) -> Tensor:
    """(N, K, 2) in x and y to (N, 2 K) along and across."""
    return torch.from_numpy(split(offsets, frame).reshape(len(offsets), -1))


def _join(parts: Tensor, frame: Array) -> Array:
    """(N, 2 K) along and across to (N, K, 2) in x and y."""
    return join(_paired(parts, len(frame)), frame)


def _paired(values: Tensor, count: int) -> Array:
    return np.asarray(values.numpy().reshape(count, -1, 2))


def _annotator_bias(
    residual: Tensor, posterior: Consensus, weight: Tensor, human: AnnotationSet, learn: NDArray[np.bool_]
) -> Tensor:
    """(N, D) each annotator's mean error of each landmark, relative to the mean over all annotators.

    Means of few points are mostly noise: each is shrunk towards 0 as the variance of all of them says (empirical
    Bayes).
    """
    bias = torch.zeros_like(residual)
    if "annotator" not in human.instances:
        return bias
    names = human.instances["annotator"].fillna("").to_numpy()
    rest = residual - posterior.offset
    precision = weight * (TAILS + 1) / (TAILS + rest**2 / posterior.noise) / posterior.noise
    groups = [torch.from_numpy((names == name) & learn) for name in np.unique(names) if name]
    if len(groups) < 2:
        return bias
    total = torch.stack([precision[group].sum(0) for group in groups]).clamp(min=1e-9)
    mean = torch.stack([(precision * rest)[group].sum(0) for group in groups]) / total
    mean = mean - (total * mean).sum(0) / total.sum(0)
    sampling = 1 / total
    spread = ((mean**2 - sampling).view(-1, 2).mean(0)).clamp(min=0).repeat(residual.shape[1] // 2)
    for name, shrunk in zip([n for n in np.unique(names) if n], mean * spread / (spread + sampling), strict=True):
        bias[torch.from_numpy(names == name)] = shrunk
    return bias
