"""The curves of a face, in frontal millimetres, and the 68 landmarks at fixed shares of their length in 3-D.

What is drawn (lids, brows, lips, the base of the nose) is drawn from the curves of this module, and the landmarks lie
on them, so that a landmark's position across its contour can be seen in the image to a fraction of a pixel.  Along
its contour a landmark sits at a fixed fraction of the arc length of the 3-D curve: a brow's landmarks are on its upper
edge, the middles of the lips are where the curve crosses the middle of the face.

The jaw is the edge of the surface, from ear to chin to ear: a curve of the head (as in 300W-LP and AFLW2000-3D), not
the silhouette of the moment.  Where the head is turned away, the far side of the jaw is hidden behind the cheek and
its points are marked occluded; they are where they are in 3-D, not slid onto the cheek's outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmk.synth.surface import EAR, Array, Surface
from lmk.synth.traits import Shape

DENSE = 81  # points of a densely sampled curve


@dataclass(frozen=True)
class Eye:
    """One eye opening: both lids from the image-left corner to the image-right corner, (DENSE, 2) each."""

    upper: Array
    lower: Array
    centre: tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """Everything that is drawn and annotated, (n, 2) in frontal millimetres, from image-left to image-right."""

    brow_upper: tuple[Array, Array]
    brow_lower: tuple[Array, Array]
    eyes: tuple[Eye, Eye]
    bridge: Array  # from top to tip
    nostrils: Array
    lip_top: Array  # outer edge of the upper lip
    lip_bottom: Array
    mouth_top: Array  # inner edge of the upper lip
    mouth_bottom: Array


def draw_curves(shape: Shape) -> Curves:
    """Return the curves of a face of this shape."""
    upper, lower = _brow(shape)
    eye = _eye(shape)
    lip_top, lip_bottom, mouth_top, mouth_bottom = _mouth(shape)
    tip = shape.nose_y - 9.0
    t = np.linspace(-1, 1, DENSE)
    base = shape.nose_y - 4.5 * np.abs(t) ** 2.2 + 0.8 * np.exp(-(((np.abs(t) - 0.45) / 0.2) ** 2))
    return Curves(
        brow_upper=(mirrored(upper), upper),
        brow_lower=(mirrored(lower), lower),
        eyes=(Eye(mirrored(eye.upper), mirrored(eye.lower), (-eye.centre[0], eye.centre[1])), eye),
        bridge=np.stack([np.zeros(DENSE), np.linspace(-4.0, tip, DENSE)], -1),
        nostrils=np.stack([shape.nose_half * t * 0.98, base], -1),
        lip_top=lip_top,
        lip_bottom=lip_bottom,
        mouth_top=mouth_top,
        mouth_bottom=mouth_bottom,
    )


def jaw(surface: Surface) -> Array:
    """(n, 3) the jaw line from image-left ear to image-right ear: the edge of the surface below the ears."""
    # Sampled evenly in the angle around the outline: the slope at the chin is infinite in y.
    turn = np.linspace(0, np.pi / 2, 4 * DENSE)
    y = EAR + (surface.shape.chin_y - EAR) * np.sin(turn)
    right = surface.at(np.full_like(y, np.pi / 2), y)
    return np.concatenate([right * [-1, 1, 1], right[-2::-1]])


def landmarks(curves: Curves, surface: Surface) -> Array:
    """(68, 3) points on the surface, in iBUG's order."""
    flat = [
        *curves.brow_upper, curves.bridge, curves.nostrils,
        *(lid for eye in curves.eyes for lid in (eye.upper, eye.lower)),
        curves.lip_top, curves.lip_bottom, curves.mouth_top, curves.mouth_bottom,
    ]  # fmt: skip
    # One call for all curves: the surface is made of many small terms.
    left_brow, right_brow, bridge, nostrils, *lids, top, bottom, inner_top, inner_bottom = np.split(
        surface.lift(np.concatenate(flat)), np.cumsum([len(curve) for curve in flat])[:-1]
    )
    fourths, thirds, middle = [0, 1 / 4, 1 / 2, 3 / 4, 1], [0, 1 / 3, 2 / 3, 1], DENSE // 2
    eyes = [part for k in (0, 2) for part in (along(lids[k], thirds), along(lids[k + 1], [2 / 3, 1 / 3]))]
    outer = [
        along(top[: middle + 1], thirds),
        along(top[middle:], thirds)[1:],
        along(bottom[middle:], thirds)[2:0:-1],
        along(bottom[: middle + 1], thirds)[3:0:-1],
    ]
    return np.concatenate([
        along(jaw(surface), np.linspace(0, 1, 17)),
        along(left_brow, fourths),
        along(right_brow, fourths),
        along(bridge, thirds),
        along(nostrils, fourths),
        *eyes,
        *outer,
        along(inner_top, fourths),
        along(inner_bottom, [3 / 4, 1 / 2, 1 / 4]),
    ])  # fmt: skip


