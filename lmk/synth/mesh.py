"""Triangles of a head and what it rests on: skull with hair, ears, neck and shoulders, long hair.

Every part is a grid of vertices; all parts end up in one list, so that one depth buffer sorts them out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmk.synth.surface import EAR, TOP, Array, Surface, ramp
from lmk.synth.traits import Look

NOWHERE = -500.0  # a frontal position that no drawing covers
# Height of the hairline over the angle from the middle of the face, in degrees; the same for all, then shifted.
_HAIRLINE = ([0, 25, 45, 58, 68, 78, 90, 104, 125, 180], [-72, -71, -64, -52, -32, -12, -8, 12, 55, 65])


@dataclass(frozen=True)
class Mesh:
    """Vertices with what the painter needs to know about them, and triangles that face outwards clockwise."""

    position: Array  # (V, 3)
    normal: Array  # (V, 3)
    plane: Array  # (V, 2) frontal position, for what is drawn on the face
    grain: Array  # (V, 2) mm along the surface, for textures: across, down
    cover: Array  # (V,) mm inside the hair; negative is bare
    cloth: Array  # (V,) the same for clothes
    open: Array  # (V,) 0 in a hollow, 1 in the open
    red: Array  # (V,) how much blood shows
    follow: Array  # (V,) share of the head's rotation
    triangles: NDArray[np.int64]  # (T, 3)


def build_mesh(surface: Surface, look: Look, density: float) -> Mesh:
    """The whole sitter; `density` 1 is one vertex every 2 to 3 mm on the face."""
    parts = [_head(surface, look, density), _bust(surface, look)]
    if look.hair_style in ("short", "bald", "receding", "volume", "fringe", "cap"):
        parts += [_ear(surface, side) for side in (-1.0, 1.0)]
    if look.hair_style.startswith("long"):
        parts.append(_curtain(surface, look))
    offsets = np.cumsum([0] + [len(part.position) for part in parts])
    columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Mesh)[:-1]}
    triangles = np.concatenate([part.triangles + offset for part, offset in zip(parts, offsets, strict=False)])
    return Mesh(**columns, triangles=triangles)


def hair_depth(look: Look, angle: Array, y: Array) -> Array:
    """How many mm a point of the head is inside the hair (negative: how far outside)."""
    degrees = np.abs(np.degrees(angle))
    line = np.interp(degrees, *_HAIRLINE) - look.hairline
    style = look.hair_style
    if style == "bald":
        return np.asarray(-40.0 + 0 * (line - y))
    if style == "receding":
        line = line - 26 * np.exp(-(((degrees - 32) / 18) ** 2)) - 10 * (degrees < 60)
    if style in ("fringe", "long-fringe"):
        sweep = 6 * np.sin(np.degrees(angle) / 25 + look.hair_wave * 6)
        line = np.maximum(line, -36 + sweep - 12 * ramp(degrees, 35, 60))
    if style == "cap":
        line = np.interp(degrees, [0, 60, 90, 180], [-46, -44, -28, -10])
    if style.startswith("long"):
        # Parted in the middle or at the side, and covering the ears.
        line = line + 14 * ramp(degrees, 40, 70) + 34 * ramp(degrees, 76, 96)
        line = np.minimum(line, 45)
    return np.asarray(line - y)


def _head(surface: Surface, look: Look, density: float) -> Mesh:
    front = np.linspace(-1, 1, int(66 * density) | 1)
    # Closer together in the middle, where the nose is.
    front = np.pi / 2 * (0.75 * front + 0.25 * front**3)
    back = np.linspace(np.pi / 2, np.radians(170), int(12 * density) + 1)[1:]
    angle = np.concatenate([-back[::-1], front, back])
    chin = surface.shape.chin_y
    lower = np.linspace(0, 1, int(62 * density))
    lower = EAR + (chin - EAR) * (0.45 * lower + 0.55 * np.sin(lower * np.pi / 2))
    upper = EAR - (EAR - TOP) * np.sin(np.linspace(0, np.pi / 2, int(34 * density)))[:0:-1]
    y = np.concatenate([upper, lower])
    angles, ys = np.meshgrid(angle, y)
    skin = surface.at(angles, ys)
    normal = normals(skin)
    cover = hair_depth(look, angles, ys)
    thick = {"bald": 0, "short": 8, "receding": 5, "volume": 19, "cap": 7}.get(look.hair_style, 11)
    rise = ramp(cover, -2, 7 if look.hair_style == "cap" else 26)
    lift = thick * look.hair_thick * rise * (1 + 0.25 * np.sin(angles * 5 + look.hair_wave * 9) * rise)
    position = skin + normal * lift[..., None]
    hollow = _hollow(skin)
    plane = np.stack([np.where(np.abs(angles) > np.pi / 2 + 1e-9, 200 * np.sign(angles), skin[..., 0]), ys], -1)
    side = np.abs(skin[..., 0])
    nose, cheek = (
        np.exp(-((side / 14) ** 2 + ((ys - 36) / 12) ** 2)),
        np.exp(-(((side - 40) / 15) ** 2 + ((ys - 32) / 14) ** 2)),
    )
    return _grid(
        position,
        normal=normals(position),
        plane=plane,
        grain=np.stack([angles * 72, ys], -1),
        cover=cover,
        open=hollow,
        red=0.8 * nose + cheek + 0.3 * np.exp(-((side / 18) ** 2 + ((ys - chin + 8) / 10) ** 2)),
    )


def _hollow(skin: Array) -> Array:
    """Ambient light from the shape: the depth against its own blur, 1 in the open, towards 0 in hollows."""
    depth = skin[..., 2]
    blurred = depth
    for _ in range(3):
        blurred = np.mean([blurred[:, k] for k in _windows(depth.shape[1])], axis=0)
        blurred = np.mean([blurred[k] for k in _windows(depth.shape[0])], axis=0)
    return np.clip(1 + 0.16 * (depth - blurred), 0.35, 1.12)


@cache
def _windows(length: int) -> list[NDArray[np.int64]]:
    """Five shifted index lists, stopped at the ends: the taps of a box blur."""
    return [np.clip(np.arange(length) + shift, 0, length - 1) for shift in range(-2, 3)]


def _bust(surface: Surface, look: Look) -> Mesh:
    """Neck, shoulders and clothes: one upright grid that widens."""
    chin = surface.shape.chin_y
    angles, ys = np.meshgrid(np.radians(np.linspace(-110, 110, 37)), np.linspace(50, 250, 37))
    drop = ys - chin
    neck = 0.64 * surface.shape.face_width + 3 * (surface.shape.jaw_power - 2.15) / 0.2
    slope = ramp(drop, 0, 130) ** 1.15 * (0.3 + 0.7 * np.abs(np.sin(angles)))
    width = neck + 2.5 * ramp(-drop, -10, 40) + 140 * slope
    depth = 50 + 26 * ramp(drop, 20, 110)
    x = width * np.sin(angles)
    position = np.stack([x, ys, -84 + depth * np.cos(angles)], -1)
    collar = chin + 20 + look.collar * np.cos(angles) ** 3
    shade = 1 - 0.62 * (1 - ramp(drop, -8, 40)) * np.clip(np.cos(angles), 0, 1) ** 0.5
    return _grid(
        position,
        grain=np.stack([angles * 60, ys], -1),
        cloth=(ys - collar) * 1.0,
        open=shade,
        follow=0.25 + 0.6 * (1 - ramp(ys, 60, 190)),
    )


def _ear(surface: Surface, side: float) -> Mesh:
    """A dished disc behind the jaw's upper end, turned a little to the front."""
    radius, turn = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 2 * np.pi, 25), indexing="ij")
    back = 17 * radius * np.cos(turn) * (1 + 0.15 * np.sin(turn))
    down = 29 * radius * np.sin(turn) * (1 - 0.1 * np.cos(turn))
    out = (
        5.5 * np.exp(-(((radius - 0.82) / 0.16) ** 2)) - 3 * np.exp(-((radius / 0.45) ** 2)) - 5 * ramp(radius, 0.9, 1)
    )
    width = float(surface.outline(np.array(18.0)))
    lean = np.radians(24)
    position = np.stack([
        side * (width - 3 + (back + 14) * np.sin(lean) + out * np.cos(lean)),
        18 + down - 0.12 * back,
        -84 - (back + 8) * np.cos(lean) + out * np.sin(lean),
    ], -1)  # fmt: skip
    if side > 0:
        position = position[:, ::-1]
        radius = radius[:, ::-1]
    hollow = 0.35 + 0.65 * ramp(radius, 0.2, 0.8)
    return _grid(position, grain=np.stack([back, down], -1), open=hollow, red=0.8 + 0 * radius)


