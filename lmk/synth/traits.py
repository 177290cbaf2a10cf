"""What makes one rendered face differ from another: every random draw about a face, made in one place.

`draw_traits` turns (seed, index) into plain numbers.  Nothing in it depends on the size of the image, so that the same
face can be rendered at any size.  Lengths are millimetres on an average adult head, angles are radians, colours are
linear-light BGR in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]  # (3,) linear-light BGR

SKIN = (
    (246, 212, 194), (236, 196, 172), (226, 180, 150), (208, 156, 122), (190, 136, 104),
    (160, 112, 84), (130, 89, 68), (100, 69, 54), (74, 51, 42),
)  # fmt: skip
HAIR = {
    "black": (22, 19, 19), "dark": (44, 32, 26), "brown": (78, 54, 39), "light": (122, 90, 62),
    "blond": (192, 158, 108), "platinum": (222, 204, 172), "red": (138, 66, 34), "grey": (142, 140, 138),
    "white": (208, 206, 203),
}  # fmt: skip
EYES = ((58, 36, 22), (74, 48, 28), (96, 70, 40), (92, 102, 66), (88, 112, 132), (104, 132, 158), (120, 128, 132))
HAIR_STYLES = ("bald", "short", "receding", "volume", "fringe", "long", "long-fringe", "cap")
GLASSES = ("none", "clear", "sun")


@dataclass(frozen=True)
class Shape:
    """Identity and expression, as lengths on the head; y = 0 is the eye line, y points down."""

    face_width: float  # half, at the ears
    jaw_power: float  # exponent of the outline below the ears: 1.8 pointed, 2.7 square
    chin_y: float
    brow_ridge: float
    cheek: float
    chin_bump: float
    profile: float  # tilt of the lower face, forward is positive
    eye_x: float
    eye_half: float
    eye_tilt: float
    eye_upper: float  # height of the upper lid over the corners' line, after closing
    eye_lower: float
    eye_open: float  # 0 closed, 1 relaxed
    gaze: tuple[float, float]
    brow_y: float
    brow_arch: float
    brow_thick: float
    brow_inner: float  # x of the inner end
    brow_outer: float
    brow_tilt: float
    nose_y: float  # of the base
    nose_half: float
    nose_tip: float  # height of the tip over the face
    nose_bridge: float
    nose_hump: float
    mouth_y: float
    mouth_half: float
    lip_upper: float
    lip_lower: float
    lip_bow: float
    smile: float  # -0.4 to 1
    opening: float  # mm between the lips
    lean: float  # small asymmetry of the mouth


@dataclass(frozen=True)
class Look:
    """Colours and what a person wears."""

    skin: Colour
    redness: float
    age: float
    freckles: float
    lip: Colour
    hair: Colour
    hair_style: str
    hair_thick: float
    hair_wave: float
    hairline: float  # mm, added to the height of the hairline
    brow: Colour
    brow_alpha: float
    iris: Colour
    beard: str  # "none" | "stubble" | "goatee" | "full"
    makeup: float
    glasses: str
    glasses_colour: Colour
    glasses_round: float
    cloth: Colour
    cloth_stripe: Colour
    striped: bool
    collar: float  # mm that the neckline reaches down in front


@dataclass(frozen=True)
class View:
    """Pose and framing."""

    yaw: float
    pitch: float
    roll: float
    distance: float  # mm from the camera to the head
    fill: float  # longer side of the landmarks' bounds, as a share of the image
    shift: tuple[float, float]  # where the landmarks' bounds sit in the room that is left, -1 to 1


@dataclass(frozen=True)
class Light:
    """One key light with a cast shadow, and a sky and a ground around the head."""

    direction: NDArray[np.float32]  # (3,) unit, from the head to the light
    key: Colour
    sky: Colour
    ground: Colour
    gloss: float


@dataclass(frozen=True)
class Traits:
    """One face, entirely."""

    shape: Shape
    look: Look
    view: View
    light: Light
    scene: int  # seed of what only has to look random: backdrop, textures, sensor
    occluder: str  # "none" | "hand" | "object" | "strands"


def linear(rgb: tuple[float, float, float]) -> Colour:
    """Turn an sRGB triple of 0 to 255 into linear-light BGR."""
    return ((np.array(rgb[::-1], np.float32) / 255) ** 2.2).astype(np.float32)


def draw_traits(seed: int, index: int) -> Traits:
    """Draw everything about face `index` of the world `seed`."""
    rng = np.random.default_rng([seed, index])
    shape, look = _draw_shape(rng), _draw_look(rng)
    view, light, scene = _draw_view(rng), _draw_light(rng), int(rng.integers(2**31))
    occluder = str(rng.choice(["none", "hand", "object", "strands"], p=[0.80, 0.07, 0.07, 0.06]))
    if occluder == "strands" and look.hair_style in ("bald", "receding"):
        occluder = "object"
    return Traits(shape, look, view, light, scene, occluder)


def _normal(rng: np.random.Generator, mean: float, spread: float, limit: float = 2.2) -> float:
    return float(mean + spread * np.clip(rng.standard_normal(), -limit, limit))


def _draw_shape(rng: np.random.Generator) -> Shape:
    opening = float(rng.choice([0.0, rng.uniform(1, 6), rng.uniform(6, 20)], p=[0.52, 0.28, 0.20]))
    smile = float(np.clip(rng.choice([rng.normal(0.12, 0.16), rng.uniform(0.35, 1.0)], p=[0.55, 0.45]), -0.4, 1))
    eye_open = float(rng.choice([rng.uniform(0.75, 1.15), rng.uniform(0.3, 0.75), 0.0], p=[0.84, 0.12, 0.04]))
    eye_open *= 1 - 0.25 * max(smile, 0)
    raised = _normal(rng, 0, 1.8)
    nose_y = _normal(rng, 46, 2.6)
    mouth_y = nose_y + _normal(rng, 20.5, 1.8)
    upper, lower = _normal(rng, 6.4, 0.8), _normal(rng, 4.2, 0.6)
    return Shape(
        face_width=_normal(rng, 70, 3.2),
        jaw_power=_normal(rng, 2.15, 0.2),
        chin_y=mouth_y + _normal(rng, 45, 2.8) + 0.8 * opening,
        brow_ridge=_normal(rng, 3.5, 1.5),
        cheek=_normal(rng, 3, 1.5) + 2.5 * max(smile, 0),
        chin_bump=_normal(rng, 5, 1.6),
        profile=_normal(rng, 0, 2),
        eye_x=_normal(rng, 32, 1.5),
        eye_half=_normal(rng, 15, 0.9),
        eye_tilt=_normal(rng, 1.0, 1.1),
        eye_upper=eye_open * upper - (1 - min(eye_open, 1)) * lower * 0.75,
        eye_lower=lower * (0.75 + 0.25 * min(eye_open, 1)) - 0.9 * max(smile, 0) * eye_open,
        eye_open=eye_open,
        gaze=(_normal(rng, 0, 1.8), _normal(rng, 0, 0.8)),
        brow_y=_normal(rng, -19, 1.5) - raised,
        brow_arch=_normal(rng, 5.5, 1.5) + 0.4 * raised,
        brow_thick=_normal(rng, 6.5, 1.4),
        brow_inner=_normal(rng, 12, 1.6),
        brow_outer=_normal(rng, 54, 1.8),
        brow_tilt=_normal(rng, 1.0, 1.8),
        nose_y=nose_y,
        nose_half=_normal(rng, 17, 1.7) + 1.2 * max(smile, 0),
        nose_tip=_normal(rng, 20, 2.2),
        nose_bridge=_normal(rng, 6.5, 1.4),
        nose_hump=_normal(rng, 0, 1.2),
        mouth_y=mouth_y,
        mouth_half=_normal(rng, 25, 1.8) + 4.5 * smile - 0.14 * opening,
        lip_upper=_normal(rng, 7.6, 1.5) - 1.3 * max(smile, 0),
        lip_lower=_normal(rng, 10, 1.7) - 1.0 * max(smile, 0),
        lip_bow=_normal(rng, 0.2, 0.08),
        smile=smile,
        opening=opening,
        lean=_normal(rng, 0, 0.6),
    )


def _draw_look(rng: np.random.Generator) -> Look:
    tone = float(rng.beta(1.1, 1.5)) * (len(SKIN) - 1)
    steps = np.arange(len(SKIN))
    rgb = [float(np.interp(tone, steps, [c[k] for c in SKIN])) * rng.uniform(0.97, 1.03) for k in range(3)]
    skin = linear((rgb[0], rgb[1], rgb[2]))
    fair = 1 - tone / (len(SKIN) - 1)
    age = float(rng.beta(1.3, 1.6))
    names = list(HAIR)
    weights = np.array([2.2, 2.2, 2.0 * fair, 1.6 * fair, 1.6 * fair**2, 0.5 * fair**2, 0.7 * fair**2, 1.8, 1.0])
    weights[-2:] *= max(age - 0.45, 0.02) * 2
    hair = linear(HAIR[str(rng.choice(names, p=weights / weights.sum()))]) * np.float32(rng.uniform(0.8, 1.2))
    style = str(rng.choice(HAIR_STYLES, p=[0.06, 0.22, 0.08, 0.16, 0.1, 0.2, 0.1, 0.08]))
    feminine = style.startswith("long") or rng.random() < 0.25
    beard = "none" if feminine else str(rng.choice(["none", "stubble", "goatee", "full"], p=[0.5, 0.26, 0.1, 0.14]))
    makeup = float(rng.uniform(0, 1)) if feminine else 0.0
    pink = np.array([0.62, 0.52, 0.95], np.float32)
    lip = skin * (pink + (1 - fair) * np.array([0.2, 0.18, -0.05], np.float32))
    lip = lip * (1 - 0.6 * makeup) + 0.6 * makeup * linear((rng.uniform(150, 200), rng.uniform(30, 90), 70))
    vivid = [linear((rng.uniform(10, 230), rng.uniform(10, 230), rng.uniform(10, 230))) for _ in range(3)]
    return Look(
        skin=skin,
        redness=float(rng.uniform(0.3, 1.0)),
        age=age,
        freckles=float(rng.uniform(0.3, 1)) if rng.random() < 0.15 * fair else 0.0,
        lip=lip.astype(np.float32),
        hair=hair,
        hair_style=style,
        hair_thick=float(rng.uniform(0.6, 1.4)),
        hair_wave=float(rng.uniform(0, 1)),
        hairline=_normal(rng, 0, 4),
        brow=(hair * 0.6 * (0.5 if hair.mean() > 0.2 else 1.0)).astype(np.float32),
        brow_alpha=float(rng.uniform(0.72, 0.95)),
        iris=linear(EYES[int(np.clip(rng.integers(0, 7) * fair + 0.3, 0, 6))]),
        beard=beard,
        makeup=makeup,
        glasses=str(rng.choice(GLASSES, p=[0.84, 0.12, 0.04])),
        glasses_colour=vivid[0] * np.float32(rng.choice([0.05, 0.4])),
        glasses_round=float(rng.uniform(2, 5)),
        cloth=vivid[1],
        cloth_stripe=vivid[2],
        striped=bool(rng.random() < 0.35),
        collar=float(rng.uniform(12, 26)),
    )


def _draw_view(rng: np.random.Generator) -> View:
    # Mostly frontal, with a tail: a mixture of a narrow and a wide pose.
    wide = rng.random() < 0.3
    yaw = np.clip(rng.normal(0, 24 if wide else 10), -40, 40)
    return View(
        yaw=float(np.radians(yaw)),
        pitch=float(np.radians(np.clip(rng.normal(0, 8), -20, 20))),
        roll=float(np.radians(np.clip(rng.normal(0, 7), -20, 20))),
        distance=float(rng.uniform(550, 1400)),
        fill=float(rng.uniform(0.58, 0.78)),
        shift=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.3, 0.5))),
    )


def _draw_light(rng: np.random.Generator) -> Light:
    azimuth, height = np.radians(np.clip(rng.normal(0, 38), -80, 80)), np.radians(rng.uniform(-5, 60))
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)])
    warm = rng.normal(0, 0.09)
    tint = np.array([1 - warm, 1, 1 + warm], np.float32)
    strength = rng.uniform(0.55, 1.15)
    fill = rng.uniform(0.30, 0.65)
    cool = rng.normal(0, 0.08)
    sky = np.array([1 + cool, 1, 1 - cool], np.float32)
    return Light(
        direction=direction.astype(np.float32),
        key=(tint * strength).astype(np.float32),
        sky=(sky * fill).astype(np.float32),
        ground=(np.array([0.8, 0.95, 1.05], np.float32) * fill * rng.uniform(0.3, 0.75)).astype(np.float32),
        gloss=float(rng.uniform(0.05, 0.35)),
    )
