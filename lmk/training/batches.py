"""Training batches: crops and points, rotated, mirrored, coloured and covered, all on tensors.

Points are relative to the crop, -1 at its left or top edge and 1 at the other.  The batch of a step depends on the seed
and the step alone, so that a training that was killed goes on as if it had not been.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lmk.annotations import AnnotationSet
from lmk.config import AugmentationParams
from lmk.crops import CropSource
from lmk.kernels.views import apply_view, to_crop, to_tensor, view, view_matrices
from lmk.models.base import Batch
from lmk.training.recipe import Recipe

FEWEST = 8  # pixels a side of an image that is made coarse


class TrainingData:
    """The labelled instances of one split, as random batches."""

    def __init__(self, annotations: AnnotationSet, crops: CropSource, recipe: Recipe, coarse: float = 0.0):
        self.crops, self.coarse = crops, coarse  # the probability of an image of low resolution
        self.input_size, self.augmentation = recipe.network.input_size, recipe.augmentation
        self.seed = recipe.training.seed
        points = torch.from_numpy(annotations.points.copy())
        self.points = to_crop(points, torch.from_numpy(annotations.boxes.copy())).float().nan_to_num(0)
        weights = recipe.weights(annotations)
        important = np.ones(annotations.landmarks) if weights is None else weights
        self.weight = torch.from_numpy((annotations.labelled * important).astype(np.float32))
        self.flip = torch.from_numpy(annotations.scheme.flip) if annotations.scheme.mirror else None
        self._turn, self._order = -1, torch.empty(0)

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, step: int, size: int) -> Batch:
        """The batch of a step: instances in the order of a fresh shuffle each time round, changed at random."""
        chosen = torch.stack([self._instance(step * size + i) for i in range(size)])
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        matrix, mirrored = random_views(size, self.augmentation, self.flip is not None, random)
        pixels = to_tensor(self.crops.read(chosen.numpy()))
        images = view(pixels, matrix, self.input_size, self.crops.margin)
        images = _cover(_colour(images, self.augmentation.colour, random), self.augmentation.occlusion, random)
        if self.coarse:
            images = _coarsen(images, self.coarse, random)
        points, weight = apply_view(self.points[chosen], matrix), self.weight[chosen]
        if self.flip is not None:
            points = torch.where(mirrored[:, None, None], points[:, self.flip], points)
            weight = torch.where(mirrored[:, None], weight[:, self.flip], weight)
        return Batch(images, points, weight)

    def _instance(self, position: int) -> Tensor:
        turn, place = divmod(position, len(self))
        if self._turn != turn:
            self._turn = turn
            self._order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.seed * 7919 + turn))
        return self._order[place]


def random_views(
    count: int, augmentation: AugmentationParams, may_flip: bool, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw how each image is looked at.

    Returns:
        (B, 2, 3) matrices from a place in the new image to its place in the old crop, both relative to the crop, and
        (B,) which of them mirror.
    """
    turn = torch.randn(count, generator=random) * math.radians(augmentation.rotation)
    zoom = torch.exp(torch.randn(count, generator=random) * augmentation.scale)
    shift = torch.randn(count, 2, generator=random) * 2 * augmentation.shift
    mirrored = (torch.rand(count, generator=random) < 0.5) & (augmentation.flip and may_flip)
    return view_matrices(turn, zoom, shift, mirrored), mirrored


def _colour(images: Tensor, strength: float, random: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    contrast = torch.exp(torch.randn(shape, generator=random) * strength)
    brightness = torch.randn(shape, generator=random) * strength * 2
    tint = torch.randn((len(images), 3, 1, 1), generator=random) * strength / 2
    return images * contrast + brightness + tint


def _cover(images: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Put a rectangle of one colour over some of the images."""
    count, _, height, width = images.shape
    covered = torch.rand(count, generator=random) < probability
    low = torch.rand(count, 2, generator=random)
    high = low + 0.1 + torch.rand(count, 2, generator=random) * 0.3
    colour = torch.randn((count, 3, 1, 1), generator=random)
    x, y = torch.linspace(0, 1, width), torch.linspace(0, 1, height)
    in_x = (x >= low[:, :1]) & (x < high[:, :1])
    in_y = (y >= low[:, 1:]) & (y < high[:, 1:])
    hidden = (in_y[:, :, None] & in_x[:, None, :] & covered[:, None, None])[:, None]
    return torch.where(hidden, colour, images)


def _coarsen(images: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Some of the images as if they had been taken from further away: FEWEST pixels a side, or up to half of them."""
    count, size = len(images), images.shape[-1]
    chosen = torch.rand(count, generator=random) < probability
    sides = (FEWEST * (size / 2 / FEWEST) ** torch.rand(count, generator=random)).round().int().clamp(max=size)
    images = images.clone()
    for index in chosen.nonzero()[:, 0].tolist():
        small = functional.interpolate(images[index : index + 1], size=(int(sides[index]),) * 2, mode="area")
        images[index] = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)[0]
    return images
