"""Our refiner: the position that the human points and the detector of the whole set agree on, and the gross errors.

The search of the paper weighs one human point against one heatmap.  Here all points of all instances are weighed at
once: lmk/kernels/consensus.py has the model, lmk/kernels/suspicion.py the gross errors.  Both need only human points
and a detector's predictions for several views, and they are done in turns: a probable gross error has less weight in
everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from lmk.kernels.ceiling import ceiling
from lmk.kernels.consensus import (
    TAILS,
    Chains,
    Consensus,
    Human,
    correlation,
    error_scale,
    estimate,
    times,
    view_variance,
)
from lmk.kernels.frames import axes, join, split
from lmk.kernels.search import Found
from lmk.kernels.suspicion import DOUBT, FAR_OFF, REASONS, Suspicion, far_off, suspect
from lmk.kernels.trust import Trust, judge_the_detector
from lmk.limits import VIEWS
from lmk.models.base import HeatmapDetector
from lmk.refine.align import LOOKED_AT, look
from lmk.refine.base import Agreement, Observed, Refiner, Tell

Array = NDArray[np.float64]
TURNS = 2
SAMPLE = 4000  # instances that the correlation and the ceiling are estimated from; more would not change them
VISIBLE = 0.5  # least share of the views in which a point must be found
NO_PEAK, TOO_WEAK = "no peak", "detector too weak"  # why a human point is kept


class ConsensusParams(RefinerParams):
    """Weigh all human points of the set against the detector's predictions for several views of each image."""

    fills = LOOKED_AT | {
        "error_before", "error_after", "error_along", "error_network", "suspicion", "reason", "kept",
    }  # fmt: skip

    kind: Literal["consensus"]
    views: Annotated[int, Field(ge=4, le=VIEWS)]  # of each image; more give a better mean and variance, and take longer


def agree(
    human: AnnotationSet,
    views: NDArray[np.float32],
    learn: NDArray[np.bool_],
    unseen: NDArray[np.bool_] | None = None,
) -> Agreement:
    """Weigh human points against predictions.

    Args:
        human: the labels as they came.
        views: (V, N, K, 2) predictions in the image's pixels, NaN where a view shows none.  A point that fewer than
            half of the views show stays where it is, and says nothing about others.
        learn: (N,) whose human points teach how noisy humans are; the others are judged by it.
        unseen: (N, K) points that the detector has not learnt, if they are known.
    """
    seen = _Seen.of(human, views)
    there = torch.from_numpy(np.repeat(seen.labelled, 2, axis=1))
    residual = _split(np.where(seen.labelled[..., None], seen.points - seen.prediction, 0.0), seen.frame)
    variance, correlated = _detector(seen, views, there, human.scheme.chains)
    some = _sample(np.flatnonzero(learn))
    most = ceiling(seen.points[some], seen.prediction[some], seen.frame[some])
    told = Human(residual, there.double(), torch.from_numpy(learn.copy()), torch.from_numpy(most.reshape(-1)))
    error = times(error_scale(told, variance, correlated, human.scheme.chains), variance)
    posterior = estimate(told, error, correlated)
    for _ in range(TURNS):
        bias = _annotator_bias(residual, posterior, told.weight, human, learn)
        judged = suspect(
            seen.points - _join(bias, seen.frame), seen.prediction, seen.frame, _paired(error), _noise(posterior),
            human.scheme.chains, human.scheme.flip,
        )  # fmt: skip
        weight = there * torch.from_numpy(np.repeat(1 - judged.score, 2, axis=1))
        told = told._replace(residual=residual - bias, weight=weight)
        error = times(error_scale(told, variance, correlated, human.scheme.chains), variance)
        posterior = estimate(told, error, correlated, posterior)
    searched = seen.labelled & learn[:, None]
    trust = judge_the_detector(_paired(told.residual), _paired(error), _noise(posterior), searched, unseen)
    return _settled(human, seen, posterior, judged, trust, searched)


def survey(
    human: AnnotationSet, judge: HeatmapDetector, crops: CropSource, params: ConsensusParams,
    unseen: NDArray[np.bool_] | None, progress: Tell | None,
) -> Agreement:  # fmt: skip
    """Predict several views of every instance, and weigh all human points against them."""
    views = predict_views(judge, human, crops, params.views, progress)
    return agree(human, views, human.in_split("train"), unseen)


def consensus(seen: Observed, params: ConsensusParams) -> Found:
    """Move each label to where the whole set agrees that it is, and say what the heatmap looks like there."""
    before, after = look(seen, seen.points), look(seen, seen.agreed)
    return after._replace(chi2_observed=before.chi2)


CONSENSUS = Refiner(ConsensusParams, consensus, whole_set=survey)


