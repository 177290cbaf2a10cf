"""Tables 8 and 9: units that correct a detector."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.ablations.numbers import IMAGES, MILLISECONDS, TABLES_8_9, UNITS, Cells, beside, median, seeds_of, shown
from bench.ablations.runs import LEARNT
from bench.downstream.__main__ import IMAGES as SEEN

WHO = {
    "ghcu": "*ghcu*: the paper's unit, a network from all heatmaps to all points.",
    "pca": "*pca*: a point distribution model fitted to the heatmaps.  It is built from the labels and needs no "
    "gradient steps.  Each prediction is weighted by the inverse covariance of its heatmap; the paper does not say "
    "whether its PCA does this.  Noisier labels give more components, and the fit takes longer.",
    "pca alike": "*pca alike*: the same model with equal weights, so that it only filters outliers.",
    "shaped": "*shaped*: that fit, and a network that corrects it.",
    "upright": "*upright*: a second detector that sees the face rotated upright, the paper's Norm.  It starts from the "
    "weights of the first, so a part of its gain comes from longer training, which includes low-resolution images.",
    "none longer": "*none longer*: the first detector, trained on for as long on the same images.",
    "none coarsely": "*coarsely*: the detector saw low-resolution images, one half, from the start; detectors beneath "
    "the other units saw none.",
    "ghcu clear": "*ghcu clear*: *ghcu* trained without low-resolution images.",
}


def corrections(cells: Cells) -> list[str]:
    """Errors of all units on clean and on spoilt images."""
    lines = ["## Tables 8 and 9: corrections of the detector", ""]
    if not seeds_of(cells, "correction"):
        return [*lines, "Not run yet.", ""]
    there = {variant.partition(" ")[2] for experiment, variant in cells if experiment == "correction"}
    lines += [
        "A unit corrects the output of a trained detector, and is trained on the same labels as the detector.  Errors "
        "are against the truth, in % of the interocular distance.  Occluded: a rectangle over each face, its sides 30 "
        "to 50 % of the crop's, often partly outside it.  Low resolution: 12 pixels a side.  Both: the two together, "
        "as the paper describes the videos of 300-VW.  Milliseconds: time that the unit adds for one image on one "
        f"core; the paper reports {MILLISECONDS['ghcu']} (GHCU) and {MILLISECONDS['pca']} (PCA) on its own machine.",
        "",
        "Detectors are those of Table 7, trained on "
        f"{SEEN} images.  Some had to be trained again, so the error of *none* may differ from Table 7 by 1 %.  Units "
        f"that are networks are trained on {LEARNT} more images, half of them at low resolution; *ghcu* and *shaped* "
        "also see the heatmaps of each image moved to "
        "[another shape](../decisions/0009-ambiguity-and-corrections.md).",
        "",
        *(f"- {said}" for unit, said in WHO.items() if unit in there),
        "",
        f"| labels | unit | seeds | {' | '.join(IMAGES.values())} | ms | paper, categories 1 / 2 / 3 |",
        f"|---|---|---|{'---:|' * len(IMAGES)}---:|---|",
    ]
    for labels, unit in UNITS:
        if group := cells.get(("correction", f"{labels} {unit}"), []):
            values = [shown(median(cell["by_images"][how]["truth"] for cell in group)) for how in IMAGES]
            took = shown(median(c["milliseconds"] for c in group if "milliseconds" in c), 1)
            seeds = ", ".join(str(cell["seed"]) for cell in group)
            known = TABLES_8_9.get(f"{labels} {unit}")
            paper = " / ".join(f"{number:.2f}" for number in known) if known else "-"
            lines.append(f"| {labels} | {unit} | {seeds} | {' | '.join(values)} | {took} | {paper} |")
    return [*lines, "", *_which_unit(cells)]


def _which_unit(cells: Cells) -> list[str]:
    """Error of each unit relative to the detector alone, and relative to its rival."""
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
        "Error of a unit relative to another one, or to the detector alone (*none*): median over the seeds that both "
        "have" + (", least and largest in parentheses." if most > 1 else "."),
        "",
        f"| unit | relative to | labels | seeds | {' | '.join(IMAGES.values())} |",
        f"|---|---|---|---|{'---:|' * len(IMAGES)}",
        *(
            f"| {' | '.join((*row, ', '.join(map(str, found)), *map(_changes, zip(*found.values(), strict=True))))} |"
            for row, found in changes.items()
            if row[0] != row[1]
        ),
        "",
        f"Lowest error with human labels: {', '.join(lowest)}.  In the paper, GHCU relative to PCA with refined "
        f"labels, categories 1 / 2 / 3: {' / '.join(_change(100 * (ratio - 1)) for ratio in theirs)}.",
        "",
    ]


def _changes(percents: Sequence[float]) -> str:
    middle = _change(statistics.median(percents))
    return f"{middle} ({min(percents):+.0f} to {max(percents):+.0f})" if len(percents) > 1 else middle


def _change(percent: float) -> str:
    return f"{percent:+.0f} %"
