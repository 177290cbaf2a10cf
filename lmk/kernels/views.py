"""Coordinates in a crop, and views of it: turned, scaled, shifted or mirrored.

Crop coordinates run from -1 at the left or top edge to 1 at the right or bottom edge.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def to_crop(points: Tensor, boxes: Tensor) -> Tensor:
    """(N, K, 2) image pixels to crop coordinates; boxes (N, 3) are left, top and side in pixels."""
    corner, side = boxes[:, None, :2], boxes[:, None, 2:]
    return (points - corner) / side * 2 - 1


def from_crop(points: Tensor, boxes: Tensor) -> Tensor:
    """(N, K, 2) crop coordinates to image pixels."""
    corner, side = boxes[:, None, :2], boxes[:, None, 2:]
    return (points + 1) / 2 * side + corner


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float, -2 to 2."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 64 - 2


def view_matrices(turn: Tensor, zoom: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Matrices that map coordinates in a view to coordinates in the crop.

    Args:
        turn: (B,) radians.
        zoom: (B,) side of the view relative to the crop's; a larger value shows things smaller.
        shift: (B, 2) where the view's centre lies in the crop.
        mirrored: (B,) bool.

    Returns:
        (B, 2, 3).
    """
    sign = torch.where(mirrored, -1.0, 1.0)
    cosine, sine = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    rows = [torch.stack([cosine * sign, -sine, shift[:, 0]], -1), torch.stack([sine * sign, cosine, shift[:, 1]], -1)]
    return torch.stack(rows, 1)


def apply_view(points: Tensor, matrix: Tensor) -> Tensor:
    """(B, K, 2) points of the crop to coordinates in the view."""
    linear, shift = matrix[:, :, :2], matrix[:, :, 2]
    moved: Tensor = torch.linalg.solve(linear, (points - shift[:, None]).transpose(1, 2)).transpose(1, 2)
    return moved


def view(pixels: Tensor, matrix: Tensor, size: int, margin: float) -> Tensor:
    """(B, 3, size, size) views of crops (B, 3, C, C), which are `margin` times as wide as the box."""
    grid = functional.affine_grid(matrix / margin, [len(pixels), 3, size, size], align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
