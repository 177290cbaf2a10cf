"""A ResNet that regresses coordinates: the "Reg" of the paper's Table 7."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lmk.config import NetworkParams
from lmk.limits import DEPTH, INPUT_SIZE, WIDTH
from lmk.models.base import Batch, Detector, Prediction, mean_distance, mirrored_mean
from lmk.models.blocks import Block


class ResNetParams(NetworkParams):
    """A ResNet that regresses the coordinates: "Reg" of the paper's Table 7."""

    kind: Literal["resnet"]
    width: Annotated[int, Field(gt=0, le=WIDTH)]  # channels of the first stage, doubled at every further one
    depth: Annotated[int, Field(gt=0, le=DEPTH)]  # residual blocks a stage
    input_size: Annotated[int, Field(gt=0, le=INPUT_SIZE, multiple_of=32)]


class ResNetRegressor(Detector):
    """Four stages of residual blocks, then one linear layer to all coordinates.

    The last map is pooled to about 4x4 and not to a point: where a feature lies is what the coordinates are made of.
    """

    Params = ResNetParams
    params: ResNetParams

    def __init__(self, params: ResNetParams, landmarks: int):
        super().__init__(params)
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
        """(B, 3, S, S) to points (B, K, 2) relative to the crop."""
        features = self.pool(self.stages(self.stem(images))).flatten(1)
        # Adaptive optimisers move every weight by about the rate; thousands of them together would throw the points
        # across the face at each step.
        points: Tensor = self.head(features / features.shape[1] ** 0.5)
        placed: Tensor = points.float().view(len(images), -1, 2)
        return placed

    def loss(self, batch: Batch) -> Tensor:
        """Mean distance."""
        return mean_distance(self(batch.images), batch)

    def predict(self, images: Tensor, flip: Tensor | None = None) -> Prediction:
        """(B, 3, S, S) to points (B, K, 2)."""
        points: Tensor = self(images).float()
        if flip is not None:
            points = mirrored_mean(points, self(images.flip(-1)).float(), flip)
        return Prediction(points, None, None)
