"""The metrics of `evaluate` for a reader: rows of tables, and the figures at the top of the report.

Every part of the metrics may be missing; what is missing is None here, and left out on the page.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmk.audit.results import Numbers
from lmk.records import DETECTOR, DOWNSTREAM, GROSS, HUMAN, LABELS, SOUND, TRUTH, Metrics


@dataclass(frozen=True)
class Card:
    """A headline figure; `before` is set where it replaces another, `good` says whether that is for the better."""

    title: str
    value: str
    note: str
    before: str | None = None
    good: bool | None = None


@dataclass(frozen=True)
class LabelRow:
    """Errors of the labels of one iteration, in % of the headline's normaliser; None where unknown."""

    name: str
    nme: float | None
    auc: float | None
    failure_rate: float | None
    change: float | None  # of the error, in % of the first row's
    gross: float | None  # error of the points that are gross errors of the human
    gross_points: int | None


@dataclass(frozen=True)
class ModelRow:
    """Errors of one network on the split test."""

    model: str | None  # None for the detectors of the iterations
    labels: str  # that it learnt
    truth: float | None
    human: float | None


@dataclass(frozen=True)
class Measured:
    """The tables of the page."""

    normaliser: str
    failure: float | None
    labels: list[LabelRow]
    detector: list[ModelRow]
    downstream: list[ModelRow]

    @property
    def errors(self) -> list[LabelRow]:
        """The labels whose error is known."""
        return [row for row in self.labels if row.nme is not None]

    @property
    def best(self) -> LabelRow | None:
        """The labels with the smallest error; None where those are the last ones."""
        best = min(self.errors, key=lambda row: row.nme or 0.0, default=None)
        return best if self.errors and best is not self.errors[-1] else None


def measures(metrics: Metrics | None) -> Measured:
    """Tables in % of the headline's normaliser; empty without metrics."""
    if metrics is None:
        return Measured("box", None, [], [], [])
    return Measured(
        metrics.normaliser,
        metrics.failure,
        _label_rows(metrics),
        _model_rows(metrics, DETECTOR),
        _model_rows(metrics, DOWNSTREAM),
    )


def _label_rows(metrics: Metrics) -> list[LabelRow]:
    rows: list[LabelRow] = []
    for _, name in metrics.names(LABELS):
        about = {"what": LABELS, "labels": name}
        sound = {**about, "subset": SOUND, "normaliser": metrics.normaliser}
        error, auc, failures = (metrics.value(metric, **sound) for metric in ("nme", "auc", "failure_rate"))
        first = rows[0].nme if rows else None
        change = 100 * (error / first - 1) if error is not None and first else None
        gross = metrics.value("nme", **about, subset=GROSS, normaliser=metrics.normaliser)
        count = metrics.value("points", **about, subset=GROSS)
        rows.append(LabelRow(name, error, auc, failures, change, gross, None if count is None else int(count)))
    return rows


def _model_rows(metrics: Metrics, what: str) -> list[ModelRow]:
    rows = []
    for model, labels in metrics.names(what):
        about = {"what": what, "model": model, "labels": labels, "normaliser": metrics.normaliser}
        truth, human = (metrics.value("nme", **about, against=name) for name in (TRUTH, HUMAN))
        rows.append(ModelRow(model, labels, truth, human))
    return rows


def cards(overall: Numbers | None, measured: Measured) -> list[Card]:
    """The figures at the top; overall is the audit of the last iteration, None without any."""
    found = _drift_cards(overall) if overall and overall.points else []
    unit = f"% of {measured.normaliser}"
    errors = measured.errors
    if len(errors) > 1:
        found += _change("Label error", errors[0].nme, errors[-1].nme, f"{unit}, against the truth")
    gross = [row for row in measured.labels if row.gross is not None]
    if len(gross) > 1:
        note = f"{unit}, {gross[0].gross_points or 0:,} points left out of the label error"
        found += _change("Error of gross mistakes", gross[0].gross, gross[-1].gross, note)
    trained = {(row.model, row.labels): row for row in measured.downstream}
    for model in dict.fromkeys(row.model for row in measured.downstream):
        human, refined = (trained.get((model, labels)) for labels in ("human", "refined"))
        if human is not None and refined is not None:
            found += (
                _change(f"New {model}", human.truth, refined.truth, f"{unit}, test split, against the truth")
                or _change(f"New {model}", human.human, refined.human, f"{unit}, test split, against human labels")
            )  # fmt: skip
    return found


def _drift_cards(overall: Numbers) -> list[Card]:
    median, p95, percent = (_known(value) for value in (overall.median, overall.p95, overall.percent))
    sizes = f"median {median:.2f}, p95 {p95:.2f} px ({percent:.2f} % of the box)"
    moved = 100 * (1 - _known(overall.unchanged))
    found = [
        Card("Points searched", f"{overall.points:,}", f"in {overall.images:,} images; {moved:.1f} % moved"),
        Card("Mean move", f"{_known(overall.mean):.2f} px", sizes),
    ]
    if overall.along_rms is not None:
        value = f"{overall.along_rms:.2f} / {_known(overall.across_rms):.2f} px"
        found.append(Card("Along / across", value, "root mean square along and across the contour"))
    return found


def _known(value: float | None) -> float:
    assert value is not None, "points that count have every number"
    return value


def _change(title: str, before: float | None, after: float | None, note: str) -> list[Card]:
    """A card for what was before and is now; none where one of them is unknown."""
    if before is None or after is None:
        return []
    change = f"{signed(100 * (after / before - 1))}; " if before else ""
    return [Card(title, f"{after:.2f}", change + note, f"{before:.2f}", after < before if after != before else None)]


def signed(percent: float) -> str:
    """A change with its sign, and a minus as wide as the plus."""
    return f"{percent:+.1f} %".replace("-", "−")  # noqa: RUF001 (the minus is meant)
