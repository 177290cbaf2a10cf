"""The metrics of `evaluate`, flattened for a reader: rows of tables, and the figures at the top of the report.

Every part of the metrics may be missing; what is missing is None here, and left out on the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Card:
    """A headline figure; `before` is set where it replaces another, `good` says whether that is for the better."""

    title: str
    value: str
    note: str
    before: str | None = None
    good: bool | None = None


def measures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Tables in % of the headline's normaliser.

    Returns:
        normaliser, failure: of the headline.
        labels: name, points, nme, auc, failure_rate, change (in % of the first), gross_points, gross (its nme).
        best: the row of labels with the smallest error, None where that is the last one.
        detector: name, truth, human (nme against each on split test).
        downstream: model, labels, truth, human.
    """
    headline = metrics.get("headline") or {}
    unit = headline.get("normaliser") or "box"
    labels = _label_rows(metrics.get("labels") or {}, unit)
    known = [row for row in labels if row["nme"] is not None]
    best = min(known, key=lambda row: row["nme"], default=None)
    return {
        "normaliser": unit,
        "failure": headline.get("failure"),
        "labels": labels,
        "best": best if known and best is not known[-1] else None,
        "detector": [
            {"name": name, **_against(tables, unit)} for name, tables in (metrics.get("detector") or {}).items()
        ],
        "downstream": [
            {"model": model, "labels": labels, **_against(trained[labels], unit)}
            for model, trained in (metrics.get("downstream") or {}).items()
            for labels in ("human", "refined")
            if labels in trained
        ],
    }


def _label_rows(labels: Mapping[str, Any], unit: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, table in labels.items():
        numbers, gross = table.get(unit) or {}, table.get("gross") or {}
        error, first = numbers.get("nme"), rows[0]["nme"] if rows else None
        rows.append(
            {
                "name": name,
                "points": table.get("points"),
                **{key: numbers.get(key) for key in ("nme", "auc", "failure_rate")},
                "change": 100 * (error / first - 1) if error is not None and first else None,
                "gross_points": gross.get("points", table.get("gross_points")),
                "gross": (gross.get(unit) or {}).get("nme"),
            }
        )
    return rows


def _against(tables: Mapping[str, Any], unit: str) -> dict[str, float | None]:
    return {what: ((tables.get(what) or {}).get(unit) or {}).get("nme") for what in ("truth", "human")}


def cards(overall: Mapping[str, Any] | None, measured: Mapping[str, Any]) -> list[Card]:
    """The figures at the top; overall is the audit of the last iteration, None without any."""
    found = _drift_cards(overall) if overall and overall["points"] else []
    unit = f"% of {measured['normaliser']}"
    errors = [row for row in measured["labels"] if row["nme"] is not None]
    if len(errors) > 1:
        found.append(_change("Label error", errors[0]["nme"], errors[-1]["nme"], f"{unit}, against the truth"))
    gross = [row for row in measured["labels"] if row["gross"] is not None]
    if len(gross) > 1:
        note = f"{unit}, {gross[0]['gross_points'] or 0:,} points left out of the label error"
        found.append(_change("Error of gross mistakes", gross[0]["gross"], gross[-1]["gross"], note))
    trained = {(row["model"], row["labels"]): row for row in measured["downstream"]}
    for model in dict.fromkeys(row["model"] for row in measured["downstream"]):
        pair = [trained.get((model, labels), {}) for labels in ("human", "refined")]
        for reference in ("truth", "human"):
            before, after = (row.get(reference) for row in pair)
            if before is not None and after is not None:
                against = "the truth" if reference == "truth" else "human labels"
                found.append(_change(f"New {model}", before, after, f"{unit}, test split, against {against}"))
                break
    return found


def _drift_cards(overall: Mapping[str, Any]) -> list[Card]:
    share = 100 * (1 - overall["unchanged"])
    sizes = f"median {overall['median']:.2f}, p95 {overall['p95']:.2f} px ({overall['percent']:.2f} % of the box)"
    found = [
        Card("Points searched", f"{overall['points']:,}", f"in {overall['images']:,} images; {share:.1f} % moved"),
        Card("Mean move", f"{overall['mean']:.2f} px", sizes),
    ]
    if overall["along_rms"] is not None:
        value = f"{overall['along_rms']:.2f} / {overall['across_rms']:.2f} px"
        found.append(Card("Along / across", value, "root mean square along and across the contour"))
    return found


def _change(title: str, before: float, after: float, note: str) -> Card:
    change = f"{signed(100 * (after / before - 1))}; " if before else ""
    return Card(title, f"{after:.2f}", change + note, f"{before:.2f}", after < before if after != before else None)


def signed(percent: float) -> str:
    """A change with its sign, and a minus as wide as the plus."""
    return f"{percent:+.1f} %".replace("-", "−")  # noqa: RUF001 (the minus is meant)