def along(curve: Array, fractions: Array | list[float]) -> Array:
    """Points of a polyline (n, d) at fractions of its length."""
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    where = np.asarray(fractions) * length[-1]
    return np.stack([np.interp(where, length, axis) for axis in curve.T], -1)


def mirrored(curve: Array) -> Array:
    """The curve on the other side of the face, again from image-left to image-right."""
    return curve[::-1] * [-1, 1]


def _brow(s: Shape) -> tuple[Array, Array]:
    """Upper and lower edge of the image-right brow, inner end first."""
    t = np.linspace(0, 1, DENSE)
    x = s.brow_inner + (s.brow_outer - s.brow_inner) * t
    middle = s.brow_y + s.brow_tilt * (0.5 - t) * 2 - s.brow_arch * (1 - ((t - 0.62) / 0.62) ** 2) + 2.0
    # Blunt inside, thickest at a third, pointed outside: both ends can be seen.
    thick = s.brow_thick * np.sqrt(np.clip(1 - t**3.0, 0, 1)) * (0.72 + 0.28 * np.sin(np.pi * np.minimum(t * 1.5, 1)))
    upper = np.stack([x, middle - thick / 2], -1)
    return upper, np.stack([x - 1.5 * (1 - t), middle + thick / 2], -1)


def _eye(s: Shape) -> Eye:
    """The image-right eye: inner corner on the left."""
    t = np.linspace(0, 1, DENSE)
    x = s.eye_x + s.eye_half * (2 * t - 1)
    line = 1.0 + s.eye_tilt * (1 - 2 * t)
    # The upper lid peaks towards the nose, the lower lid towards the ear; both meet in corners, not in round ends.
    upper = (4 * t * (1 - t)) ** 0.85 * (1 + 0.22 * (1 - 2 * t))
    lower = (4 * t * (1 - t)) ** 0.9 * (1 - 0.25 * (1 - 2 * t))
    top = np.stack([x, line - s.eye_upper * upper], -1)
    bottom = np.stack([x, np.maximum(line + s.eye_lower * lower, top[:, 1])], -1)
    return Eye(top, bottom, (s.eye_x, 1.0 - 0.25 * (s.eye_upper - s.eye_lower)))


def _mouth(s: Shape) -> tuple[Array, Array, Array, Array]:
    """Outer top, outer bottom, inner top, inner bottom; all from corner to corner."""
    t = np.linspace(-1, 1, DENSE)
    inside = 0.86 + 0.006 * min(s.opening, 12)

    def line(u: Array) -> Array:
        return s.mouth_y - 5 * s.smile * np.abs(u) ** 1.8 + s.lean * u + 0.35 * s.opening * np.abs(u) ** 2

    arc = np.clip(1 - t**2, 0, 1)
    gap = s.opening * arc**0.75
    bow = 1 - s.lip_bow * np.exp(-((t / 0.16) ** 2))
    inner = line(t * inside)
    mouth_top = np.stack([t * inside * s.mouth_half, inner - 0.15 * gap + 0.5 * np.cos(6 * t) * (arc > 0) * arc], -1)
    mouth_bottom = np.stack([mouth_top[:, 0], mouth_top[:, 1] + gap], -1)
    open_top, open_bottom = 0.12 * s.opening * arc**0.8, 0.88 * s.opening * arc**0.8
    lip_top = np.stack([t * s.mouth_half, line(t) - s.lip_upper * arc**0.8 * bow - open_top], -1)
    lip_bottom = np.stack([t * s.mouth_half, line(t) + s.lip_lower * arc**0.75 + open_bottom], -1)
    return lip_top, lip_bottom, mouth_top, mouth_bottom
