"""The head as a surface: horizontal slices between an outline and a mid-line profile, with bumps in depth.

A point of the surface is (angle, y): angle 0 is the middle of the face, plus and minus 90 degrees are its edge as seen
from the front, which below the ears is the jaw line.  x points to the right of the image, y down, z to the camera, in
millimetres.  On the front, x = outline(y) * sin(angle) whatever the bumps, so that a drawing in frontal (x, y) and the
3-D surface fit each other exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmk.synth.traits import Shape

Array = NDArray[np.float64]

TOP = -118.0  # y of the crown
EAR = 2.0  # y where the face is widest and the jaw line starts
_EAR_DEPTH = -72.0


@dataclass(frozen=True)
class Surface:
    """The skin of one head."""

    shape: Shape

    def _fraction(self, y: Array) -> Array:
        """0 at the ears, 1 at the chin, -1 at the crown."""
        below = (y - EAR) / (self.shape.chin_y - EAR)
        return np.clip(np.where(y > EAR, below, (y - EAR) / (EAR - TOP)), -1, 1)

    def outline(self, y: Array) -> Array:
        """Half the width of the slice at y."""
        u = self._fraction(y)
        power = np.where(u > 0, self.shape.jaw_power, 2.5)
        return np.asarray(self.shape.face_width * (1 - np.abs(u) ** power) ** (1 / np.where(u > 0, 2.05, 2.5)))

    def edge_depth(self, y: Array) -> Array:
        """Depth of the slice's edge: the jaw line comes forward from the ears to the chin."""
        u = self._fraction(y)
        return np.where(u > 0, _EAR_DEPTH + 60 * np.abs(u) ** 3.2, _EAR_DEPTH - 8 * u**2)

    def front_depth(self, y: Array) -> Array:
        """How far the mid-line is in front of the edge, without bumps."""
        shape, u = self.shape, self._fraction(y)
        chin, mouth, nose = shape.chin_y, shape.mouth_y, shape.nose_y
        knots = [TOP, -95, -70, -45, -20, -3, 20, nose, mouth, (mouth + chin - 14) / 2, chin - 13, chin]
        tilt = shape.profile
        values = [-42, -24, -9, -1, 2, -4, -3, 1, 2 + tilt, -2 + tilt, 1 + tilt, -2 + tilt]
        profile = smooth(y, np.array(knots, float), np.array(values, float))
        rounding = (1 - np.abs(u) ** np.where(u > 0, 6.0, 3.0)) ** (1 / 3)
        return (profile - self.edge_depth(y)) * rounding

    def at(self, angle: Array, y: Array) -> Array:
        """(..., 3) points of the surface; angles beyond 90 degrees are the back of the head."""
        width, edge, depth = self.outline(y), self.edge_depth(y), self.front_depth(y)
        x, cosine = width * np.sin(angle), np.cos(angle)
        skull = 12 + 98 * (1 - ramp(y, 5, 75))
        back = skull * (1 - np.abs(self._fraction(y)) ** 3) ** (1 / 3)
        front = np.clip(cosine, 0, 1)
        z = edge + np.where(cosine > 0, depth, back) * cosine + self.bumps(x, y) * np.minimum(1, 3 * front)
        return np.stack([x, y + 0 * x, z], -1)

    def lift(self, plane: Array) -> Array:
        """(..., 3) surface points over frontal positions (..., 2)."""
        x, y = plane[..., 0], plane[..., 1]
        width = np.maximum(self.outline(y), 1e-6)
        return self.at(np.arcsin(np.clip(x / width, -1, 1)), y)

    def bumps(self, x: Array, y: Array) -> Array:
        """What stands out from, or sinks into, the smooth mask, in depth."""
        s = self.shape
        side = np.abs(x)
        height = -8.5 * bell(side, y, s.eye_x, 1, 15, 10.5) + 5.5 * bell(side, y, s.eye_x, 1.5, 11, 7.5)
        height += s.brow_ridge * bell(side, y, 26, -17, 18, 6) - 2.5 * bell(side, y, 66, -30, 14, 20)
        height += s.cheek * bell(side, y, 42, 27, 14, 13) - 2.5 * bell(side, y, 48, 60, 11, 16)
        height += 5.5 * bell(side, y, 0, s.mouth_y - 2, 24, 18) + s.chin_bump * bell(side, y, 0, s.chin_y - 13, 15, 9)
        if s.smile > 0:
            height += 3.0 * s.smile * bell(side, y, s.mouth_half + 11, s.mouth_y - 14, 9, 11)
            height -= 2.0 * s.smile * bell(side, y, s.mouth_half + 3.5, s.mouth_y - 5, 3.5, 10)
        return height + self._nose(side, y) + self._lips(side, y)

    def _nose(self, side: Array, y: Array) -> Array:
        s = self.shape
        tip = s.nose_y - 10
        t = np.clip((y + 4) / (tip + 4), 0, 1)
        ridge = s.nose_bridge * np.sqrt(ramp(y, -16, 6)) + (s.nose_tip - s.nose_bridge) * t**1.7
        ridge += s.nose_hump * np.exp(-(((y - 14) / 7) ** 2))
        ridge *= 1 - ramp(y, tip + 1, s.nose_y + 2.5)
        width = 6.0 + (0.40 * s.nose_half - 0.5) * t**1.5
        height = ridge * np.exp(-((side / width) ** 2) / 1.6)
        height += 7.5 * bell(side, y, s.nose_half - 5.5, s.nose_y - 5.0, 4.2, 4.6)
        height -= 2.5 * bell(side, y, s.nose_half + 3, s.nose_y - 4, 2.8, 7)
        return np.asarray(height - 1.2 * bell(side, y, 0, s.nose_y + 9, 3, 5))

    def _lips(self, side: Array, y: Array) -> Array:
        s = self.shape
        corner = s.mouth_y - 5 * s.smile * (side / s.mouth_half) ** 2
        wide = 0.62 * s.mouth_half
        upper = corner - 0.45 * s.lip_upper - 0.3 * s.opening
        lower = corner + 0.5 * s.lip_lower + 0.7 * s.opening
        across = np.exp(-((side / wide) ** 2) / 2)
        roll = 3.2 * np.exp(-(((y - upper) / (0.55 * s.lip_upper)) ** 2)) * across
        roll += 4.0 * np.exp(-(((y - lower) / (0.55 * s.lip_lower)) ** 2)) * across
        groove = -2.2 * np.exp(-(((y - lower - 0.95 * s.lip_lower) / 4) ** 2)) * across
        pit = -2.0 * bell(side, y, s.mouth_half, s.mouth_y - 5 * s.smile, 3.5, 3.5)
        return np.asarray(roll + groove + pit)


def bell(x: Array, y: Array, x0: float, y0: float, width: float, height: float) -> Array:
    """A Gaussian bump with peak 1."""
    return np.exp(-(((x - x0) / width) ** 2 + ((y - y0) / height) ** 2) / 2)


def ramp(x: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between them."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def smooth(x: Array, knots: Array, values: Array) -> Array:
    """Interpolate with a cubic Hermite spline whose slopes are the central differences."""
    slopes = np.gradient(values, knots)
    k = np.clip(np.searchsorted(knots, x) - 1, 0, len(knots) - 2)
    step = knots[k + 1] - knots[k]
    t = np.clip((x - knots[k]) / step, 0, 1)
    h00, h10 = (1 + 2 * t) * (1 - t) ** 2, t * (1 - t) ** 2
    return np.asarray(
        h00 * values[k] + h10 * step * slopes[k] + (1 - h00) * values[k + 1] - t * t * (1 - t) * step * slopes[k + 1]
    )
