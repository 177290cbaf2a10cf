"""How far points are from where they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def point_errors(points: Floats, reference: Floats) -> Floats:
    """Euclidean distances: (N, K, 2) against (N, K, 2) to (N, K), NaN where either is missing."""
    return np.asarray(np.linalg.norm(points - reference, axis=-1))


def instance_errors(errors: Floats, unit: Floats) -> Floats:
    """Mean over the points of each instance relative to its unit, (N, K) and (N,) to (N,); NaN where nothing counts."""
    counted = np.isfinite(errors)
    total = np.where(counted, errors, 0).sum(axis=1)
    count = counted.sum(axis=1)
    mean = np.full(len(errors), np.nan)
    np.divide(total, count * unit, out=mean, where=(count > 0) & (unit > 0))
    return mean


def group_distance(points: Floats, groups: tuple[tuple[int, ...], tuple[int, ...]]) -> Floats:
    """Distance between the centres of two groups of points, (N, K, 2) to (N,)."""
    one, other = (points[:, list(group)].mean(axis=1) for group in groups)
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def bounds_side(points: Floats) -> Floats:
    """Square root of the area of the points' bounds, (N, K, 2) to (N,): the "box" of AFLW and of thin things."""
    extent = np.nanmax(points, axis=1) - np.nanmin(points, axis=1)
    return np.asarray(np.sqrt(extent.prod(axis=1)))


def ced(errors: Floats, thresholds: Floats) -> Floats:
    """Cumulative error distribution: the share of instances with an error up to each threshold, (N,), (T,) to (T,)."""
    ordered = np.sort(errors[np.isfinite(errors)])
    return np.searchsorted(ordered, thresholds, side="right") / max(len(ordered), 1)


def area_under_ced(errors: Floats, threshold: float) -> float:
    """Area under the CED from 0 to the threshold, divided by it: 1 is perfect.

    The CED is a staircase, so the area is exact: the mean over instances of how far below the threshold each error is.
    """
    finite = errors[np.isfinite(errors)]
    return float(np.clip(1 - finite / threshold, 0, None).mean()) if len(finite) else float("nan")


def summary(errors: Floats, threshold: float) -> dict[str, Any]:
    """NME, AUC and failure rate of (N,) instance errors; errors and threshold in the same unit."""
    finite = errors[np.isfinite(errors)]
    if not len(finite):
        return {"instances": 0, "nme": None, "median": None, "auc": None, "failure_rate": None}
    return {
        "instances": len(finite),
        "nme": float(finite.mean()),
        "median": float(np.median(finite)),
        "auc": area_under_ced(finite, threshold),
        "failure_rate": float((finite > threshold).mean()),
    }
