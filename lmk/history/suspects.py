"""Human points that are likely gross errors, as a list for a person to look through."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lmk.history.sql import Questions


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


def suspects(questions: Questions, iteration: str) -> list[Suspect]:
    """Likely gross errors of the human labels as an iteration sees them, most points and surest first.

    Points of an instance with the same reason are one entry: sides are swapped once, not 58 times.
    """
    rows = questions.rows(
        """
        SELECT image, instance, "split", reason, list(name ORDER BY landmark), round(avg(suspicion), 4) AS sure,
               coalesce(round(max(drift), 2), 0)
        FROM points WHERE iteration = ? AND reason IS NOT NULL AND suspicion IS NOT NULL
        GROUP BY image, instance, "split", reason ORDER BY count(*) DESC, sure DESC, image, instance, reason
        """,
        [iteration],
    )
    return [Suspect(*row) for row in rows]


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
