"""Stacked hourglass (Newell et al. 2016): one heatmap a point.

The hourglasses work at a quarter of the input's size, whatever the heatmap's: half of the time of a network goes where
its maps are large.  Heatmaps larger than that are drawn by a small head that takes the stem's fine features back in.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from lmk.config import HeatmapParams
from lmk.limits import DEPTH, STACKS, WIDTH
from lmk.models.base import Batch, HeatmapDetector
from lmk.models.blocks import Block, Head, Hourglass
from lmk.models.heatmaps import LOSSES


class HourglassParams(HeatmapParams):
    """A stack of hourglasses that draws one heatmap per point."""

    kind: Literal["hourglass"]
    stacks: Annotated[int, Field(gt=0, le=STACKS)]
    width: Annotated[int, Field(gt=0, le=WIDTH)]  # channels
    depth: Annotated[int, Field(gt=0, le=DEPTH)]  # halvings inside one hourglass
    loss: Literal["cross_entropy", "chi_square", "star"]  # of heatmaps; chi_square is Eq. 9, star is STAR's (CVPR 2023)

    @model_validator(mode="after")
    def _sizes_fit(self) -> HourglassParams:
        if self.input_size % (4 * 2**self.depth):
            raise ValueError(f"input_size must be a multiple of {4 * 2**self.depth} (4 times 2 to the depth)")
        if self.input_size / self.heatmap_size not in (1, 2, 4):
            raise ValueError("input_size must be 1, 2 or 4 times heatmap_size")
        return self


class StackedHourglass(HeatmapDetector):
    """The detector."""

    Params = HourglassParams
    params: HourglassParams

    def __init__(self, params: HourglassParams, landmarks: int):
        super().__init__(params)
        width, half = params.width, max(params.width // 2, 16)
        upsamplings = {4: 0, 2: 1, 1: 2}[params.input_size // params.heatmap_size]
        self.stem = nn.Sequential(nn.Conv2d(3, half, 5, 2, 2, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True))
        self.enter = Block(half, width, stride=2)
        self.stacks = nn.ModuleList(Hourglass(width, params.depth) for _ in range(params.stacks))
        self.after = nn.ModuleList(Block(width, width) for _ in range(params.stacks))
        self.heads = nn.ModuleList(Head(width, landmarks, upsamplings) for _ in range(params.stacks))
        self.back = nn.ModuleList(nn.Conv2d(landmarks, width, 1) for _ in range(params.stacks - 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) to the logits of every stack, (B, K, H, H) each."""
        fine = self.stem(images)
        x = self.enter(fine)
        drawn: list[Tensor] = []
        for i, (stack, after, head) in enumerate(zip(self.stacks, self.after, self.heads, strict=True)):
            features = after(stack(x))
            logits = head(features, [fine, images])
            drawn.append(logits)
            if i < len(self.back):
                seen = functional.avg_pool2d(logits, logits.shape[-1] // features.shape[-1])
                x = x + features + self.back[i](seen)
        return drawn

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to the logits of the last stack, (B, K, H, H)."""
        drawn: list[Tensor] = self(images)
        return drawn[-1]

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of all stacks; a point outside the crop does not count."""
        place = self.to_heatmap(batch.points)
        weight = batch.weight * ((batch.points.abs() <= 1).all(-1))
        losses = [LOSSES[self.params.loss](logits, place, weight, self.sigma) for logits in self(batch.images)]
        return torch.stack(losses).mean()
