"""Figures 6 to 8, and Tables 5 and 6 as curves."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from bench.ablations.numbers import AGAINST, STOPS, TABLE_5, TABLE_6, Cells, at, median, searched


def charts(cells: Cells) -> dict[str, Any]:
    """The charts that there are cells for, by name."""
    names = {
        "baseline": "baseline", "not updated": "SA without update", "updated": "SA", "consensus": "consensus",
        "true": "true labels",
    }  # fmt: skip
    rows = [
        {"epoch": epoch, "test error, %": at(cells, "update", variant, "errors", epoch, "truth"), "labels": title}
        for variant, title in names.items()
        for epoch in range(_rounds(cells, variant) + 1)
    ]
    losses = [
        {"epoch": epoch + 1, "training loss": median(cell["loss"][epoch] for cell in cells[("update", variant)]),
         "labels": title}
        for variant, title in names.items()
        for epoch in range(_rounds(cells, variant))
    ]  # fmt: skip
    stops = [
        {"epochs with an update": rounds, "test error, %": error, "against": title}
        for rounds, place in STOPS.items()
        for against, title in AGAINST.items()
        if (error := at(cells, *place, "errors", -1, against)) is not None
    ]
    found: dict[str, tuple[list[dict[str, Any]], str, str, str, str]] = {
        "error": (rows, "epoch", "test error, %", "labels", "Figure 7: test error against the truth"),
        "loss": (losses, "epoch", "training loss", "labels", "Figure 6: training loss"),
        "stop": (stops, "epochs with an update", "test error, %", "against", "Figure 8: when updates stop"),
    }
    made = {name: _lines(*what) for name, what in found.items() if what[0]}
    if search := _gains_of_search(cells):
        made["search"] = _facets(search)
    return made


def _rounds(cells: Cells, variant: str) -> int:
    return min((len(cell["loss"]) for cell in cells.get(("update", variant), [])), default=-1)


def _lines(rows: list[dict[str, Any]], x: str, y: str, colour: str, title: str) -> Any:
    return (
        alt.Chart(pd.DataFrame(rows), width=420, height=240, title=title)
        .mark_line(point=True)
        .encode(
            x=alt.X(f"{x}:Q", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y(f"{y}:Q", scale=alt.Scale(zero=False)),
            color=alt.Color(f"{colour}:N", sort=list(dict.fromkeys(row[colour] for row in rows))),
        )
        .configure(background="white")
    )


def _gains_of_search(cells: Cells) -> list[dict[str, Any]]:
    """Error reduction relative to training on human labels, in %, by lambda and by template, ours and the paper's."""
    human = {against: median(c["errors"][against] for c in cells.get(("lambda", "0"), [])) for against in AGAINST}
    rows: list[dict[str, Any]] = []
    for experiment, title, paper in (("lambda", "lambda", TABLE_5), ("template", "template", TABLE_6)):
        for place, (variant, number) in enumerate(paper.items()):
            found = {"the paper": (number, TABLE_5["0"])}
            for against, what in AGAINST.items():
                error = median(cell["errors"][against] for cell in searched(cells, experiment, variant))
                if error is not None and (base := human[against]) is not None:
                    found[f"against {what}"] = error, base
            rows += [
                {
                    "of": title,
                    "value": variant,
                    "place": place,
                    "gain": 100 * (base - error) / base,
                    "measured": name,
                }
                for name, (error, base) in found.items()
            ]
    return rows if any(row["measured"] != "the paper" for row in rows) else []


def _facets(rows: list[dict[str, Any]]) -> Any:
    return (
        alt.Chart(pd.DataFrame(rows), width=260, height=220)
        .mark_line(point=True)
        .encode(
            x=alt.X("value:N", sort=alt.EncodingSortField("place"), title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("gain:Q", title="error reduction relative to human labels, %"),
            color=alt.Color("measured:N", title=None),
        )
        .facet(column=alt.Column("of:N", title=None))
        .resolve_scale(x="independent")
        .configure(background="white")
    )
