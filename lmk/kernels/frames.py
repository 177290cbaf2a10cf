"""Along a contour and across it: the one place that says which way is positive.

A contour runs from its first point to its last.  *Along* is that direction; *across* is a quarter turn from x towards
y: with y pointing down, to the right of somebody who walks along the contour.  A point on no contour has the axes of
the image instead: right and down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def across(along: NDArray[Any]) -> Floats:
    """(..., 2) unit vectors along contours to those across them."""
    return np.stack([-along[..., 1], along[..., 0]], -1)


def axes(tangents: NDArray[Any]) -> Floats:
    """(..., 2) directions of contours, NaN where there is none, to (..., 2, 2): the axes along and across, in rows."""
    along = np.where(np.isfinite(tangents).all(-1, keepdims=True), tangents, [1.0, 0.0])
    return np.stack([along, across(along)], -2)


def split(offsets: NDArray[Any], frame: NDArray[Any]) -> Floats:
    """(..., 2) offsets in x and y to their parts along and across, given the axes, (..., 2, 2)."""
    x, y = offsets[..., 0], offsets[..., 1]
    return np.stack([x * frame[..., 0, 0] + y * frame[..., 0, 1], x * frame[..., 1, 0] + y * frame[..., 1, 1]], -1)


def join(parts: NDArray[Any], frame: NDArray[Any]) -> Floats:
    """(..., 2) parts along and across to offsets in x and y, given the axes, (..., 2, 2)."""
    along, beside = parts[..., :1], parts[..., 1:]
    return np.asarray(along * frame[..., 0, :] + beside * frame[..., 1, :])


def split_on_contours(offsets: NDArray[Any], tangents: NDArray[Any]) -> tuple[Floats, Floats]:
    """(...) the parts of offsets, (..., 2), along and across their contours; NaN where a point is on none."""
    parts = split(offsets, np.stack([tangents, across(tangents)], -2))
    return parts[..., 0], parts[..., 1]
