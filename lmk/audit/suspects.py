"""Human points that are likely gross errors, as a list for a person to look through."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lmk.annotations import AnnotationSet


@dataclass(frozen=True)
class Suspect:
    """One likely error: a point, or all points of an instance that went wrong together."""

    image: str
    instance: int
    split: str
    reason: str
    landmarks: list[str]
    suspicion: float  # mean over its points
    moved: float  # farthest that one of them is moved by, from human to refined, in pixels; 0 outside of train

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def suspects(human: AnnotationSet, refined: AnnotationSet) -> list[Suspect]:
    """Likely gross errors of the human labels, most points and surest first.

    Points of an instance with the same reason are one entry: sides are swapped once, not 58 times.
    """
    if "reason" not in refined.table or refined.table["reason"].isna().all():
        return []
    frame = refined.table[["image", "instance", "landmark", "split", "reason", "suspicion"]].assign(
        moved=np.linalg.norm(refined.points - human.points, axis=-1).ravel()
    )
    names = refined.scheme.names
    found = []
    for _, rows in frame.dropna(subset=["reason"]).groupby(["image", "instance", "reason"], sort=True):
        first = rows.iloc[0]
        found.append(
            Suspect(
                image=str(first["image"]),
                instance=int(first["instance"]),
                split=str(first["split"]),
                reason=str(first["reason"]),
                landmarks=[names[k] for k in rows["landmark"]],
                suspicion=round(float(rows["suspicion"].mean()), 4),
                moved=round(float(rows["moved"].max()), 2),
            )
        )
    return sorted(found, key=lambda one: (-len(one.landmarks), -one.suspicion, one.image, one.instance))


def format_suspects(found: list[Suspect]) -> str:
    """The list for a terminal."""
    if not found:
        return "no human point is likely a gross error, or nobody has looked: refine with consensus"
    wide = max(len(one.image) for one in found)
    lines = [f"{sum(len(one.landmarks) for one in found)} points in {len(found)} places are likely gross errors"]
    for one in found:
        points = ", ".join(one.landmarks[:4]) + (f" … {len(one.landmarks)} in all" if len(one.landmarks) > 4 else "")
        where = f"{one.image:{wide}s} {one.instance}  {one.split:5s}"
        lines.append(f"{where}  {one.suspicion:.2f}  {one.reason:15s}  moved {one.moved:6.1f} px  {points}")
    return "\n".join(lines)
