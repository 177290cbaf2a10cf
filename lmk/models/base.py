"""What a detector is: a network that learns from batches and predicts points.

A detector's file has its parameters (a subclass of `NetworkParams`, named by the class's attribute `Params`) and its
class; a line in `lmk.registry.NETWORKS` makes it known.  Points are relative to the crop: -1 is its left or top edge, 1
its right or bottom edge.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmk.config import HeatmapParams, NetworkParams
from lmk.errors import ModelError
from lmk.kernels.heatmap import log_probabilities
from lmk.models.heatmaps import FAR, NEAR, PEAK, mean_position


class Batch(NamedTuple):
    """What a network is trained on."""

    images: Tensor  # (B, 3, S, S), about zero
    points: Tensor  # (B, K, 2)
    weight: Tensor  # (B, K) importance of the landmark, 0 where there is no label


class Prediction(NamedTuple):
    """What a network says of images."""

    points: Tensor  # (B, K, 2)
    confidence: Tensor | None  # (B, K) in [0, 1], larger is surer; None where a network cannot tell
    visibility: Tensor | None  # (B, K) probability that the point is not hidden; None where a network cannot tell


class Detector(nn.Module, ABC):
    """A network from images to points."""

    Params: ClassVar[type[NetworkParams]]
    learns = True  # by gradients, in the training loop; else `start` does all there is to do
    coarse = 0.0  # share of images of low resolution that it wants to learn from

    def __init__(self, params: NetworkParams) -> None:
        super().__init__()
        self.params = params

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """What training makes small."""

    @abstractmethod
    def predict(self, images: Tensor, flip: Tensor | None = None) -> Prediction:
        """(B, 3, S, S) to points; with the partner of each landmark, (K,), averaged with the mirrored images."""

    def start(self, known: Detector | None, points: NDArray[np.float64]) -> Detector:
        """The network as training finds it.

        Args:
            known: a trained network to go on from; None for a start from scratch.
            points: (N, K, 2) that are going to be learnt, NaN where missing.
        """
        del points
        if known is None:
            return self
        if known.params != self.params:
            raise ModelError(
                f"a {known.params.kind} with other parameters than the {self.params.kind} that is asked for; make "
                "section model equal to it, or start from scratch"
            )
        return known


class HeatmapDetector(Detector):
    """A detector that draws one heatmap per landmark, and the way from maps to points."""

    params: HeatmapParams

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, K, H, H), whose spatial softmax is the heatmap."""

    @property
    def sigma(self) -> float:
        """Of the training target, in heatmap pixels."""
        return self.params.sigma * self.params.heatmap_size / 256

    def log_heatmaps(self, images: Tensor, flip: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) to log-probabilities, (B, K, H, H); with `flip`, of the mean with the mirrored images' maps."""
        maps = log_probabilities(self.logits(images))
        if flip is None:
            return maps
        mirrored = log_probabilities(self.logits(images.flip(-1))).flip(-1)[:, flip]
        return torch.logaddexp(maps, mirrored) - math.log(2)

    def predict(self, images: Tensor, flip: Tensor | None = None) -> Prediction:
        """(B, 3, S, S) to points; how much of a map's mass is near its peak is the confidence."""
        place, mass = self._mean_within(FAR, self.log_heatmaps(images, flip))
        return Prediction(self.from_heatmap(place), mass, None)

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to the places of the maps' peaks, (B, K, 2), NaN where a map has no peak."""
        place, mass = self._mean_within(NEAR, self.log_heatmaps(images))
        return self.from_heatmap(place).masked_fill(mass[..., None] < PEAK, torch.nan)

    def peaks(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, H) to the places of their peaks, (B, K, 2)."""
        return self.from_heatmap(self._mean_within(NEAR, log_maps)[0])

    def decode(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, H) to the points that they mean, (B, K, 2)."""
        return self.from_heatmap(self._mean_within(FAR, log_maps)[0])

    def _mean_within(self, sigmas: float, log_maps: Tensor) -> tuple[Tensor, Tensor]:
        return mean_position(log_maps, sigmas * self.sigma)

    def to_heatmap(self, points: Tensor) -> Tensor:
        """Places in the crop to heatmap pixels."""
        return (points + 1) * (self.params.heatmap_size / 2) - 0.5

    def from_heatmap(self, place: Tensor) -> Tensor:
        """Heatmap pixels to places in the crop."""
        return (place + 0.5) * (2 / self.params.heatmap_size) - 1


def mirrored_mean(points: Tensor, mirrored: Tensor, flip: Tensor) -> Tensor:
    """The mean of points, (B, K, 2), and of those found in the mirrored images, laid back."""
    return (points + mirrored[:, flip] * torch.tensor([-1.0, 1.0], device=points.device)) / 2


def mean_distance(points: Tensor, batch: Batch) -> Tensor:
    """Mean distance to the labels, relative to half a crop; not its square: one gross label outweighs ninety then."""
    away = torch.linalg.vector_norm(points - batch.points, dim=-1)
    mean: Tensor = (away * batch.weight).sum() / batch.weight.sum().clamp(min=1)
    return mean
