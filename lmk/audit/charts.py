"""Geometry of the report's drawings, as numbers that the template puts into SVG; colours are the style sheet's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.audit.drift import UNIT
from lmk.scheme import LandmarkScheme

Floats = NDArray[np.float64]
SHADES = 5  # steps of the colour scale; the style sheet has as many
_WIDTH, _HEIGHT = 380, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 40, 10, 28
_MAP = 620  # longer side of the shape, without its border
_BORDER = 26


@dataclass(frozen=True)
class Line:
    """One series: its name, its class in the style sheet, and its dots as (x, y, what to say)."""

    name: str
    style: str
    dots: list[tuple[float, float, str]]
    label_y: float  # of its name, at the right end

    @property
    def path(self) -> str:
        """The polyline's points."""
        return " ".join(f"{x},{y}" for x, y, _ in self.dots)


@dataclass(frozen=True)
class LineChart:
    """A small chart with one place on the x axis per iteration."""

    title: str
    lines: list[Line]
    ticks: list[tuple[float, str]]  # y and its label
    places: list[tuple[float, str]]  # x and its label
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    bottom: int = _HEIGHT - _BOTTOM


def line_chart(
    title: str, names: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str, top: float
) -> LineChart:
    """Draw values over iterations.

    Args:
        title: what is drawn.
        names: of the iterations, left to right.
        series: value per iteration, None where there is none; at most four series.
        unit: behind every value.
        top: value at the upper end of the axis at least; charts beside each other share it.
    """
    step = _nice_step(top)
    end = step * max(1, math.ceil(top / step - 1e-9))
    high, wide = _HEIGHT - _TOP - _BOTTOM, _WIDTH - _LEFT - _RIGHT

    def x(place: int) -> float:
        return round(_LEFT + wide * (place + 0.5) / len(names), 1)

    def y(value: float) -> float:
        return round(_TOP + high * (1 - value / end), 1)

    lines = []
    for number, (name, values) in enumerate(series.items()):
        there = [(place, value) for place, value in enumerate(values) if value is not None]
        if there:
            dots = [(x(place), y(value), f"{names[place]}: {name} {value:.3g} {unit}") for place, value in there]
            lines.append(Line(name, f"s{number}", dots, dots[-1][1]))
    ticks = [(y(step * k), f"{step * k:g}") for k in range(round(end / step) + 1)]
    return LineChart(title, _apart(lines), ticks, [(x(place), name) for place, name in enumerate(names)])


def _apart(lines: list[Line]) -> list[Line]:
    """Move the names at the lines' ends up so that they cover neither each other nor the axis."""
    placed: list[Line] = []
    highest = float(_HEIGHT - _BOTTOM - 6)
    for line in sorted(lines, key=lambda line: -line.label_y):
        y = round(min(line.label_y, highest), 1)
        placed.append(replace(line, label_y=y))
        highest = y - 13
    return placed


def _nice_step(top: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts the axis into four to nine parts or so."""
    rough = max(top, 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= rough * (1 + 1e-9))


@dataclass(frozen=True)
class Dot:
    """A landmark on the mean shape."""

    x: float
    y: float
    r: float
    shade: int
    title: str


@dataclass(frozen=True)
class ShapeMap:
    """The mean shape with one dot per landmark, larger and darker where labels moved more."""

    width: int
    height: int
    contours: list[str]
    dots: list[Dot]
    scale: list[str]  # what each shade means


def shape_map(mean: Floats, scheme: LandmarkScheme, rows: Sequence[Mapping[str, Any]]) -> ShapeMap:
    """Draw drift by landmark on the mean shape, (K, 2) from `mean_shape`; rows as `drift.by_landmark` gives them."""
    place = np.round(mean * _MAP + _BORDER, 1)
    drift = np.array([row["px"]["mean"] for row in rows])
    edges = _shade_edges(drift)
    # Dots of dense schemes must not bury each other.
    largest = min(17.0, 100 / math.sqrt(scheme.size) + 2)
    dots = []
    for row, value in zip(rows, drift, strict=True):
        x, y = place[row["landmark"]]
        if np.isfinite(x):
            radius = round(max(2.5, largest * value / max(drift.max(), UNIT)), 1)
            dots.append(Dot(float(x), float(y), radius, int(np.searchsorted(edges, value)), dot_title(row)))
    bounds = [0.0, *edges, float(drift.max()) if len(drift) else 0.0]
    extent = np.nanmax(place, axis=0) + _BORDER
    return ShapeMap(
        width=math.ceil(extent[0]),
        height=math.ceil(extent[1]),
        contours=[
            " ".join(f"{x},{y}" for x, y in place[list(contour)] if np.isfinite(x)) for contour in scheme.contours
        ],
        dots=sorted(dots, key=lambda dot: -dot.r),
        scale=[f"{low:.2f} to {high:.2f}" for low, high in pairwise(bounds)],
    )


def _shade_edges(drift: Floats) -> Floats:
    """Four values between the smallest and the largest, equally far apart."""
    if not len(drift):
        return np.zeros(SHADES - 1)
    return np.linspace(drift.min(), drift.max(), SHADES + 1)[1:-1]


def dot_title(row: Mapping[str, Any]) -> str:
    """What a dot says when pointed at."""
    parts = [f"{row['landmark']} {row['name']}: mean {row['px']['mean']:.2f} px, p95 {row['px']['p95']:.2f} px"]
    if row["along"]:
        parts.append(f"along {row['along']['mean']:.2f}, across {row['across']['mean']:.2f} px")
    return "; ".join(parts)
