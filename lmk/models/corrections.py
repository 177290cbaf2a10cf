"""Units on top of a trained detector: what the shape of the whole knows and a single heatmap does not.

- `ghcu`: the Global Heatmap Correction Unit of the paper (Table 1): a small network from all heatmaps to all points.
- `pca` and `shaped`: see shapes.py.  `upright`: see upright.py.

The detector beneath stays as it is.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmk.config import AnyHeatmapNetwork, HeatmapParams, NetworkParams
from lmk.errors import ModelError
from lmk.kernels.heatmap import log_probabilities, shifted
from lmk.kernels.shape_model import aligned
from lmk.models.base import Batch, Detector, HeatmapDetector, Prediction, mean_distance, mirrored_mean
from lmk.registry import NETWORKS

CONVOLUTIONS = ((5, 64), (3, 64), (3, 32), (3, 32), (3, 16), (3, 16))  # kernel, channels; Table 1
HIDDEN = 256
SMALLEST = 4  # side of the last map
OTHERWISE = 0.6  # share of the difference between two faces by which heatmaps are moved to make another shape


class CorrectionParams(NetworkParams):
    """A unit on top of a detector that is trained already, which stays as it is."""

    kind: Literal["ghcu", "pca", "shaped", "upright"]
    detector: AnyHeatmapNetwork

    @property
    def input_size(self) -> int:
        """Pixels of the square crop."""
        return self.detector.input_size

    @property
    def beneath(self) -> HeatmapParams:
        """The detector."""
        return self.detector


class Correction(Detector):
    """A frozen detector, and what is made of it."""

    Params = CorrectionParams
    params: CorrectionParams
    coarse = 0.5  # it is there for spoilt images

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params)
        self.detector: HeatmapDetector = NETWORKS[params.detector.kind].load()(params.detector, landmarks)
        self.detector.requires_grad_(False)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(landmarks, 2))

    def train(self, mode: bool = True) -> Self:
        """The detector is never trained, so that its running means stay what they are."""
        super().train(mode)
        self.detector.eval()
        return self

    def start(self, known: Detector | None, points: NDArray[np.float64]) -> Detector:
        """Take in the detector that is corrected, and the shapes that are going to be learnt."""
        if known is None:
            raise ModelError(f"{self.params.kind} corrects a detector; name one that is trained")
        if known.params != self.params.detector:
            raise ModelError("not the detector that is to be corrected; its parameters are others")
        self.detector.load_state_dict(known.state_dict())
        self.study(points)
        return self

    def study(self, points: NDArray[np.float64]) -> None:
        """Take in the shapes, (N, K, 2) and NaN where missing, that are going to be learnt."""
        self.mean.copy_(torch.from_numpy(mean_place(points)))

    @abstractmethod
    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2)."""

    def predict(self, images: Tensor, flip: Tensor | None = None) -> Prediction:
        """(B, 3, S, S) to points; none of these units says how sure it is."""
        points = self.locate(images).float()
        if flip is not None:
            points = mirrored_mean(points, self.locate(images.flip(-1)).float(), flip)
        return Prediction(points, None, None)


class OnHeatmaps(Correction):
    """A correction that sees nothing but the detector's heatmaps.

    So it can learn from more shapes than labels have: each heatmap is moved by what two other faces of the batch differ
    in there, and the label goes with it.  Cover and blur stay what the detector made of them.
    """

    @abstractmethod
    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2)."""

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2)."""
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
        return self.correct(maps)

    def loss(self, batch: Batch) -> Tensor:
        """Mean distance, in the shapes of the images and in others."""
        images, points, weight = batch
        with torch.no_grad():
            maps = self.detector.log_heatmaps(images)
            moved, there = self._other_shapes(maps, points, weight)
        both = Batch(images, torch.cat([points, there]), weight.repeat(2, 1))
        return mean_distance(self.correct(torch.cat([maps, moved])), both)

    def _other_shapes(self, log_maps: Tensor, points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps and points, each moved by whole pixels of a heatmap."""
        known = weight > 0
        known = known & known.roll(1, 0) & known.roll(2, 0)
        equal = known[..., None, None] * torch.eye(2, dtype=torch.float64, device=points.device)
        shapes, half = points.double(), self.detector.params.heatmap_size / 2
        one, other = (aligned(shapes.roll(n, 0), shapes, equal) for n in (1, 2))
        by = (OTHERWISE * half * torch.where(known[..., None], one - other, 0)).round().to(points.dtype)
        return log_probabilities(shifted(log_maps, by.long())), points + by / half

    def heat(self, log_maps: Tensor) -> Tensor:
        """Heatmaps of which a perfect one has peak 1."""
        return log_maps.exp() * (2 * math.pi * self.detector.sigma**2)


def mean_place(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2), the middle of the crop for a landmark that no instance of (N, K, 2) has."""
    return np.asarray(np.nansum(points, axis=0) / np.maximum(np.isfinite(points).sum(axis=0), 1))


def table_1(landmarks: int, side: int) -> tuple[list[nn.Module], int]:
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


def quiet_head(inputs: int, landmarks: int) -> nn.Linear:
    """Changes nothing at first."""
    head = nn.Linear(inputs, 2 * landmarks)
    nn.init.normal_(head.weight, std=1e-3)
    nn.init.zeros_(head.bias)
    return head


class HeatmapCorrection(OnHeatmaps):
    """Table 1 of the paper, for heatmaps of any size; what it finds is added to the mean shape."""

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        layers, width = table_1(landmarks, params.detector.heatmap_size)
        self.body = nn.Sequential(*layers, nn.Linear(width, HIDDEN), nn.ReLU(inplace=True))
        self.head = quiet_head(HIDDEN, landmarks)

    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2)."""
        found: Tensor = self.mean + self.head(self.body(self.heat(log_maps))).float().view(len(log_maps), -1, 2)
        return found
