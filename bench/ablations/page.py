"""The tables and figures, with the paper's numbers beside ours."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert

from bench.ablations.charts import charts
from bench.ablations.numbers import (
    AGAINST,
    IMAGES,
    MILLISECONDS,
    SAME,
    STOPS,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLES_8_9,
    UNITS,
    Cells,
    at,
    beside,
    median,
    searched,
    whole,
)
from bench.ablations.runs import COUNT, LEARNT, NOISE
from bench.downstream.__main__ import IMAGES as SEEN
from lmk.store import write_text

EXPLAINED = 11  # the seed that the text below Figure 8 is about
TAUGHT = ("baseline", "not updated", "updated", "consensus", "true")
WHO = {
    "ghcu": "*ghcu* is the paper's unit, from all heatmaps to all points.",
    "pca": "*pca* is a shape model, fitted to the heatmaps, and learns from labels alone; a reading counts by how "
    "narrow its heatmap is, which the paper does not say of its own.  Noisier labels give it more directions, which "
    "take longer.",
    "pca alike": "*pca alike* is the same model with all readings counting alike, which filters outliers alone.",
    "shaped": "*shaped* is that fit and a network that corrects it.",
    "upright": "*upright* is a second detector that sees the face turned upright, the paper's Norm; it goes on from "
    "the first one, so that a part of what it wins is won by a longer training, on coarse images, too.",
    "none longer": "*none longer* is the first detector after just that training.",
    "none coarsely": "Rows *coarsely* have a detector half of whose images were coarse from the start; those beneath "
    "other units have seen none.",
    "ghcu clear": "*ghcu clear* is *ghcu* without coarse images.",
}
COLUMNS = (
    "*Consensus* searches as `lmk clean` does, but updates the detector as the paper does; *true* teaches the truth "
    "itself.  *Bias* is what the detector, or the labels, miss the truth by on every face alike, root mean square "
    "over landmarks; *shorter* by how many % contours are drawn to their middles, a part of it."
)


def write_page(cells: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write ablations.md and its plots; `others` are rows of bench.downstream, for Table 7."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in whole(cells):
        grouped.setdefault((cell["experiment"], cell["variant"]), []).append(cell)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, chart in charts(grouped).items():
        write_text(vl_convert.vegalite_to_svg(chart.to_json()) + "\n", folder / "images" / f"ablations_{name}.svg")
    write_text(_text(grouped, others), folder / "ablations.md")


def _seeds(cells: Cells, experiment: str) -> str:
    found = {cell["seed"] for (name, _), group in cells.items() if name == experiment for cell in group}
    return ", ".join(map(str, sorted(found)))


def _text(cells: Cells, others: Sequence[dict[str, Any]]) -> str:
    lines = [
        "# The paper, table by table",
        "",
        "By `python -m bench.ablations`.  500 rendered faces with `default` noise to learn from, 300 others to test "
        "on.  The search is the paper's: window 17, template 19, lambda 0.1 unless said.  Errors in % of interocular, "
        "medians over seeds (means in Table 7); the paper measures against human test labels, we against the truth, "
        "too.  Only the shape of a table can be compared, not its level: faces, networks and budgets are others.",
        "",
        "The profile's detector, which has learnt human labels, searches.  In Tables 5 and 6 it does so once, and the "
        "profile's smaller downstream hourglass learns from scratch what was found; in Figures 6 to 8 it is "
        "itself trained on with the labels of every search.  Errors of labels are without gross human errors, as in "
        "[label_truth.md](label_truth.md).",
        "",
        "![Tables 5 and 6](images/ablations_search.svg)",
        "",
        *_table_of_search(cells, "lambda", "Table 5: balance of prior and likelihood", "lambda", TABLE_5),
        *_table_of_search(cells, "template", "Table 6: size of the template", "template", TABLE_6),
        *_updates(cells),
        *_table_7(others),
        *_corrections(cells),
    ]
    return "\n".join(lines)


def _cell(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table_of_search(cells: Cells, experiment: str, title: str, column: str, paper: Mapping[str, float]) -> list[str]:
    lines = [f"## {title}", ""]
    if not _seeds(cells, experiment):
        return [*lines, "Not run yet.", ""]
    lines += [
        f"Seeds {_seeds(cells, experiment)}.",
        "",
        f"| {column} | labels of one search | detector that learns them, against the truth | against human labels "
        "| paper's detector, 300W |",
        "|---|---:|---:|---:|---:|",
    ]
    made: dict[str, list[float]] = {}
    for variant, number in paper.items():
        values = _of_search(searched(cells, experiment, variant))
        copied = SAME.get(experiment, {}).get(variant, "")
        note = " (human labels)" if variant == "0" else f" (as {copied})" if copied in paper else ""
        lines.append(
            f"| {variant}{note} | {' | '.join(map(_cell, values)) if values else '- | - | -'} | {number:.2f} |"
        )
        if values and copied not in paper:
            made[variant] = values
    labels, detector = (min(made, key=lambda variant: made[variant][which]) for which in (0, 1))
    theirs = min(paper, key=lambda variant: paper[variant])
    said = [f"Lowest: {labels} for the labels, {detector} for our detector, {theirs} for the paper's."]
    if human := _of_search(searched(cells, "lambda", "0")):
        label, learnt = (100 * (1 - made[best][which] / human[which]) for which, best in enumerate((labels, detector)))
        said.append(
            f"Of what human labels give, that saves {label:.0f} % of the labels' error and {learnt:.1f} % of the "
            f"detector's; the paper's {100 * (1 - paper[theirs] / TABLE_5['0']):.0f} %.  What the labels of `lmk "
            "clean` save is in Table 7."
        )
        said += _scatter(cells, experiment, [variant for variant in made if variant != "0"])
    if experiment in SAME:
        said.append("Sizes that are the same in pixels of a heatmap of 64 are not run twice.")
    return [*lines, "", *said, ""]


def _scatter(cells: Cells, experiment: str, variants: Sequence[str]) -> list[str]:
    """How sure it is that a detector gains by any of the searches of a table."""
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
        f"Which row of the detector is lowest is picked afterwards: of {len(gains)} detectors, one for each row and "
        f"seed, {worse} are worse than the one that learnt human labels of that seed (gains of "
        f"{min(gains.values()):+.1f} to {max(gains.values()):+.1f} %)."
    ]


def _of_search(cells: Sequence[dict[str, Any]]) -> list[float]:
    """Of a row of Table 5 or 6, the error of the labels, and of the detector against all that it is measured by."""
    found = [median(cell["labels"]["mean"] for cell in cells)]
    found += [median(cell["errors"][against] for cell in cells) for against in AGAINST]
    return [each for each in found if each is not None]


def _updates(cells: Cells) -> list[str]:
    lines = ["## Figures 6, 7 and 8: the update", ""]
    if not _seeds(cells, "update"):
        return [*lines, "Not run yet.", ""]
    lines += [
        f"Seeds {_seeds(cells, 'update')}.",
        "",
        "![Figure 7](images/ablations_error.svg)",
        "",
        "![Figure 6](images/ablations_loss.svg)",
        "",
        "![Figure 8](images/ablations_stop.svg)",
        "",
    ]
    for where, title, epochs in (
        ("errors", "detector", (0, 1, -1)),
        ("labels", "labels that it learns", (0, 1, 2, -1)),
    ):
        names = {0: "before", 1: "epoch 1", 2: "epoch 2", -1: "epoch 10"}
        heads = [f"{what}{names[epoch]}" for what in ("", "bias, ", "shorter, ") for epoch in epochs]
        lines += ["", f"| {title} | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
        for variant in TAUGHT:
            values = [
                at(cells, "update", variant, where, epoch, what)
                for what in ("truth" if where == "errors" else "mean", "bias", "shorter")
                for epoch in epochs
            ]
            lines.append(f"| {variant} | {' | '.join(map(_cell, values))} |")
    lines += ["", "| epochs with an update (Figure 8) | against the truth | against human labels |", "|---|---:|---:|"]
    for rounds, place in STOPS.items():
        values = [at(cells, *place, "errors", -1, against) for against in AGAINST]
        lines.append(f"| {rounds} | {' | '.join(map(_cell, values))} |")
    return [*lines, "", COLUMNS, "", *_why(cells)]


def _why(cells: Cells) -> list[str]:
    """What the tables above say of the test error, which does not have the paper's order."""
    found = [cell for cell in cells.get(("update", "updated"), []) if cell["seed"] == EXPLAINED]
    if not found:
        return []
    size = found[0]["labels"][-1]["size"]
    text = (
        f"On seed {EXPLAINED} the training loss had the order of Figure 6, and the test error not that of Figure "
        "7.  It was not the number of epochs, nor their rate: on true labels the same ten epochs gained 6 %.  What "
        "one search found was much nearer to the truth than the human labels.  But the first epoch on labels "
        "sharper than the human ones, true ones too, made the detector's contours 1.1 to 1.5 % shorter, where human "
        "ones make them 0.3 % shorter.  On true labels that went away again; labels that follow the detector took it "
        "over, the next search started from there, and rounds added up, in other directions, too: the size of "
        f"contours is {size:.0f} % of the squared bias of *updated* labels in the end.  Where every search started "
        "from human points, it grew more slowly (*not updated*, *consensus*).  `lmk clean` searches so and teaches "
        "its detectors human labels; README has the errors of its rounds.  Whether the paper's larger detector, on "
        "images of 256 pixels, does better we have not measured."
    )
    return [text, ""]


