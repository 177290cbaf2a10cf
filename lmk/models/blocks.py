"""What networks are built from."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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
