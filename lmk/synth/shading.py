"""Colour of every covered pixel: skin, hair and cloth under one key light with a cast shadow, and a sky.

All colours are linear light, BGR.  Work is done on lists of pixels, and on each only where its material shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.synth import noisefield
from lmk.synth.decal import LEFT, TOP
from lmk.synth.noisefield import sample
from lmk.synth.traits import Light, Look, Shape, Traits

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Buffers:
    """What the depth buffer saw: N covered pixels of a square image, and the depth of all of them."""

    pixel: NDArray[np.int64]  # (N,) row * size + column
    depth: Values  # (size, size) mm towards the camera, larger is nearer; -1e4 where nothing is
    normal: Values  # (N, 3) unit
    plane: Values  # (N, 2) frontal position
    grain: Values  # (N, 2)
    cover: Values  # (N,)
    cloth: Values  # (N,)
    open: Values  # (N,)
    red: Values  # (N,)
    pixels_per_mm: float

    def take(self, chosen: NDArray[np.int64]) -> Buffers:
        """The same for some of the pixels."""
        names = ("pixel", "normal", "plane", "grain", "cover", "cloth", "open", "red")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True)
class Lit:
    """Light that arrives at N pixels."""

    received: Values  # (N, 3) key and sky together
    key: Values  # (N,) share of the key light that is not in a cast shadow
    light: Light

    def take(self, chosen: NDArray[np.int64]) -> Lit:
        """The same for some of the pixels."""
        return Lit(self.received[chosen], self.key[chosen], self.light)


def shade(buffers: Buffers, traits: Traits, drawing: Values, drawing_scale: float) -> Values:
    """Return the colours (N, 3) of the covered pixels.

    Args:
        buffers: N pixels.
        traits: whose face it is, and its light.
        drawing: (h, w, 5) what is drawn on the face, see `decal.draw_face`.
        drawing_scale: its pixels per mm.
    """
    offset = np.random.default_rng(traits.scene).uniform(0, 256, 2).astype(np.float32)
    buffers = replace(buffers, grain=buffers.grain + offset)
    lit = _light(buffers, traits.light)
    colour = np.zeros((len(buffers.pixel), 3), np.float32)  # hair that covers all but fully shows a trace of it
    bare = np.flatnonzero((buffers.cover < 12) & (buffers.cloth < 1))
    colour[bare] = _skin(buffers.take(bare), lit.take(bare), traits, drawing, drawing_scale)
    for chosen, paint in ((np.flatnonzero(buffers.cloth > -1), _cloth), (np.flatnonzero(buffers.cover > -9), _hair)):
        over, share = paint(buffers.take(chosen), lit.take(chosen), traits.look)
        # Where it covers fully nothing has been painted below.
        below = np.where(share[:, None] < 1, colour[chosen], 0)
        colour[chosen] = _blend(below, over, share)
    return colour


def _light(buffers: Buffers, light: Light) -> Lit:
    key = _shadow(buffers, light)
    facing = buffers.normal @ light.direction
    # Light goes around the edge of skin, red most.
    wrap = np.array([0.08, 0.12, 0.28], np.float32)
    diffuse = np.clip((facing[:, None] + wrap) / (1 + wrap), 0, 1) * (key * (0.4 + 0.6 * buffers.open))[:, None]
    upward = 0.5 - 0.5 * buffers.normal[:, 1:2]
    ambient = (light.ground + (light.sky - light.ground) * upward) * buffers.open[:, None]
    return Lit(light.key * diffuse + ambient, key, light)


def _halfway(light: Light) -> Values:
    half = light.direction + np.array([0, 0, 1], np.float32)
    return np.asarray(half / np.linalg.norm(half), np.float32)


def _skin(buffers: Buffers, lit: Lit, traits: Traits, drawing: Values, scale: float) -> Values:
    look = traits.look
    gx, gy = buffers.grain.T
    blotches = sample(noisefield.clouds(), gx * 0.9, gy * 0.9)
    pores = sample(noisefield.grain(), gx * 2.2, gy * 2.2)
    red = look.redness * (0.8 * buffers.red + 0.25 * blotches)
    albedo: Values = look.skin * (1 + red[:, None] * np.array([-0.14, -0.16, 0.05], np.float32))
    albedo *= (1 + 0.035 * blotches + np.float32(0.025 + 0.02 * look.age) * pores)[:, None]
    if look.freckles:
        spots = np.clip(pores - 1.3, 0, 1) * np.float32(look.freckles) * np.clip(buffers.red, 0, 1)
        albedo *= 1 - spots[:, None] * np.array([0.7, 0.6, 0.35], np.float32)
    if look.beard != "none":
        albedo = _blend(albedo, *_beard(buffers, look, traits.shape))

    x = (buffers.plane[:, 0] - np.float32(LEFT)) * np.float32(scale)
    y = (buffers.plane[:, 1] - np.float32(TOP)) * np.float32(scale)
    inked = sample(drawing[..., :4], x, y, cv2.BORDER_CONSTANT)
    alpha = sample(drawing[..., 4], x, y, cv2.BORDER_CONSTANT)
    albedo = albedo * (1 - alpha[:, None]) + inked[:, :3]
    gloss = np.float32(lit.light.gloss * 0.35) * (1 - alpha) + inked[:, 3]
    mirror = np.clip(buffers.normal @ _halfway(lit.light), 0, 1)
    wide = np.square(np.square(np.square(np.square(mirror))))
    shine = gloss * (0.6 * wide + 0.8 * wide * wide * wide) * lit.key * buffers.open
    return np.asarray(albedo * lit.received + shine[:, None] * (0.35 * lit.light.key), np.float32)


def _beard(buffers: Buffers, look: Look, shape: Shape) -> tuple[Values, Values]:
    """Colour and coverage of the beard, from the frontal position; lips are drawn over it later."""
    gx, gy = buffers.grain.T
    side, y = np.abs(buffers.plane[:, 0]), buffers.plane[:, 1]
    reach = shape.mouth_half
    nose, mouth = shape.nose_y, shape.mouth_y
    line = np.interp(side, [0, 2, 6, reach + 7, 60, 72], [nose + 8, nose + 5, nose + 4, mouth - 8, 14, -6])
    inside = y - line.astype(np.float32)
    if look.beard == "goatee":
        inside = np.minimum(inside, np.float32(reach + 5) - side)
    fibre = sample(noisefield.strands(), gx * 5.0, gy * 4.0)
    edge = np.clip((inside + 2.5 * fibre) / 7.0, 0, 1)
    if look.beard == "stubble":
        dots = sample(noisefield.grain(), gx * 3.0, gy * 3.0)
        colour = look.skin * 0.25 + look.hair * 0.6
        return np.broadcast_to(colour, (len(edge), 3)), edge * np.clip(0.34 + 0.12 * dots, 0, 0.6)
    body = np.clip(0.75 + 0.3 * fibre, 0.2, 1.6)
    return np.asarray((0.75 * look.hair + 0.01) * body[:, None], np.float32), 0.93 * edge


def _cloth(buffers: Buffers, lit: Lit, look: Look) -> tuple[Values, Values]:
    gx, gy = buffers.grain.T
    weave = 1 + 0.08 * sample(noisefield.grain(), gx * 1.2, gy * 1.2)
    stripe = (np.sin(gy / 4.5) > 0.35)[:, None]
    colour = np.where(stripe, look.cloth_stripe, look.cloth) if look.striped else look.cloth
    rim = 0.75 + 0.25 * np.clip((buffers.cloth - 3) / 1.5, 0, 1)
    return colour * (weave * rim)[:, None] * lit.received, np.clip(buffers.cloth + 0.5, 0, 1)


def _hair(buffers: Buffers, lit: Lit, look: Look) -> tuple[Values, Values]:
    gx, gy = buffers.grain.T
    if look.hair_style == "cap":
        knit = 1 + 0.22 * np.sin(gx * 1.6) * (0.6 + 0.4 * np.sin(gy * 1.9))
        fold = np.where(buffers.cover < 20, 1.0, 0.85) * (1 - 0.4 * np.exp(-(((buffers.cover - 20) / 1.5) ** 2)))
        colour = look.cloth_stripe * (knit * fold)[:, None].astype(np.float32) * lit.received
        return colour, np.clip(buffers.cover + 0.5, 0, 1)
    bend = np.float32(6 * look.hair_wave) * np.sin(gy / 14 + gx / 40)
    fibre = sample(noisefield.strands(), (gx + bend) * 3.0, gy * 1.2)
    fine = sample(noisefield.strands(), (gx + bend) * 9.0, gy * 4.0)
    edge = np.clip((buffers.cover + 2.2 * fibre + 1.2 * fine + 1.0) / 7.0, 0, 1)
    fibre = 0.8 * fibre + 0.4 * fine
    # Hair shines where its direction, down along the head, is square to the halfway vector.
    down = np.array([0, 1, 0], np.float32) - buffers.normal * buffers.normal[:, 1:2]
    length = np.sqrt(np.einsum("nk,nk->n", down, down))
    tilt = (down + 0.25 * fibre[:, None] * buffers.normal) @ _halfway(lit.light) / np.maximum(length, 0.2)
    streak = np.square(np.square(np.square(np.clip(1 - tilt**2, 0, 1))))
    streak *= np.clip(buffers.normal @ lit.light.direction + 0.2, 0, 1) * lit.key
    body = np.clip(0.85 + 0.33 * fibre, 0.25, 2)
    shine = streak[:, None] * lit.light.key
    return look.hair * (0.9 * body[:, None] * lit.received + 0.35 * shine) + 0.03 * shine, edge


def _blend(below: Values, above: Values, share: Values) -> Values:
    return np.asarray(below + share[:, None] * (above - below), np.float32)


def _shadow(buffers: Buffers, light: Light) -> Values:
    """(N,) 1 where the key light arrives: march through the depth buffer towards the light, at a coarse size."""
    size = len(buffers.depth)
    side = min(size, 112)
    coarse = side / size
    depth = cv2.resize(buffers.depth, (side, side), interpolation=cv2.INTER_NEAREST)
    scale = np.float32(buffers.pixels_per_mm * coarse)
    lit = np.ones(depth.shape, np.float32)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    for reach in np.geomspace(5, 80, 9):
        step = light.direction * np.float32(reach)
        there = cv2.remap(
            depth, x + step[0] * scale, y + step[1] * scale, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        over = there - depth - step[2]
        lit *= 1 - np.clip((over - 2.0) / 3.0, 0, 1) * (over < 90)
    soft = cv2.GaussianBlur(lit, (0, 0), max(1.6 * float(scale), 0.6))
    fine = cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine.reshape(-1)[buffers.pixel], np.float32)
