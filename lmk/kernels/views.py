"""How a network looks at a crop: places in it, and turned, scaled, shifted or mirrored views of it.

Points are relative to the crop, -1 at its left or top edge and 1 at the other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def to_crop(points: Tensor, boxes: Tensor) -> Tensor:
    """Image pixels (N, K, 2) to parts of the crops (N, 3)."""
    corner, side = boxes[:, None, :2], boxes[:, None, 2:]
    return (points - corner) / side * 2 - 1


def from_crop(points: Tensor, boxes: Tensor) -> Tensor:
    """Parts of the crops to image pixels."""
    corner, side = boxes[:, None, :2], boxes[:, None, 2:]
    return (points + 1) / 2 * side + corner


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float about zero."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 64 - 2


def view_matrices(turn: Tensor, zoom: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Matrices from a place in the view to its place in the crop.

    Args:
        turn: (B,) radians.
        zoom: (B,) how much of the crop is seen, 1 for all of it; more shows things smaller.
        shift: (B, 2) of the view's centre, relative to half a crop.
        mirrored: (B,) bool.

    Returns:
        (B, 2, 3).
    """
    sign = torch.where(mirrored, -1.0, 1.0)
    cosine, sine = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    rows = [torch.stack([cosine * sign, -sine, shift[:, 0]], -1), torch.stack([sine * sign, cosine, shift[:, 1]], -1)]
    return torch.stack(rows, 1)


def apply_view(points: Tensor, matrix: Tensor) -> Tensor:
    """Where points of the old crop, (B, K, 2), are in the new image."""
    linear, shift = matrix[:, :, :2], matrix[:, :, 2]
    moved: Tensor = torch.linalg.solve(linear, (points - shift[:, None]).transpose(1, 2)).transpose(1, 2)
    return moved


def view(pixels: Tensor, matrix: Tensor, size: int, margin: float) -> Tensor:
    """Look at crops that are `margin` times larger than the box, (B, 3, C, C), through matrices, (B, 2, 3)."""
    grid = functional.affine_grid(matrix / margin, [len(pixels), 3, size, size], align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
