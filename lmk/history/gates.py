"""Gates: conditions in SQL that labels must not meet.

A condition over the columns of one point (`percent > 25`) is met when any point of the last iteration meets it; one
over all of them (`avg(percent) > 4`) when it is true of them; a whole SELECT when the first cell of its answer is true.
Single points are those that the iteration searched or moved; a condition over all points is about those that the
audit's numbers count, without instances whose sides were exchanged (`findings` counts these).  Points that somebody has
decided on do not count: a person has looked.

A condition that is null has not been judged: the columns that it reads are empty.  Such a gate neither holds nor is it
broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lmk.errors import GateBroken, QueryError
from lmk.history.sql import Questions, condition

_SINGLE = "iteration = ? AND searched AND NOT decided"
_ALL = "iteration = ? AND counted AND NOT decided"
_WHOLE = re.compile(r"[\s(]*(select|with|from)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What a gate says."""

    name: str
    condition: str
    broken: bool
    points: int | None  # that meet a condition over single points
    unjudged: str | None = None  # why it could not be judged

    @property
    def state(self) -> str:
        """In a word or two."""
        return "broken" if self.broken else "not judged" if self.unjudged else "holds"

    def as_json(self) -> dict[str, Any]:
        """For programs; `unjudged` is there only where it says something."""
        written = {"name": self.name, "condition": self.condition, "broken": self.broken, "points": self.points}
        return {**written, "unjudged": self.unjudged} if self.unjudged else written

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Verdict:
        """From what `as_json` gave."""
        return cls(**written)

    def __str__(self) -> str:
        gate = "gate" if self.name == self.condition else f"gate {self.name}"
        if self.unjudged:
            return f"{gate} could not be judged: {self.unjudged}"
        if not self.broken:
            return f"{gate} holds: {self.condition}"
        return f"{gate} broken: {self.condition}" + (f" ({self.points} points)" if self.points else "")


def judge(questions: Questions, gates: Mapping[str, str], iteration: str) -> list[Verdict]:
    """Ask every gate about an iteration's points, as far as it looked at them."""
    return [_judge(questions, name, text, iteration) for name, text in gates.items()]


def _judge(questions: Questions, name: str, text: str, iteration: str) -> Verdict:
    try:
        points: int | None = None
        met: Any = False
        if _WHOLE.match(text):
            rows = questions.rows(text, said=text, most=1)
            met = rows[0][0] if rows and rows[0] else False
        elif over_all_points(questions, text):
            rows = questions.rows(f"SELECT {condition(text)} FROM points WHERE {_ALL}", [iteration], text)
            known = [value for (value,) in rows if value is not None]
            met = any(known) if known else None
        else:
            met_by = f"SELECT landmark, {condition(text)} AS met FROM points WHERE {_SINGLE}"
            [(asked, judged, points)] = questions.rows(
                f"SELECT count(*), count(met), count(*) FILTER (WHERE met) FROM ({met_by})", [iteration], text
            )
            met = bool(points) if judged or not asked else None
        if met is None:
            return Verdict(name, text, False, None, _why_null(questions, text, iteration))
        return Verdict(name, text, bool(met), points)
    except QueryError as mistake:
        raise QueryError(str(mistake) if name == text else f"gate {name}: {mistake}") from mistake


def over_all_points(questions: Questions, text: str) -> bool:
    """Whether a condition is about all points at once: of no points at all, such a one still gives an answer."""
    try:
        return bool(questions.rows(f"SELECT {condition(text)} FROM points WHERE false", said=text))
    except QueryError as mistake:
        each = ", ".join(f'"{name}"' for name in _columns(questions))
        try:  # with a group for each value of every column, columns may stand beside aggregates
            questions.rows(f"SELECT {condition(text)} FROM points WHERE false GROUP BY {each}", said=text)
        except QueryError:
            raise mistake from None
        raise QueryError(
            f"{text}: about single points and about all of them at once; put every column into an aggregate, as in "
            "avg(drift) > 2 * median(step), or compare each point with a window, as in drift > 2 * avg(drift) OVER ()"
        ) from mistake


def _why_null(questions: Questions, text: str, iteration: str) -> str:
    """Why a condition says nothing, in words: the columns in it that have no value."""
    named = [name for name in _columns(questions) if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)]
    counts = ", ".join(["count(*)", *(f'count("{name}")' for name in named)])
    [(points, *known)] = questions.rows(f"SELECT {counts} FROM points WHERE {_SINGLE}", [iteration])
    if not points:
        return f"no point of {iteration} was searched and is still undecided"
    empty = [name for name, count in zip(named, known, strict=True) if not count]
    if empty:
        return f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty in {iteration}"
    return f"its condition is null in {iteration}: {text}"


def _columns(questions: Questions) -> list[str]:
    return [str(name) for name in questions.ask("SELECT * FROM points WHERE false")]


def points_of(questions: Questions, text: str, iteration: str) -> NDArray[Any]:
    """Rows of image, instance and landmark: the points that meet a condition over single points."""
    all_of_them = f"SELECT image, instance, landmark, {condition(text)} AS met FROM points WHERE {_SINGLE}"
    rows = questions.ask(f"SELECT image, instance, landmark FROM ({all_of_them}) WHERE met", [iteration], text)
    return rows.to_numpy(object)


def stop_if_broken(verdicts: Sequence[Verdict]) -> None:
    """Raise GateBroken with a line for each gate that says no."""
    said = [str(verdict) for verdict in verdicts if verdict.broken]
    if said:
        raise GateBroken("\nlmk: ".join(said))


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many gates hold, and how many could not be judged."""
    hold = sum(verdict.state == "holds" for verdict in verdicts)
    unjudged = sum(verdict.state == "not judged" for verdict in verdicts)
    said = "1 gate holds" if hold == 1 else f"{hold} gates hold"
    return f"{said}, {unjudged} could not be judged" if unjudged else said
