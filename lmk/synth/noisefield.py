"""Repeating pictures of smooth noise and of hair strands, made once per process and sampled anywhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
_SIDE = 256


@cache
def clouds() -> Image:
    """(256, 256) noise over several octaves, mean 0 and standard deviation 1; both ends fit together."""
    return _filtered(np.hypot(*_frequencies()), power=1.3)


@cache
def grain() -> Image:
    """The same without large spots: pores, stubble, weave."""
    frequency = np.hypot(*_frequencies())
    return _filtered(np.maximum(frequency, 24), power=0.6)


@cache
def strands() -> Image:
    """(256, 256) noise that is fine across and long down: hair that hangs."""
    down, across = _frequencies()
    return _filtered(np.hypot(across * 0.25, down * 4.0) + 3, power=1.6)


def sample(picture: NDArray[Any], x: NDArray[Any], y: NDArray[Any], border: int = cv2.BORDER_WRAP) -> Image:
    """Read a picture (h, w) or (h, w, c <= 4) at N positions in its pixels; beyond its border it repeats itself.

    Returns:
        (N,) or (N, c).
    """
    # OpenCV wants positions as an image that is not too high: fold the list.
    count, width = len(x), 512
    rows = max(-(-count // width), 1)
    where = np.zeros((2, rows * width), np.float32)
    where[0, :count], where[1, :count] = x, y
    maps = where.reshape(2, rows, width)
    found = cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(found.reshape(rows * width, *found.shape[2:])[:count], np.float32)


def _frequencies() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    f = np.abs(np.fft.fftfreq(_SIDE, 1 / _SIDE))
    down, across = np.meshgrid(f, f, indexing="ij")
    return down, across


def _filtered(frequency: NDArray[np.float64], power: float) -> Image:
    white = np.random.default_rng(7).standard_normal((_SIDE, _SIDE))
    gain = 1 / np.maximum(frequency, 1) ** power
    gain[0, 0] = 0
    noise = np.fft.ifft2(np.fft.fft2(white) * gain).real
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)
