"""How human annotators miss the truth: sliding along contours, rare gross errors, habits.

A point on a contour is missed far more along it than across it, with heavy tails: Student-t with
five degrees of freedom, scaled to the standard deviations below.  Corners (of the eyes, of the mouth, tip and middle of
the nose) are points in their own right and are missed equally in all directions, as are points on no contour.  Around
3 % of the points are gross errors, in events of three kinds:

- swap: the whole face is annotated with left and right exchanged;
- shift: one contour is moved as a whole by several per cent of the image;
- slip: the points of one contour sit one place further along it, or a single point sits at its neighbour's place.

A whole contour that slips puts its last point one step beyond its end.  Points are clipped to the image's outermost
pixel centres, [0, size - 1].  All lengths are shares of the image's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmk.errors import UnknownName
from lmk.kernels.frames import across
from lmk.scheme import LandmarkScheme

Array = NDArray[np.float64]

CORNERS = {"ibug68": (30, 33, 36, 39, 42, 45, 48, 54, 60, 64)}
ANNOTATORS = 8
SWAP, SHIFT, SLIP = "swap", "shift", "slip"
_SWAPPED, _SHIFTED, _SLIPPED, _SLIPPED_ALONE = 0.007, 0.010, 0.008, 0.005  # shares of all points; 3 % together
_SHIFT_RANGE = 0.04, 0.09
_DEGREES = 5


@dataclass(frozen=True)
class NoiseModel:
    """One way of missing; standard deviations as shares of the image's width."""

    along: float
    across: float
    corner: float  # in both directions, Gaussian
    slide: float  # constant per annotator and contour, along it; 0 is no annotators
    gross: bool


NOISES: dict[str, NoiseModel] = {
    "none": NoiseModel(along=0, across=0, corner=0, slide=0, gross=False),
    "default": NoiseModel(along=0.025, across=0.006, corner=0.006, slide=0, gross=True),
    "half": NoiseModel(along=0.0125, across=0.003, corner=0.003, slide=0, gross=True),
    "double": NoiseModel(along=0.05, across=0.012, corner=0.012, slide=0, gross=True),
    "default-clean": NoiseModel(along=0.025, across=0.006, corner=0.006, slide=0, gross=False),
    "careful": NoiseModel(along=0.002, across=0.0005, corner=0.0005, slide=0, gross=False),
    "annotators": NoiseModel(along=0.025, across=0.006, corner=0.006, slide=0.015, gross=True),
    "annotators-clean": NoiseModel(along=0.025, across=0.006, corner=0.006, slide=0.015, gross=False),
}


@dataclass(frozen=True)
class Annotation:
    """What one annotator clicked, and what went wrong with each point."""

    points: Array  # (K, 2)
    gross: list[str]  # per point: "", "swap", "shift" or "slip"
    annotator: str | None


def annotate(face_points: Array, size: int, scheme: LandmarkScheme, noise: str, seed: int, index: int) -> Annotation:
    """Annotate the true points (K, 2) of image `index`; the same arguments give the same clicks."""
    if noise not in NOISES:
        raise UnknownName("noise", noise, NOISES)
    model = NOISES[noise]
    rng = np.random.default_rng([seed, index, 101])
    truth = np.asarray(face_points, np.float64) / size
    annotator = int(rng.integers(ANNOTATORS)) if model.slide else None
    clicked = truth + _scatter(truth, scheme, model, rng)
    if annotator is not None:
        clicked += habit(truth, scheme, slides(scheme, seed, model.slide)[annotator])
    gross = [""] * scheme.size
    if model.gross:
        clicked, gross = _blunder(clicked, scheme, rng)
    points = np.clip(clicked * size, 0, size - 1) if noise != "none" else truth * size
    return Annotation(points, gross, None if annotator is None else annotator_name(annotator))


def annotator_name(number: int) -> str:
    """The id that is written beside an image."""
    return f"annotator-{number + 1}"


