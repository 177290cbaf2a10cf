"""The largest moves as small pictures: where the human put the point, where it went, and what the search saw."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.audit.drift import Paired, evidence_of, paired
from lmk.images import crop, read_image

Floats = NDArray[np.float64]
SIDE = 256  # pixels of a picture, about what it is shown at
COUNT = 24
PER_INSTANCE = 3  # a mirrored or shifted instance would fill the page with itself
_PART = 1 / 3  # of the box that a picture shows
_SHOWN = ("chi2", "chi2_observed", "peak", "at_edge")
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 82]


@dataclass(frozen=True)
class Picture:
    """One move; positions are pixels of the picture."""

    source: str  # data: URI
    human: tuple[float, float]
    refined: tuple[float, float]
    contours: list[str]  # of the refined labels, as points of polylines
    image: str
    instance: int
    landmark: int
    name: str
    px: float
    percent: float  # of the box
    along: float | None
    across: float | None
    evidence: str


@dataclass(frozen=True)
class Trail:
    """Where one iteration put the points, and why."""

    rows: NDArray[np.int64]  # (M,) instances of the first set, ascending
    points: Floats  # (M, K, 2)
    evidence: dict[str, Floats]  # (M, K) each


def largest_moves(sets: Mapping[str, AnnotationSet], counts: NDArray[np.bool_], images: Path) -> list[Picture]:
    """Draw the moves from the first to the last set that are largest for the size of their box.

    Args:
        sets: by name, all with the instances of the first.
        counts: (M, K) which points of the instances that first and last set share may be shown.
        images: the folder that image names start from.
    """
    names = list(sets)
    pairs = paired(sets[names[0]], sets[names[-1]])
    share = np.where(counts, pairs.px / pairs.first.boxes[pairs.rows, 2:], np.nan)
    trails = _trails({name: paired(pairs.first, labels) for name, labels in sets.items()})
    chosen = _choose(share)
    pictures = {}
    for row in sorted({row for row, _ in chosen}):  # each image is read once, and one at a time
        image = read_image(images / str(pairs.first.instances["image"].iloc[int(pairs.rows[row])]))
        for place in chosen:
            if place[0] == row:
                pictures[place] = _draw(
                    image, pairs, *place, evidence=_evidence(trails, int(pairs.rows[row]), place[1])
                )
    return [pictures[place] for place in chosen]


def _choose(share: Floats) -> list[tuple[int, int]]:
    """(row, landmark) of the largest values, of one row a few at most unless there are too few rows; largest first."""
    order = np.argsort(np.where(np.isfinite(share), -share, np.inf), axis=None, kind="stable")
    taken: dict[int, int] = {}
    first: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for flat in order:
        row, landmark = divmod(int(flat), share.shape[1])
        if len(first) == COUNT or not share[row, landmark] > 0:
            break
        taken[row] = taken.get(row, 0) + 1
        (first if taken[row] <= PER_INSTANCE else rest).append((row, landmark))
    return sorted((first + rest)[:COUNT], key=lambda place: (-share[place], place))


def _draw(image: NDArray[np.uint8], pairs: Paired, row: int, landmark: int, evidence: str) -> Picture:
    first, second = pairs.rows[row], pairs.others[row]
    points = pairs.second.points[second]
    human, refined = pairs.first.points[first, landmark], points[landmark]
    px, box = float(pairs.px[row, landmark]), float(pairs.first.boxes[first, 2])
    side = max(box * _PART, 1.7 * px, 4.0)
    corner = (human + refined) / 2 - side / 2
    cut = crop(image, np.array([*corner, side]), SIDE)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR), _JPEG)
    assert done, "OpenCV has JPEG built in"

    def inside(position: Floats) -> tuple[float, float]:
        x, y = np.round((position - corner) / side * SIDE, 1)
        return float(x), float(y)

    along, across = float(pairs.along[row, landmark]), float(pairs.across[row, landmark])
    instance = pairs.first.instances.iloc[int(first)]
    return Picture(
        source="data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii"),
        human=inside(human),
        refined=inside(refined),
        contours=[
            " ".join("{},{}".format(*inside(points[k])) for k in contour if np.isfinite(points[k]).all())
            for contour in pairs.first.scheme.contours
        ],
        image=str(instance["image"]),
        instance=int(instance["instance"]),
        landmark=landmark,
        name=pairs.first.scheme.names[landmark],
        px=px,
        percent=100 * px / box,
        along=abs(along) if np.isfinite(along) else None,
        across=abs(across) if np.isfinite(across) else None,
        evidence=evidence,
    )


def _trails(pairs: Mapping[str, Paired]) -> dict[str, Trail]:
    return {
        name: Trail(
            pair.rows,
            pair.second.points[pair.others],
            {column: evidence_of(pair.second, column)[pair.others] for column in _SHOWN},
        )
        for name, pair in pairs.items()
    }


def _evidence(trails: Mapping[str, Trail], instance: int, landmark: int) -> str:
    """What the search saw when it moved the point furthest, in words."""
    best, size, found = "", -1.0, {}
    before: Floats | None = None
    for name, trail in trails.items():
        row = int(np.searchsorted(trail.rows, instance))
        if row == len(trail.rows) or trail.rows[row] != instance:
            continue
        point = trail.points[row, landmark]
        step = -1.0 if before is None else float(np.hypot(*(point - before)))
        if step > size:
            best, size = name, step
            found = {column: float(values[row, landmark]) for column, values in trail.evidence.items()}
        before = point
    if not np.isfinite(found.get("chi2", np.nan)):
        return "no evidence was kept"
    edge = "stopped at the edge of its window" if found["at_edge"] > 0 else "inside its window"
    return f"{best}: chi² {found['chi2_observed']:.3g} → {found['chi2']:.3g}, heatmap peak {found['peak']:.2f}, {edge}"
