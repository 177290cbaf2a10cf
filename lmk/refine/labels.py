"""Refine the labels of a whole set: heatmaps of a few images at a time, one search a point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmk.annotations import EVIDENCE, AnnotationSet
from lmk.config import AlignmentParams
from lmk.crops import Crops, centre
from lmk.errors import ModelError, UnknownName
from lmk.inference import Progress, batches, log_heatmaps, on_device, read_views
from lmk.kernels.suspicion import REASONS
from lmk.kernels.views import from_crop, to_crop
from lmk.models import Network
from lmk.models.hourglass import StackedHourglass
from lmk.refine import REFINERS, WHOLE_SET
from lmk.refine.consensus import DOUBT, agree

FARTHEST = 20.0  # pixels of a 256-pixel heatmap; what is farther from a human point counts no more against a network


def refine_labels(
    model: Network,
    annotations: AnnotationSet,
    human: AnnotationSet,
    crops: Crops,
    refiner: str,
    params: AlignmentParams,
    iteration: int,
    provenance: dict[str, Any],
    unseen: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
    reading: Progress | None = None,
) -> AnnotationSet:
    """Refine the labelled points of the split `train`; all others stay where they are.

    Args:
        model: judges; its heatmaps are averaged over the mirrored image when the parameters say so.
        annotations: the set whose points are moved.
        human: the labels as they came: what the whole set is weighed by, and where the search starts if asked to.
        crops: pixels of the instances, in the order of the set.
        refiner: a name in REFINERS.
        params: of the search.
        iteration: number of the new set.
        provenance: of the new set; what `judge_the_judge` says of the model is added.
        unseen: (N, K) points that the model has not learnt, if somebody knows.
        progress: called with (done, total) while heatmaps are searched.
        reading: the same while the views of all instances are read, for a refiner that does.
    """
    if refiner not in REFINERS:
        raise UnknownName("refiner", refiner, REFINERS)
    if not isinstance(model, StackedHourglass):
        raise ModelError(f"a {model.params.kind} draws no heatmaps to search in; refine with a hourglass")
    judge = on_device(model).eval()
    assert isinstance(judge, StackedHourglass)
    train = annotations.in_split("train")
    observed = human.points if params.observation == "human" or refiner in WHOLE_SET else annotations.points
    points = annotations.points.copy()
    evidence: dict[str, Any] = {name: np.full(points.shape[:2], np.nan) for name in EVIDENCE}
    evidence["reason"] = np.full(points.shape[:2], None, object)
    agreed = observed
    if refiner in WHOLE_SET:
        found_by_all = agree(human, read_views(judge, human, crops, params.views, reading), train)
        agreed = found_by_all.points
        evidence["suspicion"] = np.where(human.labelled, found_by_all.suspicion, np.nan)
        for name in ("error", "error_along"):
            evidence[name] = np.where(human.labelled & train[:, None], getattr(found_by_all, name), np.nan)
        told = np.array(REASONS, object)[found_by_all.reason]
        evidence["reason"] = np.where(human.labelled & (found_by_all.suspicion >= DOUBT), told, np.array(None))
    searched = np.flatnonzero(train)
    boxes = torch.from_numpy(annotations.boxes.copy())
    missed = np.full(points.shape[:2], np.nan)
    for place in batches(len(searched), progress):
        chosen = searched[place]
        there = annotations.labelled[chosen]
        maps = log_heatmaps(judge, centre(crops, chosen, judge.params.input_size), annotations.scheme, params.mirror)
        start, aim = (judge.to_heatmap(to_crop(torch.from_numpy(p[chosen]), boxes[chosen])) for p in (observed, agreed))
        found = REFINERS[refiner](
            maps[there].cpu(), start[there].float(), aim[there].float(), judge.sigma, params
        )  # fmt: skip
        moved = start.clone()
        moved[there] = found.points.double()
        index = chosen[np.nonzero(there)[0]], np.nonzero(there)[1]
        if refiner != "keep":  # a label that is kept is kept to the last bit
            points[index] = from_crop(judge.from_heatmap(moved), boxes[chosen]).numpy()[there]
        pixel = annotations.boxes[index[0], 2] / judge.params.heatmap_size
        for name in ("prior_cost", "chi2", "chi2_observed", "peak", "at_edge"):
            evidence[name][index] = getattr(found, name).numpy()
        evidence["spread"][index] = found.spread.numpy() * pixel
        evidence["fold"][index] = 0
        own = from_crop(judge.peaks(maps).cpu().double(), boxes[chosen]).numpy()
        missed[chosen] = np.linalg.norm(own - human.points[chosen], axis=-1) / boxes[chosen, 2:].numpy() * 256
    provenance = {**provenance, **judge_the_judge(missed, unseen)}
    return annotations.moved(_inside(points, observed, annotations), iteration, evidence, provenance)


def judge_the_judge(missed: NDArray[np.float64], unseen: NDArray[np.bool_] | None) -> dict[str, float]:
    """Say how far a network can be trusted, without any truth.

    What separates its positions from human points that it has not learnt is human noise, the same for every network,
    and its own error, less for a better one.  From points that it has learnt it is separated by less than that, the
    more of them it knows by heart; what it knows by heart of a point's noise it puts into the label.

    Args:
        missed: (N, K) distances between positions and human points in pixels of a 256-pixel heatmap, NaN where unknown.
        unseen: (N, K) points that it has not learnt; without any, memory cannot be told.

    Returns:
        `disagreement`, the mean square on unseen points with the square of the memory added, far ones cut; `by_heart`,
        the part of a point's noise that the network has taken over.
    """
    square = np.minimum(missed, FARTHEST) ** 2
    known = np.isfinite(missed)
    fresh = known & unseen if unseen is not None and unseen.any() else known
    if not fresh.any():
        return {"disagreement": 0.0, "by_heart": 0.0}
    apart = float(square[fresh].mean())
    near = float(square[known & ~fresh].mean()) if (known & ~fresh).any() else apart
    by_heart = max(0.0, (apart - near) / (2 * apart)) if apart else 0.0
    score = apart * (1 + by_heart**2)
    return {"disagreement": float(f"{score:.6g}"), "by_heart": float(f"{by_heart:.4g}")}


def _inside(points: NDArray[np.float64], observed: NDArray[np.float64], annotations: AnnotationSet) -> Any:
    """Keep the search from leading a point out of its image; one that was outside may stay as far out as it was."""
    size = annotations.instances[["width", "height"]].to_numpy(np.float64)[:, None] - 1
    low, high = np.fmin(observed, 0), np.fmax(observed, size)
    searched = annotations.in_split("train")[:, None, None]
    return np.where(searched, np.clip(points, low, high), points)
