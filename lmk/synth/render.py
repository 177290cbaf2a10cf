"""Render one face with its 68 landmarks, exactly.

A head is a surface (`surface`) with curves on it (`curves`).  Landmarks are points of those curves, and the picture is
drawn from the same curves through the same camera, so the truth is known to the last digit.  A landmark that the head,
the hair or a thing hides is still where it is; it is marked occluded.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.synth.backdrop import draw_backdrop
from lmk.synth.curves import draw_curves, landmarks
from lmk.synth.decal import draw_face
from lmk.synth.mesh import build_mesh
from lmk.synth.occluders import draw_glasses, draw_occluder
from lmk.synth.raster import rasterise
from lmk.synth.shading import Buffers, shade
from lmk.synth.surface import Array, Surface
from lmk.synth.traits import Traits, View, draw_traits

OCCLUDED, VISIBLE = 1, 2
_OVERSAMPLING = 2
_PIVOT = np.array([0.0, 45.0, -78.0])  # what a head turns around


@dataclass(frozen=True)
class Face:
    """One rendered image and its truth."""

    image: NDArray[np.uint8]  # (size, size, 3) BGR
    points: NDArray[np.float64]  # (68, 2) pixels; the centre of the top-left pixel is (0, 0)
    visibility: NDArray[np.uint8]  # (68,) 1 occluded, 2 visible


@dataclass(frozen=True)
class Camera:
    """From the head's millimetres to a square image of side 1."""

    view: View
    scale: float  # image sides per mm at the head
    offset: Array  # (2,)

    def turn(self, points: Array, share: float = 1.0) -> Array:
        """Rotate points (or directions, about the origin) by a share of the head's pose."""
        return np.asarray(points @ rotation(self.view, share).T)

    def project(self, points: Array) -> Array:
        """(..., 3) from (..., 3): x and y in image sides, and z towards the camera in mm."""
        turned = self.turn(points - _PIVOT)
        return self.flatten(turned)

    def flatten(self, turned: Array) -> Array:
        """Perspective of points that are already turned."""
        near = self.view.distance / (self.view.distance - turned[..., 2:])
        return np.concatenate([turned[..., :2] * near * self.scale + self.offset, turned[..., 2:]], -1)


def rotation(view: View, share: float) -> Array:
    """(3, 3) pose: pitch, then yaw, then roll."""
    (cy, sy), (cp, sp), (cr, sr) = (
        (np.cos(a * share), np.sin(a * share)) for a in (view.yaw, view.pitch, view.roll)
    )  # fmt: skip
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch)


def aim(view: View, points: Array) -> Camera:
    """The camera that sees the landmarks (68, 3) at the size and place that `view` asks for."""
    plain = Camera(view, 1.0, np.zeros(2)).project(points)[:, :2]
    low, high = plain.min(0), plain.max(0)
    scale = view.fill / float((high - low).max())
    room = 1 - (high - low) * scale
    corner = room / 2 * (1 + 0.85 * np.array(view.shift))
    return Camera(view, scale, corner - low * scale)


def render_face(seed: int, index: int, size: int) -> Face:
    """Render face `index` of the world `seed`: the same face at every size, up to the sensor's noise."""
    traits = draw_traits(seed, index)
    surface, curves = Surface(traits.shape), draw_curves(traits.shape)
    points = landmarks(curves, surface)
    camera = aim(traits.view, points)
    fine = size * _OVERSAMPLING

    buffers = _draw_buffers(traits, surface, camera, fine)
    scale = float(np.clip(1.15 * buffers.pixels_per_mm, 1.5, 8))
    drawing = draw_face(curves, traits.shape, traits.look, scale)
    sitter = shade(buffers, traits, drawing, scale)
    picture = draw_backdrop(traits.scene, fine)
    picture.reshape(-1, 3)[buffers.pixel] = sitter

    def to_pixels(where: Array) -> Array:
        seen = camera.project(where)
        return np.concatenate([seen[..., :2] * fine - 0.5, seen[..., 2:]], -1)

    projected = to_pixels(points)
    hidden = np.zeros((fine, fine), np.float32)
    if traits.look.glasses != "none":
        hidden = draw_glasses(picture, surface, curves, traits.look, to_pixels, buffers.depth, buffers.pixels_per_mm)
    if traits.occluder != "none":
        over = draw_occluder(picture, traits.occluder, projected[:, :2], traits.look, traits.light, traits.scene)
        hidden = np.maximum(hidden, over)
    return Face(
        image=_expose(picture, traits.scene, size),
        points=camera.project(points)[:, :2] * size - 0.5,
        visibility=_visibility(projected, buffers.depth, hidden),
    )


