"""What is drawn on the face: eyes, brows, lips, nostrils, folds; a picture in frontal millimetres with alpha.

Everything is filled or stroked from `curves`, anti-aliased, so that the edges in the image are the annotated curves.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.synth.curves import DENSE, Curves, Eye
from lmk.synth.surface import Array
from lmk.synth.traits import Colour, Look, Shape, linear

LEFT, TOP, RIGHT, BOTTOM = -66.0, -46.0, 66.0, 112.0  # mm that the picture covers
_SHIFT = 6  # binary digits after the point in OpenCV's coordinates
Image = NDArray[np.floating[Any]]


class Canvas:
    """A premultiplied float picture: colour (h, w, 3), alpha and gloss (h, w)."""

    def __init__(self, scale: float) -> None:
        self.scale = scale  # pixels per mm
        height, width = int((BOTTOM - TOP) * scale) + 1, int((RIGHT - LEFT) * scale) + 1
        self.layers = np.zeros((height, width, 5), np.float32)  # blue, green, red, gloss, alpha

    def fill(self, outline: Array, colour: Colour, opacity: float, soft: float = 0.0, gloss: float = 0.0) -> None:
        """Fill a closed outline (n, 2), blurred by `soft` mm."""
        self.add(*self.mask([outline], soft, None), colour, opacity, gloss)

    def stroke(self, line: Array, width: float, colour: Colour, opacity: float, soft: float = 0.0) -> None:
        """Draw a polyline `width` mm wide."""
        self.add(*self.mask([line], soft, width), colour, opacity, 0.0)

    def mask(self, lines: list[Array], soft: float, width: float | None) -> tuple[Image, tuple[slice, slice]]:
        """Coverage of outlines (or of strokes) in [0, 1], and the window of the canvas that it is for."""
        height, span = self.layers.shape[:2]
        points = [(line - [LEFT, TOP]) * self.scale for line in lines]
        margin = 3 * soft * self.scale + (width or 0) * self.scale + 2
        every = np.concatenate(points)
        low = np.clip((every.min(0) - margin).astype(int), 0, [span - 1, height - 1])
        high = np.clip((every.max(0) + margin).astype(int) + 1, low + 1, [span, height])
        picture = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        fixed = [np.round((p - low) * 2**_SHIFT).astype(np.int32) for p in points]
        if width is None:
            cv2.fillPoly(picture, fixed, 255, cv2.LINE_AA, _SHIFT)
        else:
            pixels = width * self.scale
            # Strokes are whole pixels wide; thinner ones are drawn fainter.
            cv2.polylines(picture, fixed, False, int(255 * min(pixels, 1)), max(1, round(pixels)), cv2.LINE_AA, _SHIFT)
        coverage = picture.astype(np.float32) / 255
        if soft > 0:
            coverage = cv2.GaussianBlur(coverage, (0, 0), soft * self.scale).astype(np.float32)
        return coverage, (slice(low[1], high[1]), slice(low[0], high[0]))

    def add(self, coverage: Image, window: tuple[slice, slice], colour: Colour, opacity: float, gloss: float) -> None:
        """Lay colour over a window of the canvas."""
        ink = np.array([*colour, gloss, 1.0], np.float32)
        share = (coverage * np.float32(opacity))[..., None]
        part = self.layers[window]
        part += share * (ink - part)


def draw_face(curves: Curves, shape: Shape, look: Look, scale: float) -> Image:
    """Return the drawing as (h, w, 5): premultiplied blue, green, red, gloss, and alpha."""
    canvas = Canvas(scale)
    _folds(canvas, shape, look)
    for side, eye in zip((-1.0, 1.0), curves.eyes, strict=True):
        _eye(canvas, eye, shape, look, side)
    for upper, lower in zip(curves.brow_upper, curves.brow_lower, strict=True):
        _brow(canvas, upper, lower, look)
    _nose(canvas, curves, shape, look)
    _mouth(canvas, curves, shape, look)
    return canvas.layers


def _dark(look: Look, share: float) -> Colour:
    """A darker skin: what a crease looks like, redder than the skin itself."""
    return np.asarray(look.skin * share * np.array([0.75, 0.8, 1.0], np.float32), np.float32)


def _lower(curve: Array, down: float) -> Array:
    return np.asarray(curve + np.array([0.0, down]))


def _folds(canvas: Canvas, s: Shape, look: Look) -> None:
    strength = 0.12 + 0.35 * look.age**2 + 0.3 * max(s.smile, 0)
    t = np.linspace(0, 1, 24)
    for side in (-1, 1):
        start, end = s.nose_half + 2, s.mouth_half + 7
        x = start + (end - start) * t**0.8 + 3 * np.sin(np.pi * t)
        y = s.nose_y - 6 + (s.mouth_y - s.nose_y + 4 - 3 * s.smile) * t
        canvas.stroke(np.stack([side * x, y], -1), 1.6, _dark(look, 0.45), strength, 1.1)
        bag = np.stack([side * (s.eye_x + 13 * (2 * t - 1)), 8 + 4.5 * np.sin(np.pi * t)], -1)
        canvas.stroke(bag, 2.0, _dark(look, 0.5), 0.15 + 0.4 * look.age, 1.5)
    if look.age > 0.5:
        x = np.linspace(-36, 36, 24)
        for k in range(3):
            y = s.brow_y - 15 - 8.0 * k + 1.6 * np.cos(x / 12 + k)
            canvas.stroke(np.stack([x, y], -1), 0.9, _dark(look, 0.5), 0.6 * (look.age - 0.45), 0.7)


def _eye(canvas: Canvas, eye: Eye, s: Shape, look: Look, side: float) -> None:
    opening = np.concatenate([eye.upper, eye.lower[::-1]])
    middle = opening.mean(0)
    # The lid above the opening, darker towards its crease.
    crease = eye.upper + np.array([0, -3.4]) * np.sin(np.linspace(0.1, np.pi - 0.1, DENSE))[:, None] ** 0.6
    lid = np.concatenate([crease, eye.upper[::-1]])
    shadow = look.skin * np.array([0.55, 0.55, 0.65], np.float32)
    if look.makeup > 0.3:
        shadow = 0.6 * shadow + 0.4 * look.cloth * look.skin
    canvas.fill(np.concatenate([_lower(crease, -3), _lower(opening[::-1], 1.5)]), _dark(look, 0.6), 0.35, 2.2)
    canvas.fill(lid, shadow.astype(np.float32), 0.35 + 0.4 * look.makeup, 0.8)
    canvas.stroke(crease, 0.9, _dark(look, 0.28), 0.75, 0.35)
    if s.eye_open > 0.08:
        _eyeball(canvas, eye, s, look, opening, side)
    # Lashes: thick above, thin below, with their inner edge on the lid's curve.
    lash = linear((24, 16, 14))
    heavy = 0.9 + 0.8 * look.makeup
    outer = eye.upper[DENSE // 2 :] if side > 0 else eye.upper[: DENSE // 2 + 1]
    canvas.stroke(_lower(eye.upper, -0.35), heavy, lash, 0.88, 0.12)
    canvas.stroke(_lower(outer, -0.8), heavy, lash, 0.7, 0.2)
    canvas.stroke(_lower(eye.lower, 0.25), 0.6, _dark(look, 0.22), 0.35 + 0.4 * look.makeup, 0.15)
    for corner in (opening[0], opening[DENSE - 1]):
        canvas.stroke(np.stack([corner, corner + 0.12 * (middle - corner)]), 0.9, lash, 0.55, 0.15)


def _eyeball(canvas: Canvas, eye: Eye, s: Shape, look: Look, opening: Array, side: float) -> None:
    """Sclera, iris, pupil, the lid's shadow and a highlight, all inside the opening."""
    coverage, window = canvas.mask([opening], 0.0, None)
    ball = Canvas(canvas.scale)
    ball.layers = ball.layers[window].copy()
    rows, columns = np.mgrid[window]
    x = (columns / canvas.scale + LEFT).astype(np.float32)
    y = (rows / canvas.scale + TOP).astype(np.float32)
    white = linear((236, 228, 222)) * np.float32(0.72)
    reach = ((x - eye.centre[0]) / s.eye_half) ** 2
    paint = white * (1 - 0.35 * reach[..., None])
    inner = -side * s.eye_half * 0.93 + eye.centre[0]
    pink = np.exp(-(((x - inner) / 1.9) ** 2))[..., None] * 0.75
    paint = paint * (1 - pink) + pink * linear((206, 130, 118))
    cx, cy = eye.centre[0] + s.gaze[0], eye.centre[1] + 0.3 + s.gaze[1]
    r = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
    edge = 0.6 / canvas.scale
    disc = _step(5.9 - r, edge)[..., None]
    rays = 0.85 + 0.25 * np.cos(np.arctan2(y - cy, x - cx) * 23) * np.sin(r * 2)
    ring = (0.35 + 1.0 * np.clip(1 - (r / 6.2) ** 4, 0, 1)) * rays * (1 + 0.5 * (y - cy) / 6)
    paint = paint * (1 - disc) + disc * look.iris * ring[..., None]
    pupil = _step(2.3 - r, edge)[..., None]
    paint = paint * (1 - 0.97 * pupil)
    lid = np.interp(x, eye.upper[:, 0], eye.upper[:, 1])
    paint = paint * (0.45 + 0.55 * np.clip((y - lid) / 3.2, 0, 1))[..., None]
    glint = np.exp(-(((x - cx - 1.8) / 0.9) ** 2 + ((y - cy + 2.0) / 0.9) ** 2))[..., None]
    paint = np.clip(paint + 0.7 * glint * min(s.eye_open, 1), 0, 1.4)
    ink = np.concatenate([paint, np.full_like(paint[..., :1], 0.12), np.ones_like(paint[..., :1])], -1)
    part = canvas.layers[window]
    part += coverage[..., None] * (ink.astype(np.float32) - part)


