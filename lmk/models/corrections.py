"""Units on top of a trained detector: what the shape of the whole knows and a single heatmap does not.

- `ghcu`: the Global Heatmap Correction Unit of the paper (Table 1): a small network from all heatmaps to all points.
- `pca`: its rival there, a 2-D point distribution model fitted to what heatmaps are read as, and their covariances.
- `shaped`: ours, both: that fit first, and a small network that sees heatmaps and fit says by how much it is off.
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
from lmk.errors import ModelError
from lmk.kernels.heatmap import log_probabilities, moments, shifted
from lmk.kernels.shape import shape_space
from lmk.models.hourglass import StackedHourglass

CONVOLUTIONS = ((5, 64), (3, 64), (3, 32), (3, 32), (3, 16), (3, 16))  # kernel, channels; Table 1
HIDDEN = 256
SMALLEST = 4  # side of the last map
SCALED, SUREST = 4.0, 1.5  # distances in parts of the crop are small numbers; no map is much narrower than its target
WIDER = 512  # where the fit comes in, too
KEPT = 0.98  # of the variance of shapes, by the point distribution model
OTHERWISE = 0.6  # of what two faces differ in, when heatmaps are laid out as another shape
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
        self.mean.copy_(torch.from_numpy(_mean_place(points)))

    @abstractmethod
    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""

    @abstractmethod
    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """What training makes small, of points (B, K, 2) in parts of the crop that count by (B, K)."""


class OnHeatmaps(Correction):
    """A correction that sees nothing but the detector's heatmaps.

    So it can learn from more shapes than labels have: each heatmap is moved by what two other faces of the batch differ
    in there, and the label goes with it.  Cover and blur stay what the detector made of them.
    """

    @abstractmethod
    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2) in parts of the crop."""

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop."""
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
        return self.correct(maps)

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean distance in parts of the crop, in the shapes of the images and in others."""
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
            moved, there = self._other_shapes(maps, points, weight)
        maps, points, weight = torch.cat([maps, moved]), torch.cat([points, there]), weight.repeat(2, 1)
        away = torch.linalg.vector_norm(self.correct(maps) - points, dim=-1)
        mean: Tensor = (away * weight).sum() / weight.sum().clamp(min=1)
        return mean

    def _other_shapes(self, log_maps: Tensor, points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps and points, each moved by whole pixels of a heatmap."""
        known = weight > 0
        known = known & known.roll(1, 0) & known.roll(2, 0)
        equal = known[..., None, None] * torch.eye(2, dtype=torch.float64, device=points.device)
        shapes, half = points.double(), self.detector.params.heatmap_size / 2
        one, other = (_laid(shapes.roll(n, 0), shapes, equal) for n in (1, 2))
        by = (OTHERWISE * half * torch.where(known[..., None], one - other, 0)).round().to(points.dtype)
        return log_probabilities(shifted(log_maps, by.long())), points + by / half

    def heat(self, log_maps: Tensor) -> Tensor:
        """Heatmaps of which a perfect one has peak 1."""
        return log_maps.exp() * (2 * math.pi * self.detector.sigma**2)


def _mean_place(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2), the middle of the crop for a landmark that no instance of (N, K, 2) has."""
    return np.asarray(np.nansum(points, axis=0) / np.maximum(np.isfinite(points).sum(axis=0), 1))


def _layers(landmarks: int, side: int) -> tuple[list[nn.Module], int]:
    """The convolutions of Table 1, with strides of 2 as long as maps are larger than 4 pixels; and how many outputs."""
    layers: list[nn.Module] = []
    inputs = landmarks
    for kernel, outputs in CONVOLUTIONS:
        stride = 2 if side > SMALLEST else 1
        side = -(-side // stride)
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
        layers.append(nn.ReLU(inplace=True))
        inputs = outputs
    return [*layers, nn.Flatten()], inputs * side**2


def _head(inputs: int, landmarks: int) -> nn.Linear:
    """Changes nothing at first."""
    head = nn.Linear(inputs, 2 * landmarks)
    nn.init.normal_(head.weight, std=1e-3)
    nn.init.zeros_(head.bias)
    return head


class HeatmapCorrection(OnHeatmaps):
    """Table 1 of the paper, for heatmaps of any size; what it finds is added to the mean shape."""

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        layers, width = _layers(landmarks, params.detector.heatmap_size)
        self.body = nn.Sequential(*layers, nn.Linear(width, HIDDEN), nn.ReLU(inplace=True))
        self.head = _head(HIDDEN, landmarks)

    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2) in parts of the crop."""
        found: Tensor = self.mean + self.head(self.body(self.heat(log_maps))).float().view(len(log_maps), -1, 2)
        return found


class ShapeCorrection(OnHeatmaps):
    """A mean shape, its directions, and a turn, size and place for each image, fitted by weighted least squares.

    A heatmap says where its point is and how surely: its reading counts by the inverse of its covariance.  Directions
    are held back by their own variances, so that a shape is never one that the labels do not have.
    """

    learns = False

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        self.directions: Tensor
        self.spread: Tensor
        self.register_buffer("directions", torch.zeros(2 * landmarks, 2 * landmarks))  # those that are used, then none
        self.register_buffer("spread", torch.zeros(2 * landmarks))
        self.known: Tensor
        self.register_buffer("known", torch.ones(landmarks, dtype=torch.bool))  # no label has the others

    def study(self, points: NDArray[np.float64]) -> None:
        """Make the point distribution model."""
        super().study(points)
        space = shape_space(points, KEPT)
        self.mean.copy_(torch.from_numpy(np.stack([space.mean.real, space.mean.imag], -1)))
        self.known.copy_(torch.from_numpy(space.known))
        count = len(space.directions)
        self.directions[:count].copy_(torch.from_numpy(space.directions))
        self.spread[:count].copy_(torch.from_numpy(space.spread))

    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2) in parts of the crop."""
        return self.fitted(self.detector.decode(log_maps), covariances(log_maps))

    def fitted(self, read: Tensor, covariance: Tensor) -> Tensor:
        """What `fit` makes of (B, K, 2) readings in parts of the crop, with covariances of heatmap pixels."""
        place = self.detector.to_heatmap(read).double()
        return self.detector.from_heatmap(self.fit(place, covariance)).float()

    def fit(self, read: Tensor, covariance: Tensor) -> Tensor:
        """(B, K, 2) the likeliest shapes for readings, (B, K, 2), with covariances, (B, K, 2, 2)."""
        count = int((self.spread > 0).sum())
        mean = self.mean.double()
        flat = self.directions[:count].double()  # x of all, then y of all
        ways = flat.view(count, 2, len(mean)).transpose(1, 2)  # (C, K, 2)
        hold = torch.diag(1 / self.spread[:count].double().clamp(min=1e-6) ** 2)
        precision = torch.linalg.inv(covariance.double()) * self.known[:, None, None]
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
        return torch.where(self.known[:, None], _laid(shape, read, precision), read)


class ShapedCorrection(ShapeCorrection):
    """The fit, and what a network adds to it that sees the heatmaps, the fit, and how far and how surely both differ.

    A few hundred faces show how points hang together well enough for a linear model, and badly for a network alone,
    which on the other hand learns how heatmaps of spoilt images go wrong.
    """

    learns = True

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        layers, width = _layers(landmarks, params.detector.heatmap_size)
        self.body = nn.Sequential(*layers)
        joined: list[nn.Module] = []
        for inputs in (width + 5 * landmarks, WIDER):
            joined += [nn.Linear(inputs, WIDER, bias=False), nn.BatchNorm1d(WIDER), nn.ReLU(inplace=True)]
        self.join = nn.Sequential(*joined)
        self.head = _head(WIDER, landmarks)
        self.usual: Tensor
        self.register_buffer("usual", torch.zeros(landmarks, 2))

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean distance in parts of the crop."""
        if len(images) < 2:
            raise ModelError("shaped needs batches of two images or more; raise training.batch")
        return super().loss(images, points, weight)

    def study(self, points: NDArray[np.float64]) -> None:
        """Make the point distribution model, and see where points are in the crop."""
        super().study(points)
        self.usual.copy_(torch.from_numpy(_mean_place(points)))

    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2) in parts of the crop."""
        with torch.no_grad():
            read, covariance = self.detector.decode(log_maps).float(), covariances(log_maps)
            fitted = self.fitted(read, covariance)
            width = covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().float()
            sure = (math.sqrt(2) * self.detector.sigma / width).clamp(max=SUREST)  # about 1 for a perfect map
            facts = [SCALED * sure[..., None] * (read - fitted), SCALED * (fitted - self.usual), sure]
            seen = self.heat(log_maps)
        joined = torch.cat([self.body(seen), *(fact.flatten(1) for fact in facts)], 1)
        found: Tensor = fitted + self.head(self.join(joined)).float().view(len(log_maps), -1, 2)
        return found


def covariances(log_maps: Tensor) -> Tensor:
    """(B, K, H, W) log-probabilities to (B, K, 2, 2), not smaller than that of a single pixel."""
    mean, square, mixed = moments(log_maps)
    variance = square - mean**2 + 1 / 12
    product = mixed - mean.prod(-1)
    rows = [torch.stack([variance[..., 0], product], -1), torch.stack([product, variance[..., 1]], -1)]
    return torch.stack(rows, -2)


def _laid(shape: Tensor, read: Tensor, precision: Tensor) -> Tensor:
    """Shapes (B, K, 2), turned, scaled and shifted onto readings."""
    linear, shift = _similarity(shape, read, precision)
    return shape @ linear.transpose(1, 2) + shift[:, None]


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
    "ghcu": HeatmapCorrection, "pca": ShapeCorrection, "shaped": ShapedCorrection, "upright": Upright,
}  # fmt: skip