def _draw_buffers(traits: Traits, surface: Surface, camera: Camera, fine: int) -> Buffers:
    mesh = build_mesh(surface, traits.look, density=0.85 if fine <= 320 else 1.5)
    centred = mesh.position - _PIVOT
    follow = mesh.follow[:, None]
    position = follow * camera.turn(centred) + (1 - follow) * camera.turn(centred, 0.2)
    normal = follow * camera.turn(mesh.normal) + (1 - follow) * camera.turn(mesh.normal, 0.2)
    seen = camera.flatten(position)
    fragments = rasterise(seen[:, :2] * fine - 0.5, -seen[:, 2], mesh.triangles, fine)
    columns = [normal, mesh.plane, mesh.grain, seen[:, 2], mesh.cover, mesh.cloth, mesh.open, mesh.red]
    values = fragments.interpolate(np.concatenate([c.reshape(len(normal), -1) for c in columns], 1))
    depth = np.full(fine * fine, -1e4, np.float32)
    depth[fragments.pixel] = values[:, 7]
    length = np.sqrt(np.einsum("nk,nk->n", values[:, :3], values[:, :3]))
    return Buffers(
        pixel=fragments.pixel,
        depth=depth.reshape(fine, fine),
        normal=values[:, :3] / np.maximum(length, 1e-6)[:, None],
        plane=values[:, 3:5],
        grain=values[:, 5:7],
        cover=values[:, 8],
        cloth=values[:, 9],
        open=values[:, 10],
        red=values[:, 11],
        pixels_per_mm=camera.scale * fine,
    )


def _visibility(projected: Array, depth: NDArray[np.float32], hidden: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Compare each landmark with what is in front at its pixel and around it."""
    size = len(depth)
    reach = max(1, round(size / 128))
    far = cv2.erode(depth, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    pixel = np.clip(np.round(projected[:, :2]).astype(int), 0, size - 1)
    behind = far[pixel[:, 1], pixel[:, 0]] > projected[:, 2] + 5.0
    covered = hidden[pixel[:, 1], pixel[:, 0]] > 0.4
    return np.where(behind | covered, OCCLUDED, VISIBLE).astype(np.uint8)


def _expose(picture: NDArray[np.float32], scene: int, size: int) -> NDArray[np.uint8]:
    """Lens, sensor and file: reduce, blur, tone, noise, JPEG."""
    rng = np.random.default_rng([scene, 3])
    exposure, contrast = rng.uniform(0.85, 1.25), rng.uniform(0.9, 1.12)
    balance = 1 + rng.normal(0, 0.03, 3)
    blur = float(rng.choice([0.0, rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0)], p=[0.5, 0.35, 0.15])) * size / 128
    noise = float(rng.uniform(0.2, 2.2) if rng.random() < 0.8 else rng.uniform(2, 5))
    quality = int(rng.integers(70, 97))
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    if blur > 0:
        small = cv2.GaussianBlur(small, (0, 0), blur)
    # Half of what an automatic exposure would do: dark skins stay dark, nothing is lost in white.
    middle = small[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4].mean()
    exposure *= float(0.26 / max(middle, 0.02)) ** 0.45
    light = np.maximum(small * np.float32(exposure) * balance.astype(np.float32), 0)
    # A shoulder keeps highlights from clipping hard.
    light = np.where(light < 0.6, light, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)))
    tone = light ** np.float32(1 / 2.2)
    tone = (tone - 0.5) * contrast + 0.5
    grain = np.random.default_rng([scene, 4, size]).standard_normal(tone.shape, np.float32)
    grain = 0.7 * grain.mean(-1, keepdims=True) * np.sqrt(3).astype(np.float32) + 0.5 * grain
    pixels = np.clip(tone * 255 + noise * grain, 0, 255).round().astype(np.uint8)
    packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
