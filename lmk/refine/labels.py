"""Refine the labels of a whole set: heatmaps of a few images at a time, and what a refiner makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmk.annotations import EVIDENCE, AnnotationSet
from lmk.config import RefinerParams
from lmk.crops import CropSource, centre
from lmk.errors import ModelError, enough_memory
from lmk.inference import batches, log_heatmaps, on_device
from lmk.kernels.views import from_crop, to_crop
from lmk.models.base import Detector, HeatmapDetector
from lmk.refine.base import Observed, Refiner, Tell
from lmk.registry import REFINERS

FARTHEST = 20.0  # pixels of a 256-pixel heatmap; what is farther from a human point counts no more against a network
_FOUND = ("prior_cost", "chi2", "chi2_observed", "peak", "at_edge")


@dataclass(frozen=True)
class Search:
    """What a refiner works on."""

    judge: Detector
    annotations: AnnotationSet  # the set whose points are moved
    human: AnnotationSet  # the labels as they came, of the same instances
    crops: CropSource  # of the same instances
    unseen: NDArray[np.bool_] | None = None  # (N, K) points that the judge has not learnt, if they are known


def refiner_of(params: RefinerParams) -> Refiner:
    """The row of a refiner's parameters."""
    row: Refiner = REFINERS[params.kind].load()
    return row


@enough_memory("searching labels", "model.input_size, model.heatmap_size or the network")
def refine_labels(
    search: Search,
    params: RefinerParams,
    iteration: int,
    provenance: dict[str, Any],
    progress: Callable[[str], Tell] | None = None,
) -> AnnotationSet:
    """Refine the labelled points of the split `train`; all others stay where they are.

    Args:
        search: what is worked on.
        params: of the refiner, which they name.
        iteration: number of the new set.
        provenance: of the new set; what `judge_the_judge` says of the model is added.
        progress: makes what is called with (done, total) instances, from the name of a phase.
    """
    annotations, human, crops = search.annotations, search.human, search.crops
    if not isinstance(search.judge, HeatmapDetector):
        raise ModelError(f"a {search.judge.params.kind} draws no heatmaps to search in; refine with a hourglass")
    judge, refiner = search.judge, refiner_of(params)
    on_device(judge).eval()
    train = annotations.in_split("train")
    observed = human.points if refiner.starts_from_human(params) else annotations.points
    points, agreed = annotations.points.copy(), observed
    evidence: dict[str, Any] = {name: np.full(points.shape[:2], np.nan) for name in EVIDENCE}
    evidence |= {name: np.full(points.shape[:2], None, object) for name in ("reason", "kept")}
    if refiner.whole_set is not None:
        told = progress("reading views") if progress else None
        found_by_all = refiner.whole_set(human, judge, crops, params, search.unseen, told)
        agreed = found_by_all.points
        evidence |= found_by_all.evidence
    searched = np.flatnonzero(train)
    boxes = torch.from_numpy(annotations.boxes.copy())
    distance = np.full(points.shape[:2], np.nan)
    for place in batches(len(searched), progress("searching labels") if progress else None):
        chosen = searched[place]
        there = annotations.labelled[chosen]
        maps = log_heatmaps(judge, centre(crops, chosen, judge.params.input_size), annotations.scheme, params.mirror)
        start, aim = (judge.to_heatmap(to_crop(torch.from_numpy(p[chosen]), boxes[chosen])) for p in (observed, agreed))
        present = torch.from_numpy(there)
        found = refiner.refine(
            Observed(maps.cpu(), start.nan_to_num(0).float(), present, aim.nan_to_num(0).float(), judge.sigma), params
        )
        if refiner.moves:
            moved = from_crop(judge.from_heatmap(found.points.double()), boxes[chosen]).numpy()
            points[chosen] = np.where(there[..., None], moved, points[chosen])
        pixel = annotations.boxes[chosen, 2:] / judge.params.heatmap_size
        for name in _FOUND:
            if name in type(params).fills:
                evidence[name][chosen] = np.where(there, getattr(found, name).numpy(), np.nan)
        evidence["spread"][chosen] = np.where(there, found.spread.numpy() * pixel, np.nan)
        evidence["fold"][chosen] = np.where(there, 0, np.nan)
        own = from_crop(judge.peaks(maps).cpu().double(), boxes[chosen]).numpy()
        distance[chosen] = np.linalg.norm(own - human.points[chosen], axis=-1) / boxes[chosen, 2:].numpy() * 256
    kept = evidence["kept"].astype(np.bool_)
    points = np.where(kept[..., None], observed, points)
    provenance = {**provenance, **judge_the_judge(distance, search.unseen)}
    return annotations.moved(_inside(points, observed, annotations), iteration, evidence, provenance)


def judge_the_judge(distance: NDArray[np.float64], unseen: NDArray[np.bool_] | None) -> dict[str, float]:
    """Say how far a network can be trusted, without any truth.

    Its distance to held-out human points comes from human noise, the same for every network, and from its own error,
    less for a better one.  Its distance to the points that it has learnt is smaller, the more of their noise it has
    memorised; what it has memorised of a point's noise it puts into the label.

    Args:
        distance: (N, K) distances from human points, pixels of a 256-pixel heatmap, NaN where unknown.
        unseen: (N, K) points that it has not learnt; without any, nobody knows what it has memorised.

    Returns:
        `disagreement`, the mean squared distance to held-out points, with a penalty for what is memorised and far ones
        cut; `memorised`, the share of a point's noise that the network has learnt.
    """
    square = np.minimum(distance, FARTHEST) ** 2
    known = np.isfinite(distance)
    fresh = known & unseen if unseen is not None and unseen.any() else known
    if not fresh.any():
        return {"disagreement": 0.0, "memorised": 0.0}
    apart = float(square[fresh].mean())
    near = float(square[known & ~fresh].mean()) if (known & ~fresh).any() else apart
    memorised = max(0.0, (apart - near) / (2 * apart)) if apart else 0.0
    score = apart * (1 + memorised**2)
    return {"disagreement": float(f"{score:.6g}"), "memorised": float(f"{memorised:.4g}")}


def _inside(points: NDArray[np.float64], observed: NDArray[np.float64], annotations: AnnotationSet) -> Any:
    """Keep the search from leading a point out of its image; one that was outside may stay as far out as it was."""
    size = annotations.instances[["width", "height"]].to_numpy(np.float64)[:, None] - 1
    low, high = np.fmin(observed, 0), np.fmax(observed, size)
    searched = annotations.in_split("train")[:, None, None]
    return np.where(searched, np.clip(points, low, high), points)
