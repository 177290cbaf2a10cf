"""Units on top of a trained detector: what the shape of the whole knows and a single heatmap does not.

- `ghcu`: the Global Heatmap Correction Unit of the paper (Table 1): a small network from all heatmaps to all points.
- `gated`: the same, which also says for each point whether to believe it or the heatmap.
- `pca`: its rival there, a 2-D point distribution model fitted to the heatmaps' means and covariances.
- `upright`: "Norm" in the paper's tables: a second detector that sees the image turned as the first one's points say.

The detector beneath stays as it is.  Points are in parts of the crop, as everywhere in the models.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lmk.config import CorrectionParams
from lmk.kernels.heatmap import moments
from lmk.kernels.shape import shape_space
from lmk.models.hourglass import StackedHourglass

CONVOLUTIONS = ((5, 64), (3, 64), (3, 32), (3, 32), (3, 16), (3, 16))  # kernel, channels; Table 1
HIDDEN = 256
SMALLEST = 4  # side of the last map
DOUBTED = -2.0  # of the gate, before anything is learnt
KEPT = 0.98  # of the variance of shapes, by the point distribution model
FITTED = 12  # rounds of its fit: the turn depends on the shape, and the shape on the turn


class Correction(nn.Module, ABC):
    """A frozen detector, and what is made of it."""

    learns = True  # by gradients, in the training loop
    coarse = 0.5  # share of images of low resolution that it wants to learn from: it is there for spoilt images

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__()
        self.params = params
        self.detector = StackedHourglass(params.detector, landmarks).requires_grad_(False)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(landmarks, 2))

    def train(self, mode: bool = True) -> Self:
        """The detector is never trained, so that its running means stay what they are."""
        super().train(mode)
        self.detector.eval()
        return self

    def study(self, points: NDArray[np.float64]) -> None:
        """Take in the shapes, (N, K, 2) in parts of the crop and NaN where missing, that are going to be learnt."""
        mean = np.nanmean(points, axis=0)
        self.mean.copy_(torch.from_numpy(np.nan_to_num(mean)))

    @abstractmethod
    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean distance in parts of the crop."""
        return _mean_distance(self.locate(images), points, weight)


def _mean_distance(found: Tensor, points: Tensor, weight: Tensor) -> Tensor:
    away = torch.linalg.vector_norm(found - points, dim=-1)
    mean: Tensor = (away * weight).sum() / weight.sum().clamp(min=1)
    return mean


class HeatmapCorrection(Correction):
    """Table 1 of the paper, for heatmaps of any size: strides of 2 as long as maps are larger than 4 pixels."""

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        layers: list[nn.Module] = []
        inputs, side = landmarks, params.detector.heatmap_size
        for kernel, outputs in CONVOLUTIONS:
            stride = 2 if side > SMALLEST else 1
            side = -(-side // stride)
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
            layers.append(nn.ReLU(inplace=True))
            inputs = outputs
        self.gated = params.kind == "gated"
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side**2, HIDDEN), nn.ReLU(inplace=True))
        self.head = nn.Linear(HIDDEN, landmarks * (3 if self.gated else 2))
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean distance in parts of the crop; a gated unit has to be right alone, too, or its gate shuts for good."""
        found, blended = self._found(images)
        direct = _mean_distance(found, points, weight)
        return direct + _mean_distance(blended, points, weight) if self.gated else direct

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""
        return self._found(images)[1]

    def _found(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the unit itself finds, and what is made of that and of the heatmaps."""
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
            seen = maps.exp() * (2 * math.pi * self.detector.sigma**2)  # a perfect map has peak 1
            read = self.detector.decode(maps)
        found = self.head(self.body(seen)).float().view(len(images), len(self.mean), -1)
        points: Tensor = self.mean + found[..., :2]
        if not self.gated:
            return points, points
        # The gate learns from what is better, and does not make the unit's own points its own.
        believed = torch.sigmoid(found[..., 2:] + DOUBTED)
        return points, read + believed * (points.detach() - read)


