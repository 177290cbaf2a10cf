"""Corrections with a point distribution model, which knows how points are correlated.

- `pca`: GHCU's rival in the paper, a 2-D shape model fitted to the heatmaps' predictions and their covariances.
- `shaped`: ours, both: that fit first, and a small network that sees heatmaps and fit and corrects the rest.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmk.errors import ModelError
from lmk.kernels.heatmap import covariances
from lmk.kernels.shape import shape_space
from lmk.kernels.shape_model import ShapeModel, fit_shapes
from lmk.models.base import Batch
from lmk.models.corrections import CorrectionParams, OnHeatmaps, mean_place, quiet_head, table_1

SCALED, SUREST = 4.0, 1.5  # distances relative to the crop are small numbers; no map is much narrower than its target
WIDER = 512  # units of the layers that the fit enters
KEPT = 0.98  # share of the variance of shapes that the point distribution model has


class ShapeCorrection(OnHeatmaps):
    """A mean shape, its directions, and a turn, size and place for each image, fitted by weighted least squares.

    A heatmap says where its point is and how surely: its prediction counts by the inverse of its covariance.
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
        """Log-probabilities (B, K, H, W) to points (B, K, 2)."""
        return self.fitted(self.detector.decode(log_maps), covariances(log_maps))

    def fitted(self, points: Tensor, covariance: Tensor) -> Tensor:
        """What `fit` makes of predictions, (B, K, 2) in the crop, with covariances in heatmap pixels."""
        place = self.detector.to_heatmap(points).double()
        return self.detector.from_heatmap(self.fit(place, covariance)).float()

    def fit(self, points: Tensor, covariance: Tensor) -> Tensor:
        """(B, K, 2) the likeliest shapes for predictions, (B, K, 2), with covariances, in heatmap pixels."""
        count = int((self.spread > 0).sum())
        model = ShapeModel(self.mean, self.directions[:count], self.spread[:count], self.known)
        return fit_shapes(model, points, covariance)


class ShapedCorrection(ShapeCorrection):
    """The fit, and what a network adds to it that sees the heatmaps, the fit, and how far and how surely both differ.

    A few hundred faces show well enough for a linear model how points are correlated, and not well enough for a network
    alone, which on the other hand learns how heatmaps of spoilt images go wrong.
    """

    learns = True

    def __init__(self, params: CorrectionParams, landmarks: int):
        super().__init__(params, landmarks)
        layers, width = table_1(landmarks, params.detector.heatmap_size)
        self.body = nn.Sequential(*layers)
        joined: list[nn.Module] = []
        for inputs in (width + 5 * landmarks, WIDER):
            joined += [nn.Linear(inputs, WIDER, bias=False), nn.BatchNorm1d(WIDER), nn.ReLU(inplace=True)]
        self.join = nn.Sequential(*joined)
        self.head = quiet_head(WIDER, landmarks)
        self.usual: Tensor
        self.register_buffer("usual", torch.zeros(landmarks, 2))

    def loss(self, batch: Batch) -> Tensor:
        """Mean distance, in the shapes of the images and in others."""
        if len(batch.images) < 2:
            raise ModelError("shaped needs batches of two images or more; raise training.batch")
        return super().loss(batch)

    def study(self, points: NDArray[np.float64]) -> None:
        """Make the point distribution model, and see where points are in the crop."""
        super().study(points)
        self.usual.copy_(torch.from_numpy(mean_place(points)))

    def correct(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, W) to points (B, K, 2)."""
        with torch.no_grad():
            found, covariance = self.detector.decode(log_maps).float(), covariances(log_maps)
            fitted = self.fitted(found, covariance)
            width = covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().float()
            sure = (math.sqrt(2) * self.detector.sigma / width).clamp(max=SUREST)  # about 1 for a perfect map
            facts = [SCALED * sure[..., None] * (found - fitted), SCALED * (fitted - self.usual), sure]
            seen = self.heat(log_maps)
        joined = torch.cat([self.body(seen), *(fact.flatten(1) for fact in facts)], 1)
        corrected: Tensor = fitted + self.head(self.join(joined)).float().view(len(log_maps), -1, 2)
        return corrected
