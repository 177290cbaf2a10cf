"""`upright`, "Norm" in the paper's tables: a second detector sees the image turned as the first one's points say."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lmk.models.base import Batch, HeatmapDetector
from lmk.models.corrections import Correction, CorrectionParams
from lmk.registry import NETWORKS


class Upright(Correction):
    """A second detector that sees every image turned upright, by the points that the first one finds."""

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        self.second: HeatmapDetector = NETWORKS[params.detector.kind].load()(params.detector, landmarks)

    def study(self, points: NDArray[np.float64]) -> None:
        """Take in the mean shape; the second detector starts from what the first one knows."""
        super().study(points)
        self.second.load_state_dict(self.detector.state_dict())

    def loss(self, batch: Batch) -> Tensor:
        """The second detector's own loss, on images that are turned as they will be."""
        angle = self._roll(batch.images)
        turned = Batch(_turned(batch.images, angle), _turned_points(batch.points, -angle), batch.weight)
        return self.second.loss(turned)

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2)."""
        angle = self._roll(images)
        return _turned_points(self.second.decode(self.second.log_heatmaps(_turned(images, angle))).float(), angle)

    def _roll(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return roll(self.detector.decode(self.detector.log_heatmaps(images)).float(), self.mean)


def roll(points: Tensor, mean: Tensor) -> Tensor:
    """(B,) by how much each shape, (B, K, 2), is turned against a mean one, (K, 2), in radians."""
    away, still = points - points.mean(1, keepdim=True), mean - mean.mean(0)
    across = (still[..., 0] * away[..., 1] - still[..., 1] * away[..., 0]).sum(1)
    return torch.atan2(across, (away * still).sum((1, 2)))


def _turned(images: Tensor, angle: Tensor) -> Tensor:
    """Images as they look when what is turned by `angle` in them stands upright."""
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack([cosine, -sine, zero], -1), torch.stack([sine, cosine, zero], -1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _turned_points(points: Tensor, angle: Tensor) -> Tensor:
    """(B, K, 2) points turned about the middle of the crop."""
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    x, y = points.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)