def _step(distance: Image, edge: float) -> Image:
    return np.asarray(np.clip(0.5 + distance / (2 * edge), 0, 1), np.float32)


def _brow(canvas: Canvas, upper: Array, lower: Array, look: Look) -> None:
    outline = np.concatenate([upper, lower[::-1]])
    canvas.fill(outline, look.brow, 0.3 * look.brow_alpha, 0.8)
    canvas.fill(outline, look.brow, 0.72 * look.brow_alpha, 0.3)
    # Hairs: short strokes from the lower edge up and outwards.
    side = 1 if upper[-1, 0] > 0 else -1
    order = slice(None) if side > 0 else slice(None, None, -1)
    low, top = lower[order], upper[order]
    lean, share = 6 + 3 * np.sin(np.arange(DENSE) * 2.4), 0.25 + 0.25 * np.sin(np.arange(DENSE) * 1.7)
    ends = [min(k + int(lean[k]), DENSE - 1) for k in range(DENSE)]
    hairs = [np.stack([low[k] + share[k] * (top[k] - low[k]), top[ends[k]]]) for k in range(1, DENSE - 4, 2)]
    canvas.add(*canvas.mask(hairs, 0.12, 0.3), (look.brow * 0.55).astype(np.float32), 0.6, 0.0)


def _nose(canvas: Canvas, curves: Curves, s: Shape, look: Look) -> None:
    base = curves.nostrils
    canvas.stroke(base, 1.5, _dark(look, 0.3), 0.55, 0.55)
    turn = np.linspace(0, 2 * np.pi, 20)
    for side in (-1, 1):
        x = side * (0.44 * s.nose_half + 3.6 * np.cos(turn) - 0.8 * np.sin(turn))
        y = s.nose_y - 2.0 + 1.7 * np.sin(turn) + 0.8 * np.cos(turn)
        canvas.fill(np.stack([x, y], -1), _dark(look, 0.06), 0.9, 0.3)
        t = np.linspace(0, 1, 12)
        wing = np.stack([side * (s.nose_half * 0.98 + 0.8 * np.sin(np.pi * t)), s.nose_y - 4.5 - 7 * t], -1)
        canvas.stroke(wing, 1.2, _dark(look, 0.35), 0.45, 0.6)