def slides(scheme: LandmarkScheme, seed: int, spread: float) -> Array:
    """(ANNOTATORS, contours) how far each annotator slides along each contour, in shares of the width."""
    rng = np.random.default_rng([seed, 102])
    return np.asarray(rng.normal(0, spread, (ANNOTATORS, len(scheme.contours))))


def contour_of(scheme: LandmarkScheme) -> NDArray[np.int64]:
    """(K,) the first contour that each point is on, -1 for none."""
    found = np.full(scheme.size, -1)
    for number in reversed(range(len(scheme.contours))):
        found[list(scheme.contours[number])] = number
    return found


def _is_corner(scheme: LandmarkScheme) -> NDArray[np.bool_]:
    corner = np.zeros(scheme.size, bool)
    corner[list(CORNERS.get(scheme.name, ()))] = True
    return corner


def _frames(truth: Array, scheme: LandmarkScheme) -> tuple[Array, NDArray[np.bool_]]:
    """(K, 2) unit vectors along the contour, and which points have one (corners have none)."""
    along = scheme.tangents(truth)
    has = np.isfinite(along).all(-1) & ~_is_corner(scheme)
    return np.where(has[:, None], along, 0.0), has


def _scatter(truth: Array, scheme: LandmarkScheme, model: NoiseModel, rng: np.random.Generator) -> Array:
    """(K, 2) fresh noise of every point."""
    along, has = _frames(truth, scheme)
    # A Student-t with n degrees of freedom has variance n / (n - 2).
    heavy = rng.standard_t(_DEGREES, (scheme.size, 2)) / np.sqrt(_DEGREES / (_DEGREES - 2))
    round_ = rng.standard_normal((scheme.size, 2)) * model.corner
    on_contour = model.along * heavy[:, :1] * along + model.across * heavy[:, 1:] * across(along)
    return np.where(has[:, None], on_contour, round_)


def habit(truth: Array, scheme: LandmarkScheme, slide: Array) -> Array:
    """(K, 2) the constant slide of one annotator; `slide` is (contours,)."""
    along, _ = _frames(truth, scheme)
    contour = contour_of(scheme)
    return np.where(contour >= 0, slide[contour], 0.0)[:, None] * along


def _blunder(clicked: Array, scheme: LandmarkScheme, rng: np.random.Generator) -> tuple[Array, list[str]]:
    """Add gross errors: at most one event for a point."""
    gross = np.full(scheme.size, "", object)
    result = clicked.copy()
    moved = scheme.flip != np.arange(scheme.size)
    if moved.any() and rng.random() < _SWAPPED * scheme.size / moved.sum():
        gross[moved] = SWAP
        return clicked[scheme.flip], gross.tolist()
    alone = rng.random(scheme.size) < _SLIPPED_ALONE
    for points, closed in scheme.chains:
        chain = list(points)
        # An event takes a whole contour, so the share of contours is the share of points.
        event = rng.random()
        step = int(rng.choice([-1, 1]))
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(*_SHIFT_RANGE)
        if event < _SHIFTED:
            result[chain] += reach * np.array([np.cos(angle), np.sin(angle)])
            gross[chain] = SHIFT
        elif event < _SHIFTED + _SLIPPED:
            result[chain] = _slipped(clicked[chain], step, closed)
            gross[chain] = SLIP
        else:
            single = [place for place, point in enumerate(chain) if alone[point] and not gross[point]]
            result[[chain[place] for place in single]] = _slipped(clicked[chain], step, closed)[single]
            gross[[chain[place] for place in single]] = SLIP
    return result, gross.tolist()


def _slipped(points: Array, step: int, closed: bool) -> Array:
    """Each point at the place of its neighbour; beyond an open end, one more step of the same length."""
    if closed:
        return np.roll(points, -step, axis=0)
    before, after = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    line = np.concatenate([before, points, after])
    return line[1 + step : 1 + step + len(points)]
