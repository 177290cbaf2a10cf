"""What comes between the camera and the face: glasses, hands, things, strands of hair.

Each function draws into a linear BGR picture in place and returns which pixels hide what is behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.synth.curves import Curves
from lmk.synth.surface import Array, Surface
from lmk.synth.traits import Colour, Light, Look, linear

Image = NDArray[np.floating[Any]]
Mask = NDArray[np.floating[Any]]
_SHIFT = 4


def polygon_mask(shape: tuple[int, ...], outline: Array, soft: float = 0.0) -> Mask:
    """Coverage in [0, 1] of a closed outline (n, 2) in pixels."""
    picture = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(picture, [np.round(outline * 2**_SHIFT).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    mask = picture.astype(np.float32) / 255
    return cv2.GaussianBlur(mask, (0, 0), soft).astype(np.float32) if soft else mask


def line_mask(shape: tuple[int, ...], line: Array, width: float) -> Mask:
    """Coverage of a polyline (n, 2) in pixels."""
    picture = np.zeros(shape[:2], np.uint8)
    points = [np.round(line * 2**_SHIFT).astype(np.int32)]
    cv2.polylines(picture, points, False, int(255 * min(width, 1)), max(1, round(width)), cv2.LINE_AA, _SHIFT)
    return picture.astype(np.float32) / 255


def _put(picture: Image, mask: Mask, colour: Colour | Image) -> None:
    """Blend colour (or a picture of it) in where the mask is not zero."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        part = picture[window]
        part += mask[window][..., None] * (np.broadcast_to(colour, picture.shape)[window] - part)


def draw_glasses(
    picture: Image, surface: Surface, curves: Curves, look: Look, project: Callable[[Array], Array], depth: Image,
    pixels_per_mm: float,
) -> Mask:  # fmt: skip
    """Rims, bridge and arms, standing off the face; dark lenses hide the eyes, clear ones nothing."""
    hidden = np.zeros(picture.shape[:2], np.float32)
    turn = np.linspace(0, 2 * np.pi, 60)
    power = 2 / look.glasses_round
    wide, high = 25.5, 19.0 if look.glasses == "sun" else 17.0
    cos, sin = np.cos(turn), np.sin(turn)
    inner = []
    for side, eye in zip((-1, 1), curves.eyes, strict=True):
        x = eye.centre[0] + side * 1.5 + wide * np.sign(cos) * np.abs(cos) ** power
        y = 4.0 + high * np.sign(sin) * np.abs(sin) ** power
        z = 13.0 - 0.0035 * x**2
        rim = project(np.stack([x, y, z], -1))[:, :2]
        lens = polygon_mask(picture.shape, rim)
        if look.glasses == "sun":
            shine = np.linspace(1.6, 0.5, picture.shape[0], dtype=np.float32)[:, None, None]
            _put(picture, lens * 0.96, look.glasses_colour * 0.12 * shine + 0.012)
            hidden = np.maximum(hidden, lens)
        else:
            streak = lens * (np.abs(((np.indices(lens.shape).sum(0)) / (pixels_per_mm * 40)) % 1 - 0.5) < 0.06)
            picture += (lens * 0.012 + streak * 0.035)[..., None]
        _put(picture, line_mask(picture.shape, rim, 2.2 * pixels_per_mm), look.glasses_colour * 0.5)
        inner.append(eye.centre[0] + side * 1.5 - side * wide)
        reach = np.linspace(0, 1, 40)
        ear = surface.shape.face_width + 2
        start = eye.centre[0] + side * (wide + 1.5)
        arm = project(np.stack([start + (side * ear - start) * reach**0.4, 0 * reach - 2, 10 - 88 * reach], -1))
        pixel = np.clip(np.round(arm[:, :2]).astype(int), 0, picture.shape[0] - 1)
        seen = depth[pixel[:, 1], pixel[:, 0]] < arm[:, 2] + 4
        stop = int(np.argmin(seen)) if not seen.all() else len(seen)
        if stop > 1:
            _put(picture, line_mask(picture.shape, arm[:stop, :2], 2.4 * pixels_per_mm), look.glasses_colour * 0.4)
    x = np.linspace(inner[0], inner[1], 12)
    bridge = project(np.stack([x, -1 - 2 * np.cos(x / 6), 14 - 0.004 * x**2], -1))[:, :2]
    _put(picture, line_mask(picture.shape, bridge, 2.2 * pixels_per_mm), look.glasses_colour * 0.5)
    return hidden


def draw_occluder(picture: Image, kind: str, points: Array, look: Look, light: Light, scene: int) -> Mask:
    """A hand, a thing or strands over some part of the face given by its landmarks (68, 2) in pixels."""
    rng = np.random.default_rng([scene, 2])
    unit = float(np.ptp(points, axis=0).max())
    draw = {"hand": _hand, "object": _object, "strands": _strands}[kind]
    return draw(picture, points, unit, look, light, rng)


