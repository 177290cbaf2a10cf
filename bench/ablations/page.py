"""The page: the paper's tables and figures, with the paper's numbers beside ours."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert

from bench.ablations.charts import charts
from bench.ablations.corrections import corrections
from bench.ablations.numbers import (
    AGAINST,
    IMAGES,
    SAME,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    Cells,
    at,
    beside,
    median,
    searched,
    seeds_of,
    shown,
    whole,
)
from bench.ablations.runs import COUNT, NOISE, ROUNDS
from bench.ablations.updates import updates
from lmk.store import write_text


def write_page(cells: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write ablations.md and its plots; `others` are rows of bench.downstream, for Table 7."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in whole(cells):
        grouped.setdefault((cell["experiment"], cell["variant"]), []).append(cell)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, chart in charts(grouped).items():
        write_text(vl_convert.vegalite_to_svg(chart.to_json()) + "\n", folder / "images" / f"ablations_{name}.svg")
    write_text(_text(grouped, others), folder / "ablations.md")


def _text(cells: Cells, others: Sequence[dict[str, Any]]) -> str:
    lines = [
        "# The paper, table by table",
        "",
        *found(cells),
        "## How it was measured",
        "",
        f"`python -m bench.ablations` repeats the paper's experiments on rendered faces: {COUNT} training faces with "
        "`default` noise and 300 test faces.  The search has the paper's parameters (window 17, template 19, lambda "
        "0.1) unless stated otherwise.  Errors are in % of the interocular distance, medians over seeds (means in "
        "Table 7).  The paper measures against human test labels; we measure against the truth as well.  Faces, "
        "networks and budgets differ from the paper's, so compare the shape of a table, not its level.",
        "",
        "The search uses the profile's detector, trained on human labels.  Tables 5 and 6: one search, then the "
        "profile's smaller downstream hourglass is trained from scratch on the result.  Figures 6 to 8: the detector "
        "itself is trained on with the labels of every search.  Errors of labels leave out gross human errors, as in "
        "[label_truth.md](label_truth.md).",
        "",
        "![Tables 5 and 6](images/ablations_search.svg)",
        "",
        *_table_of_search(cells, "lambda", "Table 5: balance of prior and likelihood", "lambda", TABLE_5),
        *_table_of_search(cells, "template", "Table 6: size of the template", "template", TABLE_6),
        *updates(cells),
        *_table_7(others),
        *corrections(cells),
    ]
    return "\n".join(lines)


def found(cells: Cells) -> list[str]:
    """What was found, in three sentences: on the search, the update and the corrections, where there are cells."""
    said = []
    human, once = _of_search(searched(cells, "lambda", "0")), _of_search(searched(cells, "lambda", "0.1"))
    if human and once:
        label, learnt = (100 * (1 - once[which] / human[which]) for which in (0, 1))
        theirs = 100 * (1 - TABLE_5["0.1"] / TABLE_5["0"])
        said.append(
            f"One search with the paper's parameters changes the error of the labels by {-label:+.0f} %, and the test "
            f"error of a detector trained on them by {-learnt:+.1f} % (in the paper {-theirs:+.0f} %)."
        )
    ends = [at(cells, "update", variant, "errors", -1, "truth") for variant in ("baseline", "updated")]
    baseline, updated = ends
    if baseline is not None and updated is not None:
        more = "is" if updated < baseline else "is not"
        said.append(
            f"After {ROUNDS} rounds of the paper's alternation the test error is {updated:.2f} %, and after as much "
            f"training on human labels alone {baseline:.2f} %: the paper's gain {more} reproduced."
        )
    units = {unit: beside(cells, "human", unit, "none") for unit in ("ghcu", "pca", "shaped")}
    if all(units.values()):
        columns = [list(IMAGES).index(name) for name in ("clean", "both")]
        each = [
            f"{unit} {' and '.join(f'{statistics.median(row[k] for row in rows.values()):+.0f} %' for k in columns)}"
            for unit, rows in units.items()
        ]
        said.append(
            "Relative to the detector alone, units that correct it change the error on clean images and on occluded "
            f"low-resolution images by: {', '.join(each)}."
        )
    return ["  ".join(said), ""] if said else []


def _table_of_search(cells: Cells, experiment: str, title: str, column: str, paper: Mapping[str, float]) -> list[str]:
    lines = [f"## {title}", ""]
    if not seeds_of(cells, experiment):
        return [*lines, "Not run yet.", ""]
    lines += [
        f"Seeds {seeds_of(cells, experiment)}.",
        "",
        f"| {column} | labels of one search | detector trained on them, against the truth | against human labels "
        "| paper's detector, 300W |",
        "|---|---:|---:|---:|---:|",
    ]
    made: dict[str, list[float]] = {}
    for variant, number in paper.items():
        values = _of_search(searched(cells, experiment, variant))
        copied = SAME.get(experiment, {}).get(variant, "")
        note = " (human labels)" if variant == "0" else f" (as {copied})" if copied in paper else ""
        lines.append(
            f"| {variant}{note} | {' | '.join(map(shown, values)) if values else '- | - | -'} | {number:.2f} |"
        )
        if values and copied not in paper:
            made[variant] = values
    labels, detector = (min(made, key=lambda variant: made[variant][which]) for which in (0, 1))
    theirs = min(paper, key=lambda variant: paper[variant])
    said = [f"Lowest error: {labels} for the labels, {detector} for our detector, {theirs} for the paper's."]
    if human := _of_search(searched(cells, "lambda", "0")):
        label, learnt = (100 * (1 - made[best][which] / human[which]) for which, best in enumerate((labels, detector)))
        said.append(
            f"Relative to human labels, the best search reduces the error of the labels by {label:.0f} % and that of "
            f"the detector by {learnt:.1f} %; in the paper the detector's by "
            f"{100 * (1 - paper[theirs] / TABLE_5['0']):.0f} %.  Table 7 has the labels of `lmk clean`."
        )
        said += _scatter(cells, experiment, [variant for variant in made if variant != "0"])
    if experiment in SAME:
        said.append("Templates of the same size on our heatmaps of 64 pixels are run once.")
    return [*lines, "", *said, ""]


def _scatter(cells: Cells, experiment: str, variants: Sequence[str]) -> list[str]:
    """How many detectors of a table are worse than those trained on human labels."""
    human = {cell["seed"]: _of_search([cell])[1] for cell in searched(cells, "lambda", "0")}
    gains = {
        (variant, cell["seed"]): 100 * (1 - _of_search([cell])[1] / human[cell["seed"]])
        for variant in variants
        for cell in searched(cells, experiment, variant)
        if cell["seed"] in human
    }
    if not gains:
        return []
    worse = sum(gain < 0 for gain in gains.values())
    return [
        f"The best row for the detector is selected on its own results: of {len(gains)} detectors, one for each row "
        f"and seed, {worse} are worse than the detector trained on human labels with that seed (gains of "
        f"{min(gains.values()):+.1f} to {max(gains.values()):+.1f} %)."
    ]


def _of_search(cells: Sequence[dict[str, Any]]) -> list[float]:
    """Errors of a row of Table 5 or 6: of the labels, and of the detector against truth and human labels."""
    found = [median(cell["labels"]["mean"] for cell in cells)]
    found += [median(cell["errors"][against] for cell in cells) for against in AGAINST]
    return [each for each in found if each is not None]


def _table_7(others: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "## Table 7: other networks on the labels",
        "",
        "Networks trained from scratch by `python -m bench.downstream`; refined labels are the output of `lmk clean` "
        "with its defaults.  [downstream.md](downstream.md) explains the intervals and has other sizes and noises.",
        "",
        "| network | seeds | error against | human labels | refined | gain | paper, 300W |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in others:
        if (row["noise"], row["count"]) == (NOISE, COUNT) and row["model"] in TABLE_7:
            human, refined = row["errors"]["human"], row["errors"]["refined"]
            (gain, low, high), (was, now) = row["gain"], TABLE_7[row["model"]]
            lines.append(
                f"| {row['model']} | {', '.join(map(str, row['seeds']))} | {AGAINST[row['against']]} | {human:.3f} "
                f"| {refined:.3f} | {gain:.1f} % ({low:+.1f} to {high:+.1f}) "
                f"| {was:.2f} to {now:.2f}, {100 * (was - now) / was:.1f} % |"
            )
    return [*lines, ""]