@dataclass(frozen=True)
class _Seen:
    """Human points and mean predictions, in pixels of a 256-pixel heatmap."""

    unit: Array  # (N, 1, 1) one such pixel in the image's
    points: Array  # (N, K, 2) of the humans, NaN where nothing is weighed
    prediction: Array  # (N, K, 2) the mean over the views
    frame: Array  # (N, K, 2, 2) along and across the contour at each point
    enough: NDArray[np.bool_]  # (N, K) whether enough views show the point

    @classmethod
    def of(cls, human: AnnotationSet, views: NDArray[np.float32]) -> _Seen:
        unit = human.boxes[:, None, 2:] / 256
        found = np.isfinite(views[..., 0])
        enough = np.asarray(found.mean(0) >= VISIBLE)
        total = np.where(found[..., None], views, 0).sum(0, dtype=np.float64)
        mean = total / np.maximum(found.sum(0), 1)[..., None]
        prediction = np.where(enough[..., None], mean, np.nan_to_num(human.points)) / unit
        points = np.where((human.labelled & enough)[..., None], human.points / unit, np.nan)
        return cls(unit, points, prediction, axes(human.scheme.tangents(prediction)), enough)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) points that are weighed."""
        return np.asarray(np.isfinite(self.points).all(-1))

    def deviation(self, view: NDArray[np.float32], chosen: NDArray[np.int64]) -> Tensor:
        """(n, 2 K) of one view's predictions from the mean of all views."""
        shown = np.isfinite(view[chosen][..., :1])
        offsets = np.where(shown, view[chosen] / self.unit[chosen] - self.prediction[chosen], 0.0)
        return _split(offsets, self.frame[chosen])


def _detector(seen: _Seen, views: NDArray[np.float32], there: Tensor, chains: Chains) -> tuple[Tensor, Tensor]:
    """(N, 2 K) variances and (2 K, 2 K) correlation of the detector's errors, as views and contours show them."""
    everyone = np.arange(len(seen.points))
    square = torch.zeros_like(there, dtype=torch.float64)
    for view in views:
        square += seen.deviation(view, everyone) ** 2
    variance = view_variance(square / (len(views) - 1), there)
    some = _sample(everyone)
    deviations = torch.stack([seen.deviation(view, some) for view in views])
    return variance, correlation(deviations, variance[some], there[some], chains)


def _sample(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some of the rows, evenly; all where there are few."""
    if len(rows) <= SAMPLE:
        return rows
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))])


def _settled(
    human: AnnotationSet, seen: _Seen, posterior: Consensus, judged: Suspicion, trust: Trust,
    searched: NDArray[np.bool_],
) -> Agreement:  # fmt: skip
    """Positions and evidence: the posterior's, or the human's where the detector is not to be trusted."""
    offset, left = _join(posterior.offset, seen.frame), _paired(posterior.variance)
    settled = (seen.prediction + offset) * seen.unit
    apart = np.where(seen.labelled[..., None], seen.points - seen.prediction - offset, 0.0)
    before = (apart**2).sum(-1) + left.sum(-1)
    if trust.good:
        judged = _with_far_off(judged, split(apart, seen.frame), left, _usual(before, searched))
    kept = np.where(human.labelled & ~seen.enough, np.array(NO_PEAK, object), np.array(None))
    if not trust.good:
        settled, left = human.points, np.broadcast_to(trust.human, left.shape)
        before = left.sum(-1)
        kept = np.where(searched, np.array(TOO_WEAK, object), kept)
    unit = seen.unit[..., 0]
    errors = {"before": before, "after": left.sum(-1), "along": left[..., 0], "network": trust.detector.sum(-1)}
    doubtful = human.labelled & (judged.score >= DOUBT)
    return Agreement(
        np.where(seen.labelled[..., None], settled, human.points),
        {
            **{f"error_{name}": np.where(searched, np.sqrt(square) * unit, np.nan) for name, square in errors.items()},
            "suspicion": np.where(human.labelled, judged.score, np.nan),
            "reason": np.where(doubtful, np.array(REASONS, object)[judged.reason], np.array(None)),
            "kept": kept,
        },
    )


def _usual(square: Array, counts: NDArray[np.bool_]) -> Array:
    """(K,) the median error of each landmark, given squares; infinite where nothing counts."""
    known = np.where(counts | ~counts.any(0), square, np.nan)
    return np.where(counts.any(0), np.sqrt(np.nanmedian(known, axis=0)), np.inf)


def _with_far_off(judged: Suspicion, apart: Array, variance: Array, usual: Array) -> Suspicion:
    """Points that are too far off are gross errors, too, also where no kind of error explains them."""
    far = far_off(apart, variance, usual)
    reason = np.where((judged.score < DOUBT) & (far >= DOUBT), FAR_OFF, judged.reason)
    return Suspicion(np.maximum(judged.score, far), reason)


def _split(offsets: Array, frame: Array) -> Tensor:
    """(N, K, 2) in x and y to (N, 2 K) along and across."""
    return torch.from_numpy(split(offsets, frame).reshape(len(offsets), -1))


def _join(parts: Tensor, frame: Array) -> Array:
    """(N, 2 K) along and across to (N, K, 2) in x and y."""
    return join(_paired(parts), frame)


def _paired(values: Tensor) -> Array:
    """(N, 2 K) to (N, K, 2)."""
    return np.asarray(values.numpy().reshape(len(values), -1, 2))


def _noise(posterior: Consensus) -> Array:
    """(K, 2) squared scale of the human noise."""
    return posterior.noise.view(-1, 2).numpy()


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