def _hand(picture: Image, points: Array, unit: float, look: Look, light: Light, rng: np.random.Generator) -> Mask:
    """A palm that comes in from below or beside, with four fingers that reach over the face."""
    target = points[int(rng.choice([3, 13, 6, 10, 31, 35, 48, 54, 57]))]
    centre = points.mean(0)
    away = target - centre + rng.normal(0, 0.08, 2) * unit
    away[1] = abs(away[1]) + 0.15 * unit
    away /= np.linalg.norm(away)
    across = np.array([-away[1], away[0]])
    total = np.zeros(picture.shape[:2], np.float32)
    width = 0.105 * unit
    base = target + away * 0.3 * unit
    ambient = light.sky * 0.75 + light.key * 0.55 * max(float(light.direction[2]), 0.15)
    skin = look.skin * ambient
    turn = np.linspace(0, 2 * np.pi, 30)[:, None]
    palm = base + away * 0.24 * unit + across * 0.25 * unit * np.cos(turn) + away * 0.3 * unit * np.sin(turn)
    arm = [base + across * 0.16 * unit, base - across * 0.16 * unit]
    arm += [p + away * 1.5 * unit for p in reversed(arm)]
    for outline in (np.array(arm), palm):
        mask = polygon_mask(picture.shape, outline)
        total = np.maximum(total, mask)
    shade = polygon_mask(picture.shape, palm, 0.05 * unit)[..., None]
    _put(picture, total, skin * (0.7 + 0.3 * shade))
    for k in range(4):
        root = base + across * (k - 1.5) * width * 1.12
        reach = unit * (0.30 + 0.05 * np.sin(k * 1.3 + 0.6)) * rng.uniform(0.85, 1.05)
        tip = root - away * reach + across * (k - 1.5) * 0.035 * unit
        knuckle = (root + tip) / 2 + across * rng.normal(0, 0.008) * unit
        line = np.stack([root + away * 0.15 * unit, root, knuckle, tip])
        finger = line_mask(picture.shape, line, width)
        dark = line_mask(picture.shape, line, width * 1.25)
        core = cv2.GaussianBlur(line_mask(picture.shape, line, width * 0.55), (0, 0), max(width * 0.2, 0.5))
        _put(picture, dark * 0.45, skin * np.array([0.25, 0.28, 0.4], np.float32))
        _put(picture, finger, skin * (0.62 + 0.42 * core[..., None]))
        nail = line_mask(picture.shape, np.stack([tip, tip + away * 0.02 * unit]), width * 0.55)
        _put(picture, nail * 0.5, skin * np.array([1.05, 1.0, 1.25], np.float32))
        total = np.maximum(total, finger)
    return total


def _object(picture: Image, points: Array, unit: float, look: Look, light: Light, rng: np.random.Generator) -> Mask:
    """A rounded thing of any colour: a phone, a cup, a book."""
    target = points[int(rng.choice([2, 5, 8, 11, 14, 17, 26, 57]))]
    outward = target - points.mean(0)
    centre = target + 0.18 * outward * rng.uniform(0, 1)
    half = unit * rng.uniform([0.10, 0.14], [0.2, 0.32])
    angle, power = rng.uniform(0, np.pi), 2 / rng.choice([2.0, 5.0, 9.0])
    turn = np.linspace(0, 2 * np.pi, 80)
    local = np.stack([
        half[0] * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power,
        half[1] * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power,
    ], -1)  # fmt: skip
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    outline = local @ rotation + centre
    colour = linear((rng.uniform(10, 240), rng.uniform(10, 240), rng.uniform(10, 240)))
    other = linear((rng.uniform(10, 240), rng.uniform(10, 240), rng.uniform(10, 240)))
    received = light.sky * 0.8 + light.key * 0.5
    mask = polygon_mask(picture.shape, outline)
    soft = polygon_mask(picture.shape, (outline - centre) * 0.85 + centre, 0.03 * unit)[..., None]
    shadow = polygon_mask(picture.shape, outline - light.direction[:2] * 0.03 * unit, 0.025 * unit)
    _put(picture, 0.5 * shadow, np.zeros(3, np.float32))
    _put(picture, mask, colour * received * (0.7 + 0.4 * soft))
    label = polygon_mask(picture.shape, (outline - centre) * rng.uniform([0.3, 0.3], [0.85, 0.5]) + centre)
    _put(picture, mask * label * 0.85, other * received)
    return mask


def _strands(picture: Image, points: Array, unit: float, look: Look, light: Light, rng: np.random.Generator) -> Mask:
    """A lock that falls over the forehead and past one eye."""
    side = int(rng.choice([0, 1]))
    root = points[[19, 24][side]] - np.array([0, 0.42 * unit])
    end = points[[2, 14][side]] + rng.normal(0, 0.06, 2) * unit
    total = np.zeros(picture.shape[:2], np.float32)
    t = np.linspace(0, 1, 24)[:, None]
    received = light.sky * 0.7 + light.key * 0.4
    bulge = rng.uniform(-0.22, 0.28) * unit * (1 if side == 0 else -1)
    for _ in range(int(rng.integers(25, 55))):
        start = root + rng.normal(0, 0.05, 2) * unit
        stop = end + rng.normal(0, 0.045, 2) * unit
        curve = start + (stop - start) * t + np.array([bulge + rng.normal(0, 0.02) * unit, 0]) * np.sin(np.pi * t)
        mask = line_mask(picture.shape, curve, 0.011 * unit * rng.uniform(0.6, 1.6)) * 0.85
        _put(picture, mask, look.hair * received * np.float32(rng.uniform(0.5, 1.4)))
        total = np.maximum(total, mask)
    return cv2.GaussianBlur(total, (0, 0), max(0.012 * unit, 0.5)).astype(np.float32)
