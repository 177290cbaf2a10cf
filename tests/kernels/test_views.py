"""How a network looks at a crop: coordinates there and back, and what a view's matrix does."""

from __future__ import annotations

import math

import pytest
import torch

from lmk.kernels.views import apply_view, from_crop, to_crop, view_matrices


def test_crop_and_image_coordinates_are_each_others_inverse():
    points = torch.tensor([[[10.0, 20], [30, 35.5]]], dtype=torch.float64)
    boxes = torch.tensor([[5.5, 9.5, 40.0]], dtype=torch.float64)

    inside = to_crop(points, boxes)

    assert inside[0, 0].tolist() == pytest.approx([(10 - 5.5) / 40 * 2 - 1, (20 - 9.5) / 40 * 2 - 1])
    torch.testing.assert_close(from_crop(inside, boxes), points)


def test_a_matrix_leads_from_the_view_to_the_crop_and_apply_view_back():
    turn, zoom, shift = torch.tensor([0.3]), torch.tensor([1.5]), torch.tensor([[0.1, -0.2]])
    points = torch.tensor([[[0.4, -0.1], [-0.3, 0.7]]])

    matrix = view_matrices(turn, zoom, shift, torch.tensor([True]))

    # Mirrored first, then turned by 0.3, then half as much again of the crop is seen, then shifted.
    x, y = -points[0, :, 0], points[0, :, 1]
    turned = torch.stack([math.cos(0.3) * x - math.sin(0.3) * y, math.sin(0.3) * x + math.cos(0.3) * y], -1)
    expected = 1.5 * turned + torch.tensor([0.1, -0.2])
    torch.testing.assert_close(points[0] @ matrix[0, :, :2].T + matrix[0, :, 2], expected)
    torch.testing.assert_close(apply_view(expected[None], matrix), points)