def _curtain(surface: Surface, look: Look) -> Mesh:
    """Long hair around the back of the head, both of its sides."""
    wave = look.hair_wave
    angles, ys = np.meshgrid(np.radians(np.linspace(66, 294, 40)), np.linspace(-60, 210, 34))
    fall = ramp(ys, -60, 40)
    ripple = (1 + 4 * wave) * np.sin(ys / 13 + 3 * angles) * fall
    top = surface.outline(np.minimum(ys, 0.0)) - 4 * (1 - fall)
    width = top + (9 * look.hair_thick + 6) * fall - 8 * ramp(ys, 60, 150) + ripple
    position = np.stack([width * np.sin(angles), ys, -84 + (width + 12) * np.cos(angles) + 4 * fall], -1)
    rows, columns = angles.shape
    mesh = _grid(
        position,
        grain=np.stack([angles * 72, ys], -1),
        cover=np.full((rows, columns), 50.0),
        open=0.55 + 0.45 * ramp(np.abs(np.sin(angles)), 0.5, 0.98),
        follow=0.4 + 0.6 * (1 - ramp(ys, 20, 160)),
    )
    both = np.concatenate([mesh.triangles, mesh.triangles[:, ::-1]])
    return replace(mesh, triangles=both)


def normals(position: Array) -> Array:
    """(R, C, 3) outward unit normals of a grid whose columns run to the right and rows down."""
    across, down = np.gradient(position, axis=1), np.gradient(position, axis=0)
    normal = np.cross(across, down)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.asarray(normal / np.maximum(length, 1e-9))


def _grid(position: Array, **given: Array) -> Mesh:
    rows, columns = position.shape[:2]
    bare = np.full((rows, columns), -50.0)
    one = np.ones((rows, columns))
    attributes = {
        "position": position,
        "normal": given.get("normal", normals(position)),
        "plane": given.get("plane", np.full((rows, columns, 2), NOWHERE)),
        "grain": given["grain"],
        "cover": given.get("cover", bare),
        "cloth": given.get("cloth", bare),
        "open": given.get("open", one),
        "red": given.get("red", 0.25 * one),
        "follow": given.get("follow", one),
    }
    flat = {name: value.reshape(rows * columns, *value.shape[2:]) for name, value in attributes.items()}
    return Mesh(**flat, triangles=_triangles(rows, columns))


@cache
def _triangles(rows: int, columns: int) -> NDArray[np.int64]:
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
