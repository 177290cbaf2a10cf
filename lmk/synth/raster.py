"""Draw triangles into a depth buffer, all of them at once, with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fragments:
    """The pixels that something covers: which triangle is in front, and where in it the pixel's centre lies."""

    pixel: NDArray[np.int64]  # (N,) row * width + column, each at most once
    corners: NDArray[np.int64]  # (N, 3) vertices
    weights: NDArray[np.float32]  # (N, 3) barycentric

    def interpolate(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(N, ...) attributes from (V, ...) vertex attributes."""
        values = np.asarray(values, np.float32)
        a, b, c = (values[self.corners[:, k]] for k in range(3))
        w = self.weights.reshape(len(self.weights), 3, *[1] * (values.ndim - 1))
        return np.asarray(a * w[:, 0] + b * w[:, 1] + c * w[:, 2], np.float32)


def rasterise(screen: NDArray[Any], depth: NDArray[Any], triangles: NDArray[np.int64], size: int) -> Fragments:
    """Find the front-most triangle at each pixel's centre of a (size, size) image.

    Args:
        screen: (V, 2) pixels, x right, y down; the centre of the top-left pixel is (0, 0).
        depth: (V,) distance from the camera.
        triangles: (T, 3) vertices; those that run clockwise on the screen face the camera, the others are dropped.
        size: of the image.
    """
    points = screen.astype(np.float32)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    low = np.ceil(np.clip(np.minimum(np.minimum(a, b), c), 0, size)).astype(np.int32)
    high = np.floor(np.clip(np.maximum(np.maximum(a, b), c), -1, size - 1)).astype(np.int32)
    span = high - low + 1
    keep = np.flatnonzero((area > 1e-6) & (span[:, 0] > 0) & (span[:, 1] > 0))

    # One candidate for every pixel in every triangle's bounding box.
    low, span = low[keep], span[keep]
    count = span[:, 0] * span[:, 1]
    owner = np.repeat(np.arange(len(keep), dtype=np.int32), count)
    place = np.arange(len(owner), dtype=np.int32) - np.repeat((np.cumsum(count) - count).astype(np.int32), count)
    down, across = np.divmod(place, span[:, 0][owner])
    row, column = down + low[:, 1][owner], across + low[:, 0][owner]

    # Barycentric weights are affine in the pixel's place: w = constant + x * by_x + y * by_y.
    ab, ac, start = ab[keep], ac[keep], low - a[keep]
    inverse = 1 / area[keep]
    by_x, by_y = np.stack([ac[:, 1], -ab[:, 1]], 1), np.stack([-ac[:, 0], ab[:, 0]], 1)
    by_x, by_y = by_x * inverse[:, None], by_y * inverse[:, None]
    constant = start[:, :1] * by_x + start[:, 1:] * by_y
    plane = np.concatenate([constant, by_x, by_y], 1).astype(np.float32)[owner]
    x, y = across.astype(np.float32), down.astype(np.float32)
    second = plane[:, 0] + x * plane[:, 2] + y * plane[:, 4]
    third = plane[:, 1] + x * plane[:, 3] + y * plane[:, 5]
    first = 1 - second - third
    inside = np.flatnonzero(np.minimum(np.minimum(first, second), third) >= -1e-4)

    weights = np.stack([first, second, third], 1)[inside].astype(np.float32)
    vertices = triangles[keep[owner[inside]]]
    pixel = row[inside].astype(np.int64) * size + column[inside]
    near = (depth.astype(np.float32)[vertices] * weights).sum(1)
    if not len(near):
        return Fragments(pixel, vertices, weights)
    # 16 bits of depth make the stable sort a radix sort; drawn from far to near, the last one written wins.
    steps = (near.max() - near) * (65535 / max(float(np.ptp(near)), 1e-6))
    order = np.argsort(steps.astype(np.uint16), kind="stable")
    front = np.full(size * size, -1)
    front[pixel[order]] = order
    chosen = front[front >= 0]
    return Fragments(pixel[chosen], vertices[chosen], weights[chosen])
