"""Refine the labels of a whole set: heatmaps of a few images at a time, one search a point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmk.annotations import EVIDENCE, AnnotationSet
from lmk.config import AlignmentParams
from lmk.dataset import centre, from_crop, to_crop
from lmk.errors import ModelError, UnknownName
from lmk.images import Crops
from lmk.inference import Progress, batches, log_heatmaps, on_device
from lmk.models import Network
from lmk.models.hourglass import StackedHourglass
from lmk.refine import REFINERS


def refine_labels(
    model: Network,
    annotations: AnnotationSet,
    observed: NDArray[np.float64],
    crops: Crops,
    refiner: str,
    params: AlignmentParams,
    iteration: int,
    provenance: dict[str, Any],
    progress: Progress | None = None,
) -> AnnotationSet:
    """Search the labelled points of the split `train`; all others stay where they are.

    Args:
        model: judges; its heatmaps are averaged over the mirrored image when the parameters say so.
        annotations: the set whose points are moved.
        observed: (N, K, 2) where each search starts.
        crops: pixels of the instances, in the order of the set.
        refiner: a name in REFINERS.
        params: of the search.
        iteration: number of the new set.
        provenance: of the new set.
        progress: called with (done, total).
    """
    if refiner not in REFINERS:
        raise UnknownName("refiner", refiner, REFINERS)
    if not isinstance(model, StackedHourglass):
        raise ModelError(f"a {model.params.kind} draws no heatmaps to search in; refine with a hourglass")
    judge = on_device(model).eval()
    assert isinstance(judge, StackedHourglass)
    points = annotations.points.copy()
    evidence = {name: np.full(points.shape[:2], np.nan) for name in EVIDENCE}
    searched = np.flatnonzero(annotations.in_split("train"))
    boxes = torch.from_numpy(annotations.boxes.copy())
    for place in batches(len(searched), progress):
        chosen = searched[place]
        maps = log_heatmaps(judge, centre(crops, chosen, judge.params.input_size), annotations.scheme, params.mirror)
        start = judge.to_heatmap(to_crop(torch.from_numpy(observed[chosen]), boxes[chosen]))
        there = annotations.labelled[chosen]
        found = REFINERS[refiner](maps[there].cpu(), start[there].float(), judge.sigma, params)
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
    return annotations.moved(_inside(points, observed, annotations), iteration, evidence, provenance)


def _inside(points: NDArray[np.float64], observed: NDArray[np.float64], annotations: AnnotationSet) -> Any:
    """Keep the search from leading a point out of its image; one that was outside may stay as far out as it was."""
    size = annotations.instances[["width", "height"]].to_numpy(np.float64)[:, None] - 1
    low, high = np.fmin(observed, 0), np.fmax(observed, size)
    searched = annotations.in_split("train")[:, None, None]
    return np.where(searched, np.clip(points, low, high), points)