def _mouth(canvas: Canvas, curves: Curves, s: Shape, look: Look) -> None:
    lips = np.concatenate([curves.lip_top, curves.lip_bottom[::-1]])
    inside = np.concatenate([curves.mouth_top, curves.mouth_bottom[::-1]])
    upper = np.concatenate([curves.lip_top, curves.mouth_top[::-1]])
    canvas.fill(_lower(lips, 2.0), _dark(look, 0.5), 0.18, 1.6)
    canvas.fill(lips, look.lip, 0.88, 0.2, gloss=0.5)
    canvas.fill(upper, look.lip * np.float32(0.72), 0.45, 0.5, gloss=0.2)
    if s.opening > 0.5:
        coverage, window = canvas.mask([inside], 0.1, None)
        rows, columns = np.mgrid[window]
        x = (columns / canvas.scale + LEFT).astype(np.float32)
        y = (rows / canvas.scale + TOP).astype(np.float32)
        paint = np.broadcast_to(linear((58, 18, 18)), (*x.shape, 3)).copy()
        tongue = _step(y - (curves.mouth_bottom[DENSE // 2, 1] - 0.35 * s.opening + 0.01 * x**2), 1.0)[..., None]
        paint = paint * (1 - tongue) + tongue * linear((150, 70, 70)) * 0.6
        roof = np.interp(x, curves.mouth_top[:, 0], curves.mouth_top[:, 1])
        teeth = _step(roof + min(7.5, 0.75 * s.opening + 1.5) - 0.006 * x**2 - y, 0.35)
        gaps = 1 - 0.25 * np.exp(-((((np.abs(x) + 0.2) % 6.2) - 0.2) ** 2) / 0.12)
        shade = np.clip(1.05 - (x / (s.mouth_half + 4)) ** 2, 0.15, 1) * gaps
        paint = paint * (1 - teeth[..., None]) + (teeth * shade)[..., None] * linear((232, 226, 212)) * 0.9
        paint *= (0.35 + 0.65 * np.clip((y - roof) / 2.5, 0, 1))[..., None]
        ink = np.concatenate([paint, np.full((*x.shape, 1), 0.3), np.ones((*x.shape, 1))], -1)
        part = canvas.layers[window]
        part += coverage[..., None] * (ink.astype(np.float32) - part)
    line = _dark(look, 0.12)
    canvas.stroke(curves.mouth_top, 0.9, line, 0.8, 0.15)
    if s.opening > 0.5:
        canvas.stroke(curves.mouth_bottom, 0.6, line, 0.45, 0.2)
    for corner, inner in ((0, 0), (-1, -1)):
        ends = np.stack([curves.lip_top[corner], curves.mouth_top[inner]])
        canvas.stroke(ends, 0.8, line, 0.6, 0.25)
        pit = curves.lip_top[corner] + np.array([[-0.6, 0.6], [0.6, 0.6]])
        canvas.stroke(pit, 1.2, line, 0.4, 0.6)
