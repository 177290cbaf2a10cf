"""Bias of labels and predictions: the part of their error that is the same on every face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.evaluation import is_gross, normalisers
from lmk.kernels.metrics import instance_errors, point_errors

Array = NDArray[np.float64]


def label_errors(labels: AnnotationSet, truth: AnnotationSet) -> dict[str, float]:
    """Mean error of labels in % of the interocular distance, its bias, and how much of the bias is contour size.

    Gross human errors are left out, as in bench.label_truth; they lie outside the window of the search.
    """
    unit = normalisers(truth)["interocular"]
    points = np.where(is_gross(truth)[..., None], np.nan, labels.points)
    mean = float(np.nanmean(instance_errors(point_errors(points, truth.points), unit)))
    found = {"bias": bias(points, truth), "shorter": shorter(points, truth), "size": size_of_bias(points, truth)}
    return {"mean": round(100 * mean, 4), **found}


def bias(points: Array, truth: AnnotationSet) -> float:
    """Mean offset of each landmark from the truth, root mean square over landmarks, in % of interocular."""
    return round(100 * float(np.sqrt((_mean(points - truth.points, truth) ** 2).sum(-1).mean())), 4)


def size_of_bias(points: Array, truth: AnnotationSet) -> float:
    """Share of the squared bias, in %, that the size of the contours explains."""
    offsets, shape = _mean(points - truth.points, truth), _mean(truth.points, truth)
    left, seen = offsets.copy(), set[int]()
    for contour in truth.scheme.contours:
        rows = [landmark for landmark in dict.fromkeys(contour) if landmark not in seen]
        seen.update(rows)
        away = shape[rows] - shape[rows].mean(0)
        left[rows] -= away * (offsets[rows] * away).sum() / (away**2).sum()
    return round(100 * float(1 - (left**2).sum() / (offsets**2).sum()), 1)


def _mean(points: Array, truth: AnnotationSet) -> Array:
    """Mean over faces, in interocular distances."""
    mean: Array = np.nanmean(points / normalisers(truth)["interocular"][:, None, None], axis=0)
    return mean


def shorter(points: Array, truth: AnnotationSet) -> float:
    """How much smaller contours are than the true ones, in %, mean over contours and faces; noise does not bias it."""
    found = []
    for contour in truth.scheme.contours:
        there = np.isfinite(points[:, contour]).all(-1, keepdims=True)
        count = there.sum(1, keepdims=True)
        true = truth.points[:, contour]
        true = np.where(there, true - (true * there).sum(1, keepdims=True) / np.maximum(count, 1), 0)
        away = np.where(there, points[:, contour] - truth.points[:, contour], 0)
        size = (true**2).sum((1, 2))
        found.append(np.where(size > 0, -(away * true).sum((1, 2)) / np.where(size > 0, size, 1), np.nan))
    return round(100 * float(np.nanmean(found)), 3)
