"""Stacked hourglass (Newell et al. 2016): one heatmap a point.

The hourglasses work at a quarter of the input's size, whatever the heatmap's: half of the time of a network goes where
its maps are large.  Heatmaps larger than that are drawn by a small head that takes the stem's fine features back in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lmk.config import HourglassParams
from lmk.kernels.heatmap import chi_square, cross_entropy, expected_position, log_probabilities, star

LOSSES = {"cross_entropy": cross_entropy, "chi_square": chi_square, "star": star}
# Half the side of what counts of a heatmap, in sigmas of the target.  Maps of noisy labels are as wide as the noise,
# and their mean is the better position; refinement asks for the peak.  See docs/decisions/0011-how-maps-are-read.md.
NEAR, FAR = 3.0, 6.0
PEAK = 0.1  # least part of a heatmap's mass around its highest pixel; a flat one has 0.02 there


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.relu(self.body(x) + self.skip(x))
        return out


class Hourglass(nn.Module):
    """Down, across and up again, `depth` times."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.across = Block(width, width)
        self.down = Block(width, width)
        self.inner: nn.Module = Hourglass(width, depth - 1) if depth > 1 else Block(width, width)
        self.up = Block(width, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        out: Tensor = self.across(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")
        return out


class Head(nn.Module):
    """Features at a quarter of the input to heatmaps at a quarter, at half or at full size."""

    def __init__(self, width: int, landmarks: int, upsamplings: int):
        super().__init__()
        self.lift = nn.ModuleList()
        channels = width
        for level in range(upsamplings):
            finer = max(width // 2 ** (level + 1), 16)
            skip_channels = max(width // 2, 16) if level == 0 else 3
            self.lift.append(
                nn.ModuleDict(
                    {
                        "from_below": nn.Conv2d(channels, finer, 1),
                        "from_stem": nn.Conv2d(skip_channels, finer, 1),
                        "join": Block(finer, finer),
                    }
                )
            )
            channels = finer
        self.draw = nn.Conv2d(channels, landmarks, 1)

    def forward(self, x: Tensor, stem: list[Tensor]) -> Tensor:
        for lift, fine in zip(self.lift, stem, strict=False):
            assert isinstance(lift, nn.ModuleDict)
            below = functional.interpolate(lift["from_below"](x), scale_factor=2.0, mode="nearest")
            x = lift["join"](below + lift["from_stem"](fine))
        drawn: Tensor = self.draw(x)
        return drawn


class StackedHourglass(nn.Module):
    """The detector.  Points are in parts of the crop: -1 is its left or top edge, 1 its right or bottom edge."""

    coarse = 0.0  # share of images of low resolution that it wants to learn from

    def __init__(self, params: HourglassParams, landmarks: int):
        super().__init__()
        self.params = params
        width, half = params.width, max(params.width // 2, 16)
        upsamplings = {4: 0, 2: 1, 1: 2}[params.input_size // params.heatmap_size]
        self.stem = nn.Sequential(nn.Conv2d(3, half, 5, 2, 2, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True))
        self.enter = Block(half, width, stride=2)
        self.stacks = nn.ModuleList(Hourglass(width, params.depth) for _ in range(params.stacks))
        self.after = nn.ModuleList(Block(width, width) for _ in range(params.stacks))
        self.heads = nn.ModuleList(Head(width, landmarks, upsamplings) for _ in range(params.stacks))
        self.back = nn.ModuleList(nn.Conv2d(landmarks, width, 1) for _ in range(params.stacks - 1))

    @property
    def sigma(self) -> float:
        """Of the training target, in heatmap pixels."""
        return self.params.sigma * self.params.heatmap_size / 256

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

    def loss(self, images: Tensor, points: Tensor, weight: Tensor) -> Tensor:
        """Mean loss of all stacks; a point outside the crop does not count."""
        place = self.to_heatmap(points)
        weight = weight * ((points.abs() <= 1).all(-1))
        losses = [LOSSES[self.params.loss](logits, place, weight, self.sigma) for logits in self(images)]
        return torch.stack(losses).mean()

    def log_heatmaps(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to the last stack's log-probabilities, (B, K, H, H)."""
        return log_probabilities(self(images)[-1])

    def locate(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to points (B, K, 2) in parts of the crop, NaN where a heatmap has no peak."""
        place, mass = self._mean_within(NEAR, self.log_heatmaps(images))
        return self.from_heatmap(place).masked_fill(mass[..., None] < PEAK, torch.nan)

    def peaks(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, H) to the places of their peaks, (B, K, 2) in parts of the crop."""
        return self.from_heatmap(self._mean_within(NEAR, log_maps)[0])

    def decode(self, log_maps: Tensor) -> Tensor:
        """Log-probabilities (B, K, H, H) to the points that they mean, (B, K, 2) in parts of the crop."""
        return self.from_heatmap(self._mean_within(FAR, log_maps)[0])

    def _mean_within(self, sigmas: float, log_maps: Tensor) -> tuple[Tensor, Tensor]:
        return expected_position(log_maps, radius=max(2, round(sigmas * self.sigma)))

    def to_heatmap(self, points: Tensor) -> Tensor:
        """Parts of the crop to heatmap pixels."""
        return (points + 1) * (self.params.heatmap_size / 2) - 0.5

    def from_heatmap(self, place: Tensor) -> Tensor:
        """Heatmap pixels to parts of the crop."""
        return (place + 0.5) * (2 / self.params.heatmap_size) - 1
