"""What an audit finds, with types; `as_json` is what `lmk audit --json` prints and audit.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from lmk.errors import DataError
from lmk.history.findings import Finding
from lmk.history.gates import Verdict
from lmk.limits import JSON_BYTES
from lmk.reading import read_json, whole


@dataclass(frozen=True)
class Numbers:
    """Drift of the points of an iteration, or of one part of it, that count; lengths in pixels of the image.

    None where there is no such point, or nobody knows.
    """

    iteration: str
    part: str  # `all`, or what `--by` sorts by
    points: int
    dx: float | None = None  # the mean drift to the right, and down
    dy: float | None = None
    var_x: float | None = None
    var_y: float | None = None
    cov_xy: float | None = None
    mean: float | None = None  # of the distance to the human label
    median: float | None = None
    p95: float | None = None
    worst: float | None = None
    percent: float | None = None  # its mean in % of the box
    percent_p95: float | None = None
    along: float | None = None  # the mean, with its sign
    across: float | None = None
    along_rms: float | None = None  # root of the mean square
    across_rms: float | None = None
    step: float | None = None  # mean distance to the iteration before
    unchanged: float | None = None  # shares of the points, from 0 to 1
    reversed: float | None = None
    crossing: float | None = None
    at_edge: float | None = None
    suspected: float | None = None
    images: int | None = None
    percent_low: float | None = None  # ends of the 95 % interval of `percent`, which counts images
    percent_high: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs; without images and interval where no point counts."""
        written = asdict(self)
        return written if self.points else {name: written[name] for name in written if name not in _OF_POINTS}

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """From what `as_json` gave."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in written.items() if name in known})


_OF_POINTS = ("images", "percent_low", "percent_high")


@dataclass(frozen=True)
class Shapes:
    """How even and how usual the shapes of an iteration are, and how many instances changed sides."""

    iteration: str
    instances: int
    asymmetry: float | None  # % of the box; None where a scheme has no sides
    shape_distance: float | None  # %
    swapped: int


@dataclass(frozen=True)
class Parts:
    """The last iteration's numbers for each part of it."""

    part: str  # what they are parts by
    rows: tuple[Numbers, ...]


@dataclass(frozen=True)
class Audit:
    """What happened to the labels of a folder."""

    iterations: tuple[Numbers, ...]  # from the first refined one on
    shapes: tuple[Shapes, ...]  # from the human labels on
    findings: tuple[Finding, ...]
    by: Parts | None = None
    gates: tuple[Verdict, ...] | None = None  # None where none were asked

    @property
    def settling(self) -> list[float | None]:
        """How much of the last step is left in each iteration's: below 1 the labels settle."""
        steps = [None, *(row.step for row in self.iterations)]
        return [now / before if before and now is not None else None for before, now in pairwise(steps)]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        numbered = zip(self.iterations, self.settling, strict=True)
        written: dict[str, Any] = {
            "iterations": [{**row.as_json(), "settling": settling} for row, settling in numbered],
            "shapes": _dicts(self.shapes),
            "findings": _dicts(self.findings),
        }
        if self.by is not None:
            written["by"] = {"part": self.by.part, "rows": [row.as_json() for row in self.by.rows]}
        if self.gates is not None:
            written["gates"] = [verdict.as_json() for verdict in self.gates]
        return written

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """From what `as_json` gave."""
        by, gates = written.get("by"), written.get("gates")
        return cls(
            tuple(Numbers.of(row) for row in written["iterations"]),
            tuple(Shapes(**row) for row in written["shapes"]),
            tuple(Finding(**row) for row in written["findings"]),
            by and Parts(by["part"], tuple(Numbers.of(row) for row in by["rows"])),
            None if gates is None else tuple(Verdict.of(row) for row in gates),
        )


def read_audit(path: Path) -> Audit:
    """What an audit.json says."""
    with whole(path, "not what an audit writes; run `lmk audit`, or make it again", DataError):
        found = Audit.of(read_json(path, JSON_BYTES, DataError))
        return TypeAdapter(Audit).validate_python(asdict(found))


def _dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
