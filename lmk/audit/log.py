"""What `lmk log` says: who made each iteration from what, and how far its points lie from the human labels.

The drift is that of `lmk audit`: the same table is asked, of the points that it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmk.audit.numbers import of_iteration
from lmk.audit.results import Numbers
from lmk.history.sql import Questions, asking
from lmk.provenance import Provenance
from lmk.store import read_header
from lmk.workspace import Workspace


@dataclass(frozen=True)
class LogRow:
    """One iteration; `drift` is None for the human labels."""

    name: str
    provenance: Provenance
    instances: int
    points: int  # that are labelled
    drift: Numbers | None
    moved: int | None  # how many of the points that count lie more than 1/64 px from the human label

    def as_json(self) -> dict[str, Any]:
        """For programs; px and percent_of_box are of the drift, None where no point counts."""
        known, drift = self.provenance, self.drift
        return {
            "name": self.name,
            "parent": known.made_from,
            "producer": known.producer,
            "refiner": known.refiner,
            "stopped": known.stopped,
            "memorised": known.memorised,
            "parameters": dict(known.parameters),
            "instances": self.instances,
            "points": self.points,
            "searched": drift and drift.points,
            "moved": self.moved,
            "px": {"mean": drift.mean, "p95": drift.p95} if drift and drift.points else None,
            "percent_of_box": {"mean": drift.percent, "p95": drift.percent_p95} if drift and drift.points else None,
            "at_edge": drift and drift.at_edge,
        }


def log_rows(paths: Workspace, names: Sequence[str] | None = None) -> list[LogRow]:
    """One row an iteration, of those that are named or of all that are there; the human labels come first."""
    names = list(paths.files()) if names is None else names
    with asking(paths, names) as questions:
        return [_row(questions, paths, name, first=name == names[0]) for name in names]


def _row(questions: Questions, paths: Workspace, name: str, *, first: bool) -> LogRow:
    known = Provenance.of(read_header(paths.annotations(name))[2])
    [(instances, points)] = questions.rows(
        "SELECT count(*), coalesce(sum(points), 0)::BIGINT FROM instances WHERE iteration = ?", [name]
    )
    if first:
        return LogRow(name, known, instances, points, None, None)
    [(moved,)] = questions.rows("SELECT count(*) FROM points WHERE iteration = ? AND counted AND NOT unchanged", [name])
    return LogRow(name, known, instances, points, of_iteration(questions, name), moved)


def format_log(rows: Sequence[LogRow]) -> str:
    """The log for a terminal; parameters that differ from the row before come last."""
    lines = [
        "drift of the searched points against the first set, in pixels and in % of the box",
        f"{'name':6s}{'parent':8s}{'instances':>9s}{'points':>9s}{'moved':>9s}{'mean':>8s}{'p95':>8s}{'mean %':>8s}"
        f"{'p95 %':>8s}{'at edge':>9s}  made by",
    ]
    before: Mapping[str, Any] = {}
    for row in rows:
        known, drift = row.provenance, row.drift
        numbers = (drift.mean, drift.p95, drift.percent, drift.percent_p95) if drift else (None,) * 4
        cells = "".join(map(_cell, numbers))
        edge = "-" if drift is None or drift.at_edge is None else f"{100 * drift.at_edge:.1f} %"
        moved = "-" if row.moved is None else row.moved
        changed = {key: value for key, value in known.parameters.items() if before.get(key) != value}
        made = " ".join([known.producer or "-", known.refiner or "", *(f"{k}={v}" for k, v in changed.items())])
        lines.append(
            f"{row.name:6s}{known.made_from or '-':8.7s}{row.instances:9d}{row.points:9d}{moved:>9}"
            f"{cells}{edge:>9s}  {made}"
        )
        if known.stopped:
            lines.append(f"{'':14s}stopped: {known.stopped}")
        before = known.parameters or before
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>8s}" if value is None else f"{value:8.3f}"
