"""What a network says about images: positions, and the heatmaps that the search looks at."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.crops import CropSource, centre
from lmk.errors import enough_memory
from lmk.kernels.views import from_crop, to_tensor, view, view_matrices
from lmk.models.base import Detector, HeatmapDetector
from lmk.scheme import LandmarkScheme

BATCH = 32
VARIED = (8.0, 0.07, 0.023, 0.023)  # at most: turned (degrees), scaled (logarithm), shifted (half crops)
Progress = Callable[[int, int], None]


def device() -> torch.device:
    """CUDA when it is there."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_device(model: Detector) -> Detector:
    """The network where it runs, its weights laid out as its images are."""
    moved: Detector = model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    return moved


def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next batch instead of giving it back to the system.

    Batches of heatmaps are tens of megabytes each; mapping them anew for every operation costs a third of the time.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-4, 0)  # M_MMAP_MAX: never a mapping of its own for one block
            libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: give back only above 1 GiB


def autocast() -> AbstractContextManager[object]:
    """bfloat16 where the processor gains by it."""
    kind = device().type
    gains = kind == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=gains)


def as_input(images: Tensor) -> Tensor:
    """Images where the network runs, laid out as it wants them."""
    return images.to(device(), memory_format=torch.channels_last)


def mirror_of(scheme: LandmarkScheme, mirror: bool) -> Tensor | None:
    """The partner of each landmark, (K,), where mirror images are wanted and the scheme has pairs."""
    return torch.from_numpy(scheme.flip).to(device()) if mirror and scheme.mirror else None


def log_heatmaps(model: HeatmapDetector, images: Tensor, scheme: LandmarkScheme, mirror: bool) -> Tensor:
    """Log-probabilities of a batch, (B, K, H, H); with `mirror`, of the mean over each image and its mirror image."""
    with torch.inference_mode(), autocast():
        return model.log_heatmaps(as_input(images), mirror_of(scheme, mirror))


def batches(count: int, progress: Progress | None) -> Iterator[NDArray[np.int64]]:
    """Index the instances `BATCH` at a time."""
    for start in range(0, count, BATCH):
        yield np.arange(start, min(start + BATCH, count))
        if progress is not None:
            progress(min(start + BATCH, count), count)


@enough_memory("predicting", "model.input_size or the network")
def predict(
    model: Detector,
    annotations: AnnotationSet,
    crops: CropSource,
    mirror: bool,
    fast: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Positions of all instances, (N, K, 2) in image pixels; the annotations give the boxes only.

    In full precision, unless they may be `fast`: bfloat16 moves a point by a hundredth of a pixel on average, and by
    other amounts on another processor, which shows in the digits of measures.
    """
    model = on_device(model).eval()
    boxes, flip = torch.from_numpy(annotations.boxes.copy()), mirror_of(annotations.scheme, mirror)
    found = []
    for chosen in batches(len(annotations.instances), progress):
        images = as_input(centre(crops, chosen, model.params.input_size))
        with torch.inference_mode(), autocast() if fast else contextlib.nullcontext():
            points = model.predict(images, flip).points
        found.append(from_crop(points.cpu().double(), boxes[chosen]))
    return torch.cat(found).numpy()


@enough_memory("predicting from several views", "model.input_size or the network")
def predict_views(
    model: HeatmapDetector, annotations: AnnotationSet, crops: CropSource, count: int, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Predictions for `count` views of each instance, (V, N, K, 2) in image pixels, NaN where a map has no peak.

    The first view is the crop as it is, the others are turned, scaled and shifted a little; every second one is
    mirrored where the scheme has mirror pairs.  Their mean is nearer to the truth than any of them, and their variance
    shows how sure the network is.
    """
    on_device(model).eval()
    flip = torch.from_numpy(annotations.scheme.flip)
    matrices, mirrored = _views(count, bool(annotations.scheme.mirror))
    boxes = torch.from_numpy(annotations.boxes.copy())
    found = np.empty((count, len(annotations.instances), annotations.landmarks, 2), np.float32)
    for chosen in batches(len(annotations.instances), progress):
        pixels = to_tensor(crops.read(chosen))
        for number, matrix in enumerate(matrices):
            seen = view(pixels, matrix.expand(len(chosen), -1, -1), model.params.input_size, crops.margin)
            with torch.inference_mode(), autocast():
                points = model.locate(as_input(seen)).cpu().float()
            points = points[:, flip] if mirrored[number] else points
            points = points @ matrix[:, :2].T + matrix[:, 2]
            found[number, chosen] = from_crop(points.double(), boxes[chosen]).numpy()
    return found


def _views(count: int, may_mirror: bool) -> tuple[Tensor, Tensor]:
    """(V, 2, 3) matrices from a place in the view to its place in the crop, and (V,) which mirror."""
    random = torch.Generator().manual_seed(0)
    turn, scale, x, y = (2 * torch.rand(4, count, generator=random) - 1) * torch.tensor(VARIED)[:, None]
    still = torch.arange(count) < (2 if may_mirror else 1)
    turn, scale, x, y = (value.masked_fill(still, 0) for value in (turn.deg2rad(), scale, x, y))
    mirrored = (torch.arange(count) % 2 == 1) & may_mirror
    return view_matrices(turn, scale.exp(), torch.stack([x, y], -1), mirrored), mirrored
