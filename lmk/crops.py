"""The pixels that a network sees: a square around each instance."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.console import Progress
from lmk.errors import DataError
from lmk.images import crop, read_image
from lmk.kernels.views import to_tensor, view

# Crops are kept a little larger than the network sees, so that rotating and shifting them brings in real pixels.
MARGIN = 1.25


class Crops:
    """The crops of N instances, cut once, kept in a temporary file so that memory stays bounded.

    `crops[i]` is a (size, size, 3) uint8 square that covers `MARGIN` times the instance's box.
    """

    def __init__(
        self,
        root: Path,
        images: list[str],
        boxes: NDArray[np.float64],
        input_size: int,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.size = round(input_size * MARGIN / 2) * 2
        # The exact factor by which the kept square is larger than the box, after rounding to whole pixels.
        self.margin = self.size / input_size
        shape = (max(len(images), 1), self.size, self.size, 3)
        with tempfile.TemporaryFile() as file:  # the map keeps it alive
            # Claims the space: a disk that is full says so here, and not as a signal when a page is written.
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
            self.pixels: NDArray[np.uint8] = np.memmap(file, np.uint8, "r+", shape=shape)
        self._rows = np.arange(len(images))
        last: tuple[str, NDArray[np.uint8]] | None = None
        for index, (name, box) in enumerate(zip(images, boxes, strict=True)):
            if last is None or last[0] != name:  # instances of one image are neighbours
                last = (name, read_image(root / name))
            grown = box + box[2] * (self.margin - 1) * np.array([-0.5, -0.5, 1.0])
            self.pixels[index] = crop(last[1], grown, self.size)
            if progress is not None:
                progress(index + 1, len(images))

    def select(self, chosen: NDArray[np.bool_]) -> Crops:
        """The crops of the chosen instances, (N,) bool, without a copy."""
        some = copy.copy(self)
        some._rows = self._rows[chosen]
        return some

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        return np.asarray(self.pixels[self._rows[index]])


def cut_crops(annotations: AnnotationSet, images: Path, input_size: int) -> Crops:
    """The pixels that a network sees, for every instance of a set."""
    if np.isnan(annotations.boxes).any():
        raise DataError("the annotation set was made without images; ingest it again, without --no-images")
    names = annotations.instances["image"].tolist()
    return Crops(images, names, annotations.boxes, input_size, Progress("reading images", "images"))


def centre(crops: Crops, chosen: np.ndarray, size: int) -> Tensor:
    """The boxes of the chosen instances as they are, (B, 3, S, S)."""
    pixels = to_tensor(crops[chosen])
    still = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]]).expand(len(pixels), -1, -1)
    return view(pixels, still, size, crops.margin)
