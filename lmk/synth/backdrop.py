"""What is behind a face: walls, blurred rooms, foliage, lights out of focus."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.synth import noisefield
from lmk.synth.traits import linear

Image = NDArray[np.floating[Any]]
_SIDE = 128  # drawn at this size and enlarged: a background is out of focus, and the same at every size


def draw_backdrop(scene: int, size: int) -> Image:
    """(size, size, 3) linear BGR."""
    rng = np.random.default_rng([scene, 1])
    base = _colour(rng)
    other = _colour(rng)
    ramp = np.linspace(0, 1, _SIDE, dtype=np.float32)
    angle = rng.uniform(0, np.pi)
    slope = (np.cos(angle) * ramp[None] + np.sin(angle) * ramp[:, None])[..., None]
    picture = np.asarray(base * (1 - 0.6 * slope) + other * 0.6 * slope, np.float32)
    kind = rng.choice(["wall", "room", "foliage", "lights"], p=[0.3, 0.35, 0.2, 0.15])
    if kind == "room":
        picture = _room(picture, rng)
    elif kind == "foliage":
        picture = _foliage(picture, rng)
    elif kind == "lights":
        picture = _lights(picture * 0.4, rng)
    y, x = rng.uniform(0, 256, 2)
    grid_y, grid_x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32).reshape(2, -1)
    clouds = noisefield.sample(noisefield.clouds(), grid_x + np.float32(x), grid_y + np.float32(y))
    picture = np.clip(picture * (1 + 0.1 * clouds.reshape(_SIDE, _SIDE, 1)), 0.002, 1.5).astype(np.float32)
    blur = float(rng.uniform(0.6, 4.0))
    soft = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.asarray(cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 2)


def _colour(rng: np.random.Generator) -> Image:
    level = rng.uniform(20, 235)
    r, g, b = np.clip(level + rng.normal(0, 28, 3), 5, 250)
    return linear((r, g, b))


def _room(picture: Image, rng: np.random.Generator) -> Image:
    """Upright and level shapes: frames, shelves, doors, people in the distance."""
    for _ in range(rng.integers(4, 12)):
        x, y = rng.integers(-20, _SIDE, 2)
        w, h = rng.integers(8, 80, 2)
        colour = tuple(float(c) for c in _colour(rng))
        if rng.random() < 0.75:
            cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1, cv2.LINE_AA)
        else:
            cv2.ellipse(picture, (int(x), int(y)), (int(w // 2), int(h // 2)), 0, 0, 360, colour, -1, cv2.LINE_AA)
    return picture


def _foliage(picture: Image, rng: np.random.Generator) -> Image:
    green = linear((rng.uniform(30, 120), rng.uniform(70, 150), rng.uniform(20, 80)))
    for _ in range(90):
        x, y = (int(v) for v in rng.integers(0, _SIDE, 2))
        axes = (int(rng.integers(2, 12)), int(rng.integers(2, 7)))
        colour = tuple(float(c) for c in green * rng.uniform(0.2, 1.9))
        cv2.ellipse(picture, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return picture


def _lights(picture: Image, rng: np.random.Generator) -> Image:
    for _ in range(rng.integers(6, 22)):
        x, y = (int(v) for v in rng.integers(0, _SIDE, 2))
        disc = np.zeros_like(picture)
        colour = tuple(float(c) for c in _colour(rng) * rng.uniform(0.4, 1.4))
        cv2.circle(disc, (x, y), int(rng.integers(3, 13)), colour, -1, cv2.LINE_AA)
        picture = picture + disc
    return picture
