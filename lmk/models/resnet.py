"""A ResNet that regresses coordinates: the "Reg" of the paper's Table 7."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lmk.config import ResNetParams
from lmk.models.hourglass import Block


class ResNetRegressor(nn.Module):
    """Four stages of residual blocks, then one linear layer to all coordinates.

    The last map is pooled to about 4x4 and not to a point: where a feature lies is what the coordinates are made of.
    """

    coarse = 0.0  # share of images of low resolution that it wants to learn from

    def __init__(self, params: ResNetParams, landmarks: int):
        super().__init__()
        self.params = params
        width = params.width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        stages: list[nn.Module] = []
        channels = width
        for level in range(4):
            outputs = width * 2**level
            stages.append(Block(channels, outputs, stride=1 if level == 0 else 2))
            stages.extend(Block(outputs, outputs) for _ in range(params.depth - 1))
            channels = outputs
        self.stages = nn.Sequential(*stages)
        side = params.input_size // 32
        self.pool = nn.AvgPool2d(max(1, side // 4))
        self.head = nn.Linear(channels * (side // max(1, side // 4)) ** 2, landmarks * 2)
        nn.init.normal_(self.head.weight, std=0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop, -1 to 1."""
        features = self.pool(self.stages(self.stem(images))).flatten(1)
        # Adaptive optimisers move every weight by about the rate; thousands of them together would throw the points
        # across the face at each step.
        points: Tensor = self.head(features / features.shape[1] ** 0.5)
        placed: Tensor = points.float().view(len(images), -1, 2)
        return placed

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean distance in parts of the crop, not its square: one gross label must not outweigh ninety good ones."""
        away = torch.linalg.vector_norm(self(images) - points, dim=-1)
        mean: Tensor = (away * weight).sum() / weight.sum().clamp(min=1)
        return mean

    def locate(self, images: Tensor) -> Tensor:
        """The same as `forward`."""
        points: Tensor = self(images)
        return points
