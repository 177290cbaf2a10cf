"""Instances to look at: a crop of each, where every iteration has its points, and what the search saw of them.

The page wants a thousand of them in one file, so that numbers are packed: positions as 16ths of a crop's pixel in two
bytes, evidence in one byte a number (see `EVIDENCE`), both as base64.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.history.sql import Questions
from lmk.images import crop, read_image
from lmk.kernels.suspicion import REASONS
from lmk.names import AnyFolder, Folder, as_folder
from lmk.scheme import LandmarkScheme

Floats = NDArray[np.float64]
SIDE = 176  # pixels of a crop
SHOWN = 1000  # instances
MOST = 13_500_000  # bytes of pictures and numbers; fewer instances where each needs more
PICTURE = 9_000  # bytes of one, as base64
ROOM = 1.1  # of the box that a crop shows
GONE = -32768
_QUALITIES = (75, 50, 25, 10, 3)  # of a JPEG: the first one that is small enough
# A byte is 0 where nothing is known, else 1 + 254 * value / full, or, for costs, 1 + 12 * log2(value / 1e-4).
EVIDENCE: dict[str, float] = {
    "peak": 1.5, "suspicion": 1.0, "at_edge": 1.0, "reason": 254.0, "spread": 32.0, "error_before": 32.0,
    "error_after": 32.0, "prior_cost": 0.0, "chi2_observed": 0.0, "chi2": 0.0,
}  # fmt: skip
_DECIDED = {
    "accept": "accepted",
    "revert": "taken back to the human label",
    "move": "moved",
    "occlude": "called occluded",
    "remove": "removed",
}
_LENGTHS = ("spread", "error_before", "error_after")  # in pixels of the crop


def gallery(
    questions: Questions,
    scheme: LandmarkScheme,
    names: Sequence[str],
    gates: dict[str, NDArray[Any]],
    images: AnyFolder,
) -> dict[str, Any]:
    """What the page's gallery is made of, and the rule by which its instances were chosen.

    Args:
        questions: the table of all iterations.
        scheme: of the sets.
        names: of the iterations, the human labels first.
        gates: rows of image, instance and landmark of the points that a gate over single points names.
        images: the folder that image names start from.
    """
    each = PICTURE + 4 * scheme.size * len(names) * (4 + len(EVIDENCE)) // 3  # bytes, as base64
    total, chosen = _choose(questions, names[-1], min(SHOWN, MOST // each))
    table = _rows(questions, chosen)
    met = {name: set(map(tuple, rows.tolist())) for name, rows in gates.items()}
    items: list[dict[str, Any]] = []
    for (image, instance), rows in table.groupby(["image", "instance"], sort=False):
        item = _item(rows, scheme, names, as_folder(images))
        for name, points in met.items():
            item["gates"][name] = [k for k in range(scheme.size) if (image, instance, k) in points]
        items.append(item)
    return {
        "iterations": list(names),
        "names": list(scheme.names),
        "contours": [list(contour) for contour in scheme.contours],
        "neighbours": scheme.neighbours.tolist(),
        "side": SIDE,
        "evidence": list(EVIDENCE.items()),
        "reasons": list(REASONS),
        "gates": list(gates),
        "total": total,
        "items": items,
    }


def _choose(questions: Questions, last: str, shown: int) -> tuple[int, pd.DataFrame]:
    """How many instances there is something to see in, and those that are shown, in the order in which they matter.

    Of more than can be shown, two in five are those that moved farthest, one in five those that are suspected most,
    and the others are drawn at random.
    """
    table = questions.ask(
        """
        SELECT image, instance, max(percent) AS moved, coalesce(max(suspicion), 0) AS suspected
        FROM points WHERE iteration = ? AND drift IS NOT NULL
        GROUP BY image, instance HAVING max(drift) > 0 OR max(suspicion) >= 0.5 ORDER BY moved DESC, image, instance
        """,
        [last],
    )
    if len(table) <= shown:
        return len(table), table
    far = table.index[: 2 * shown // 5]
    doubtful = table.drop(far).sort_values("suspected", ascending=False, kind="stable").index[: shown // 5]
    rest = table.drop(far).drop(doubtful)
    others = np.random.default_rng(0).choice(rest.index, shown - len(far) - len(doubtful), replace=False)
    return len(table), table.loc[sorted([*far, *doubtful, *others.tolist()])]


def rule(total: int, shown: int) -> str:
    """Which instances the page shows, for its reader."""
    if shown == total:
        return f"All {total:,} instances in which a point moved or is likely a gross error."
    return (
        f"{shown:,} of {total:,} instances in which a point moved or is likely a gross error: two of five are those "
        "that moved farthest, one of five those that are suspected most, and the others were drawn at random."
    )


def _rows(questions: Questions, chosen: pd.DataFrame) -> pd.DataFrame:
    """All points of the chosen instances in all iterations, instances in the order chosen."""
    if not len(chosen):
        return pd.DataFrame(columns=["image", "instance"])
    wanted = ", ".join(EVIDENCE)
    return questions.ask(
        f"""
        WITH chosen AS (
            SELECT unnest(?::VARCHAR[]) AS image, unnest(?::INTEGER[]) AS instance, unnest(?::INTEGER[]) AS place
        )
        SELECT place, image, instance, landmark, p.iteration, p.x, p.y, p.human_x, p.human_y, box,
               p."split", annotator, source,
               {wanted}, CASE WHEN rule NOT IN ('refined', 'human') THEN rule END AS decided, l.decided_by, l.why
        FROM points AS p JOIN chosen USING (image, instance)
        JOIN labels AS l USING (image, instance, landmark)
        ORDER BY place, p.iteration, landmark
        """,
        [chosen["image"].tolist(), chosen["instance"].tolist(), list(range(len(chosen)))],
    )


def _item(rows: pd.DataFrame, scheme: LandmarkScheme, names: Sequence[str], images: Folder) -> dict[str, Any]:
    first = rows.iloc[0]
    positions = rows[["x", "y", "human_x", "human_y"]].to_numpy(np.float64).reshape(-1, 2, 2)
    positions = positions[np.isfinite(positions).all(2)]
    # The crop shows the box, and all points that were moved out of it.
    middle = (positions.min(0) + positions.max(0)) / 2
    side = max(float(first["box"]) * ROOM, 1.05 * float(np.ptp(positions, axis=0).max()), 4.0)
    corner = middle - side / 2
    picture = crop(read_image(images.file(str(first["image"]))), np.array([*corner, side]), SIDE)
    scale = SIDE / side
    place = {name: number for number, name in enumerate(names)}
    number, landmark = rows["iteration"].map(place).to_numpy(), rows["landmark"].to_numpy()
    points = np.full((len(names), scheme.size, 2), GONE, np.int16)
    inside = (rows[["x", "y"]].to_numpy(np.float64) - corner) * scale * 16
    points[number, landmark] = np.clip(np.round(inside), GONE + 1, 32767)
    evidence = np.zeros((len(names), scheme.size, len(EVIDENCE)), np.uint8)
    for column, (name, full) in enumerate(EVIDENCE.items()):
        evidence[number, landmark, column] = _bytes(rows[name], name, full, scale)
    decided = rows[(rows["iteration"] == names[-1]) & rows["decided"].notna()]
    text = {key: None if pd.isna(first[key]) else str(first[key]) for key in ("split", "annotator", "source")}
    return {
        "image": str(first["image"]),
        "instance": int(first["instance"]),
        **text,
        "scale": round(scale, 5),
        "box": round(float(first["box"]), 3),
        "src": "data:image/jpeg;base64," + _jpeg(picture),
        "points": base64.b64encode(points.tobytes()).decode("ascii"),
        "evidence": base64.b64encode(evidence.tobytes()).decode("ascii"),
        "decided": {
            int(k): " ".join([_DECIDED[what], "by", str(who), *([f"({why})"] if isinstance(why, str) else [])])
            for k, what, who, why in zip(
                decided["landmark"], decided["decided"], decided["decided_by"], decided["why"], strict=True
            )
        },
        "gates": {},
    }


def _jpeg(picture: NDArray[np.uint8]) -> str:
    text = ""
    for quality in _QUALITIES:
        parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
        done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), parameters)
        assert done, "OpenCV has JPEG built in"
        text = base64.b64encode(data.tobytes()).decode("ascii")
        if len(text) <= PICTURE:
            break
    return text


def _bytes(column: pd.Series[Any], name: str, full: float, scale: float) -> NDArray[np.uint8]:
    known = {reason: number for number, reason in enumerate(REASONS)}
    numbers = column.map(known).fillna(0) if name == "reason" else column
    values = np.asarray(numbers.to_numpy(np.float64, na_value=np.nan))
    if name in _LENGTHS:
        values = values * scale
    coded = 1 + (254 * values / full if full else 12 * np.log2(np.maximum(values, 1e-4) / 1e-4))
    return np.where(np.isfinite(coded), np.clip(np.round(coded), 1, 255), 0).astype(np.uint8)
