"""Gates: conditions in SQL that labels must not meet.

A condition over the columns of one point (`percent > 25`) is met when any point of the last iteration meets it; one
over all of them (`avg(percent) > 4`) when it is true of them; a whole SELECT when the first cell of its answer is true.
Points that somebody has decided on do not count: a person has looked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from lmk.errors import GateBroken, QueryError
from lmk.history.sql import Questions, condition

_WHERE = "iteration = ? AND searched AND NOT decided"
_WHOLE = re.compile(r"[\s(]*(select|with|from)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What a gate says."""

    name: str
    condition: str
    broken: bool
    points: int | None  # that meet a condition over single points

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    def __str__(self) -> str:
        gate = "gate" if self.name == self.condition else f"gate {self.name}"
        if not self.broken:
            return f"{gate} holds: {self.condition}"
        return f"{gate} broken: {self.condition}" + (f" ({self.points} points)" if self.points else "")


def judge(questions: Questions, gates: Mapping[str, str], iteration: str) -> list[Verdict]:
    """Ask every gate about an iteration's points, as far as it looked at them."""
    return [_judge(questions, name, text, iteration) for name, text in gates.items()]


def _judge(questions: Questions, name: str, text: str, iteration: str) -> Verdict:
    try:
        if _WHOLE.match(text):
            rows = questions.rows(text)
            return Verdict(name, text, bool(rows and rows[0] and rows[0][0]), None)
        try:
            # With a column beside it, a condition over all points is an error, which names the aggregate.
            met_by = f"SELECT landmark, {condition(text)} AS met FROM points WHERE {_WHERE}"
            [(count,)] = questions.rows(f"SELECT count(*) FROM ({met_by}) WHERE met", [iteration], text)
            return Verdict(name, text, count > 0, int(count))
        except QueryError as mistake:
            if "aggregate" not in str(mistake):
                raise
        [(met,)] = questions.rows(f"SELECT {condition(text)} FROM points WHERE {_WHERE}", [iteration], text)
        return Verdict(name, text, bool(met), None)
    except QueryError as mistake:
        raise QueryError(str(mistake) if name == text else f"gate {name}: {mistake}") from mistake


def points_of(questions: Questions, text: str, iteration: str) -> NDArray[Any]:
    """Rows of image, instance and landmark: the points that meet a condition over single points."""
    all_of_them = f"SELECT image, instance, landmark, {condition(text)} AS met FROM points WHERE {_WHERE}"
    rows = questions.ask(f"SELECT image, instance, landmark FROM ({all_of_them}) WHERE met", [iteration], text)
    return rows.to_numpy(object)


def stop_if_broken(verdicts: Sequence[Verdict]) -> None:
    """Raise GateBroken with a line for each gate that says no."""
    said = [str(verdict) for verdict in verdicts if verdict.broken]
    if said:
        raise GateBroken("\nlmk: ".join(said))
