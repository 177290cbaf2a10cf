"""Provenance: who made a set of labels, from what and how, as its file says it.

On disk it is a JSON object that any lmk may have written.  Here it has types; what this lmk does not know stays in
`written`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OLD_NAMES = {"by_heart": "memorised"}  # what a key was called before


@dataclass(frozen=True)
class Provenance:
    """What code asks of a set's provenance; None where its file does not say."""

    producer: str | None = None
    refiner: str | None = None
    parent: str | None = None  # digest of the file that it was made from
    parent_iteration: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the refiner
    stopped: str | None = None  # why its labels are those of the iteration before
    disagreement: float | None = None  # of the network that was asked with human points that it had not learnt
    memorised: float | None = None  # part of a point's noise that this network knew
    written: Mapping[str, Any] = field(default_factory=dict)  # all that the file says

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Provenance:
        """From the JSON of a set's file; a key under its old name is read, too, and unknown keys are kept."""
        named = {OLD_NAMES.get(key, key): value for key, value in written.items()}
        parameters = named.get("parameters")
        return cls(
            producer=_text(named.get("producer")),
            refiner=_text(named.get("refiner")),
            parent=_text(named.get("parent")),
            parent_iteration=_text(named.get("parent_iteration")),
            parameters=parameters if isinstance(parameters, Mapping) else {},
            stopped=_text(named.get("stopped")),
            disagreement=_number(named.get("disagreement")),
            memorised=_number(named.get("memorised")),
            written=dict(written),
        )

    @property
    def made_from(self) -> str | None:
        """The iteration that it was made from, else the digest of its file."""
        return self.parent_iteration or self.parent


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
