"""Measures as flat records: one row a number, with everything that it depends on beside it.

What people and programs read are views of the records: the nested JSON of metrics.json, which `dvc metrics diff`
compares, the tables of the terminal and of the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lmk.errors import DataError
from lmk.limits import JSON_BYTES
from lmk.reading import read_json, whole

TRUTH, HUMAN = "truth", "human"
ALL, SOUND, GROSS = "all", "sound", "gross"
LABELS, DETECTOR, DOWNSTREAM = "labels", "detector", "downstream"
MEASURED_ON = {LABELS: "train", DETECTOR: "test", DOWNSTREAM: "test"}  # the split of what metrics.json holds


@dataclass(frozen=True)
class Subject:
    """What is measured, and by what."""

    what: str  # labels, detector or downstream
    model: str | None  # a downstream network's name in the parameters; None for labels and the iterations' detectors
    labels: str  # that are measured, or that the network learnt: an iteration, else human or refined
    split: str
    against: str  # the reference: truth or human
    subset: str  # of the points: all, sound (without gross errors of the human) or gross


@dataclass(frozen=True)
class Measure(Subject):
    """One number."""

    normaliser: str | None  # what errors are divided by; None for a count of points
    metric: str  # points, instances, nme and median (in %), auc, failure_rate
    value: float | int | None  # None where nothing could be measured
    failure: float | None  # threshold of auc and failure_rate, in %


@dataclass(frozen=True)
class Metrics:
    """All measures of a run."""

    normaliser: str  # of the headline
    failure: float | None
    measures: tuple[Measure, ...]
    networks: bool  # whether networks were to be measured, too

    def value(self, metric: str, **about: str | None) -> float | int | None:
        """One number by what it is about; None where it is not there."""
        wanted = {"metric": metric, **about}
        return next((each.value for each in self.measures if _is(each, wanted)), None)

    def names(self, what: str) -> list[tuple[str | None, str]]:
        """Model and labels of all that is measured, in order."""
        return list(dict.fromkeys((each.model, each.labels) for each in self.measures if each.what == what))

    def as_json(self) -> dict[str, Any]:
        """The content of metrics.json."""
        written: dict[str, Any] = {
            "headline": {"normaliser": self.normaliser, "failure": self.failure},
            LABELS: {name: label_table(self._about(LABELS, model, name)) for model, name in self.names(LABELS)},
        }
        if self.networks:
            written[DETECTOR] = {
                name: model_tables(self._about(DETECTOR, model, name)) for model, name in self.names(DETECTOR)
            }
            written[DOWNSTREAM] = {}
            for model, name in self.names(DOWNSTREAM):
                trained = written[DOWNSTREAM].setdefault(model, {})
                trained[name] = model_tables(self._about(DOWNSTREAM, model, name))
        return written

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """From the content of a metrics.json, of which any part may be missing."""
        headline = written.get("headline") or {}
        found: list[Measure] = []
        for name, table in (written.get(LABELS) or {}).items():
            for subset, part in ((SOUND, table), (GROSS, table.get(GROSS) or {})):
                found += _read(part, LABELS, None, name, TRUTH, subset)
        for name, tables in (written.get(DETECTOR) or {}).items():
            for against, table in tables.items():
                found += _read(table, DETECTOR, None, name, against, ALL)
        for model, trained in (written.get(DOWNSTREAM) or {}).items():
            for name, tables in trained.items():
                for against, table in tables.items():
                    found += _read(table, DOWNSTREAM, model, name, against, ALL)
        unit = headline.get("normaliser") or "box"
        return cls(unit, headline.get("failure"), tuple(found), DETECTOR in written or DOWNSTREAM in written)

    def _about(self, what: str, model: str | None, labels: str) -> list[Measure]:
        wanted = {"what": what, "model": model, "labels": labels}
        return [each for each in self.measures if _is(each, wanted)]


def read_metrics(path: Path) -> Metrics:
    """What a metrics.json says."""
    with whole(path, "not the metrics of a run; `dvc repro` makes them", DataError):
        found = Metrics.of(read_json(path, JSON_BYTES, DataError))
        for each in found.measures:
            if each.value is not None and not isinstance(each.value, int | float):
                raise TypeError(f"{each.metric} is {each.value!r:.40}")
        if not isinstance(found.normaliser, str) or not isinstance(found.failure, int | float | None):
            raise TypeError("headline")
    return found


def label_table(measures: Sequence[Measure]) -> dict[str, Any]:
    """Measures of one set of labels, nested: gross errors apart, None without any."""
    return {**_table(measures, subset=SOUND), GROSS: _table(measures, subset=GROSS) or None}


def model_tables(measures: Sequence[Measure]) -> dict[str, Any]:
    """Measures of one network, nested by what it is compared with."""
    return {name: _table(measures, against=name) for name in dict.fromkeys(each.against for each in measures)}


def _table(measures: Iterable[Measure], **about: str) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for each in measures:
        if _is(each, about):
            if each.normaliser is None:
                table |= {each.metric: each.value, "threshold": each.failure}
            else:
                table.setdefault(each.normaliser, {})[each.metric] = each.value
    return table


def _read(
    table: Mapping[str, Any], what: str, model: str | None, labels: str, against: str, subset: str
) -> Iterator[Measure]:
    about, failure = (what, model, labels, MEASURED_ON[what], against, subset), table.get("threshold")
    for name, value in table.items():
        if name == "points":
            yield Measure(*about, None, name, value, failure)
        elif name not in ("threshold", GROSS):
            for metric, number in value.items():
                yield Measure(*about, name, metric, number, failure)


def _is(measure: Measure, wanted: Mapping[str, str | None]) -> bool:
    return all(getattr(measure, name) == value for name, value in wanted.items())