def _table_7(others: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "## Table 7: other networks on the labels",
        "",
        "Trained from scratch by `python -m bench.downstream`; refined labels are those of `lmk clean` with its "
        "defaults.  Intervals are those of [downstream.md](downstream.md), which has other sizes and noises, too.",
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


def _corrections(cells: Cells) -> list[str]:
    lines = ["## Tables 8 and 9: corrections of the detector", ""]
    if not _seeds(cells, "correction"):
        return [*lines, "Not run yet.", ""]
    there = {variant.partition(" ")[2] for experiment, variant in cells if experiment == "correction"}
    lines += [
        "A unit on top of the detector, learnt from the labels that the detector learnt; errors against the truth.  "
        "Occluded: a rectangle over each face, its sides 30 to 50 % of the crop's, often in part beyond it; low "
        "resolution: 12 pixels a side; both: of low resolution and covered, as the paper says of the videos of "
        "300-VW.  Milliseconds of one core are what the unit adds for one image; the "
        f"paper's are {MILLISECONDS['ghcu']} (GHCU) and {MILLISECONDS['pca']} (PCA) on its own machine.",
        "",
        "Detectors are those of Table 7, trained again where they were gone, so that *none* may be off that by 1 %; "
        f"they have seen {SEEN} images.  Units that are networks see {LEARNT} more, half of them coarse; "
        "*ghcu* and *shaped* see the heatmaps of each a second time, moved to "
        "[another shape](../decisions/0009-ambiguity-and-corrections.md).  "
        + "  ".join(said for unit, said in WHO.items() if unit in there),
        "",
        f"| labels | unit | seeds | {' | '.join(IMAGES.values())} | ms | paper, categories 1 / 2 / 3 |",
        f"|---|---|---|{'---:|' * len(IMAGES)}---:|---|",
    ]
    for labels, unit in UNITS:
        if group := cells.get(("correction", f"{labels} {unit}"), []):
            values = [_cell(median(cell["by_images"][how]["truth"] for cell in group)) for how in IMAGES]
            took = _cell(median(c["milliseconds"] for c in group if "milliseconds" in c), 1)
            seeds = ", ".join(str(cell["seed"]) for cell in group)
            known = TABLES_8_9.get(f"{labels} {unit}")
            paper = " / ".join(f"{number:.2f}" for number in known) if known else "-"
            lines.append(f"| {labels} | {unit} | {seeds} | {' | '.join(values)} | {took} | {paper} |")
    return [*lines, "", *_which_unit(cells)]


def _which_unit(cells: Cells) -> list[str]:
    """What the error of each unit is beside the detector's alone, and beside its rival's."""
    alone = [("none", unit) for labels, unit in UNITS if labels == "human"]
    changes = {
        (unit, other, labels): found
        for labels in ("human", "refined")
        for other, unit in (*alone, ("pca alike", "ghcu"), ("pca", "ghcu"), ("pca", "shaped"))
        if (found := beside(cells, labels, unit, other))
    }
    human = {unit: found for (unit, other, labels), found in changes.items() if (other, labels) == ("none", "human")}
    if not human:
        return []
    most = max(map(len, human.values()))
    lowest = [
        f"{name}: {min(human, key=lambda unit: statistics.median(each[place] for each in human[unit].values()))}"
        for place, name in enumerate(IMAGES.values())
    ]
    theirs = [ours / pca for ours, pca in zip(TABLES_8_9["refined ghcu"], TABLES_8_9["refined pca"], strict=True)]
    return [
        "Medians over the seeds that both have" + (", and the least and the most of them." if most > 1 else "."),
        "",
        f"| unit | beside | after labels | seeds | {' | '.join(IMAGES.values())} |",
        f"|---|---|---|---|{'---:|' * len(IMAGES)}",
        *(
            f"| {' | '.join((*row, ', '.join(map(str, found)), *map(_changes, zip(*found.values(), strict=True))))} |"
            for row, found in changes.items()
            if row[0] != row[1]
        ),
        "",
        f"Lowest after human labels: {', '.join(lowest)}.  In the paper, GHCU beside PCA after refined labels, "
        f"categories 1 / 2 / 3: {' / '.join(_change(100 * (ratio - 1)) for ratio in theirs)}.",
        "",
    ]


def _changes(percents: Sequence[float]) -> str:
    middle = _change(statistics.median(percents))
    return f"{middle} ({min(percents):+.0f} to {max(percents):+.0f})" if len(percents) > 1 else middle


def _change(percent: float) -> str:
    return f"{percent:+.0f} %"