class ShapeCorrection(Correction):
    """A mean shape, its directions, and a turn, size and place for each image, fitted by weighted least squares.

    A heatmap says where its point is and how surely: its mean counts by the inverse of its covariance.  Directions are
    held back by their own variances, so that a shape is never one that the labels do not have.
    """

    learns = False

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        self.directions: Tensor
        self.spread: Tensor
        self.register_buffer("directions", torch.zeros(2 * landmarks, 2 * landmarks))  # those that are used, then none
        self.register_buffer("spread", torch.zeros(2 * landmarks))

    def study(self, points: NDArray[np.float64]) -> None:
        """Make the point distribution model."""
        super().study(points)
        space = shape_space(points, KEPT)
        self.mean.copy_(torch.from_numpy(np.stack([space.mean.real, space.mean.imag], -1)))
        count = len(space.directions)
        self.directions[:count].copy_(torch.from_numpy(space.directions))
        self.spread[:count].copy_(torch.from_numpy(space.spread))

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
            read = self.detector.to_heatmap(self.detector.decode(maps)).double()
            return self.detector.from_heatmap(self.fit(read, covariances(maps))).float()

    def fit(self, read: Tensor, covariance: Tensor) -> Tensor:
        """(B, K, 2) the likeliest shapes for readings, (B, K, 2), with covariances, (B, K, 2, 2)."""
        count = int((self.spread > 0).sum())
        mean = self.mean.double()
        ways = (
            self.directions[:count].double().view(count, 2, len(mean)).transpose(1, 2)
        )  # (C, K, 2): x of all, y of all
        hold = torch.diag(1 / self.spread[:count].double().clamp(min=1e-6) ** 2)
        precision = torch.linalg.inv(covariance.double())
        shape = mean.expand(len(read), -1, -1)
        for _ in range(FITTED):
            linear, shift = _similarity(shape, read, precision)
            # With turn and size given, the shape is linear in its coefficients.
            seen = torch.einsum("bij,ckj->bcki", linear, ways)
            missed = read - mean @ linear.transpose(1, 2) - shift[:, None]
            held = torch.einsum("bcki,bkij->bckj", seen, precision)
            normal = torch.einsum("bcki,bdki->bcd", held, seen) + hold
            pull = torch.einsum("bcki,bki->bc", held, missed)
            shape = mean + torch.einsum("bc,cki->bki", torch.linalg.solve(normal, pull), ways)
        linear, shift = _similarity(shape, read, precision)
        return shape @ linear.transpose(1, 2) + shift[:, None]


def covariances(log_maps: Tensor) -> Tensor:
    """(B, K, H, W) log-probabilities to (B, K, 2, 2), not smaller than that of a single pixel."""
    mean, square, mixed = moments(log_maps)
    variance = square - mean**2 + 1 / 12
    product = mixed - mean.prod(-1)
    rows = [torch.stack([variance[..., 0], product], -1), torch.stack([product, variance[..., 1]], -1)]
    return torch.stack(rows, -2)


def _similarity(shape: Tensor, read: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """The turn and size, (B, 2, 2), and the shift, (B, 2), that lay shapes on readings best, as precisions weigh."""
    x, y = shape.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # Each point is linear in a, b and the shift: (a x - b y + p, b x + a y + q).
    design = torch.stack([torch.stack([x, -y, one, zero], -1), torch.stack([y, x, zero, one], -1)], -2)  # (B, K, 2, 4)
    weighed = design.transpose(-1, -2) @ precision
    normal = (weighed @ design).sum(1) + 1e-9 * torch.eye(4, dtype=shape.dtype, device=shape.device)
    found = torch.linalg.solve(normal, (weighed @ read[..., None]).sum(1))[..., 0]
    a, b, p, q = found.unbind(-1)
    return torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2), torch.stack([p, q], -1)


class Upright(Correction):
    """A second detector that sees every image turned upright, by the points that the first one finds."""

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        self.second = StackedHourglass(params.detector, landmarks)

    def study(self, points: NDArray[np.float64]) -> None:
        """Take in the mean shape; the second detector starts from what the first one knows."""
        super().study(points)
        self.second.load_state_dict(self.detector.state_dict())

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """The second detector's own loss, on images that are turned as they will be."""
        angle = self._roll(images)
        return self.second.loss(_turned(images, angle), _turned_points(points, -angle), weight)

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""
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


CORRECTIONS: dict[str, Callable[[CorrectionParams, int], Correction]] = {
    "ghcu": HeatmapCorrection, "gated": HeatmapCorrection, "pca": ShapeCorrection, "upright": Upright,
}  # fmt: skip
