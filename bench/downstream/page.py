"""The results as a page and as a map: where cleaning pays."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from bench.ablations.numbers import TABLE_7
from bench.downstream.comparison import (
    ANNOTATORS,
    AVERAGES,
    CONTROLS,
    GAP,
    HARMS,
    IN_PART,
    LITTLE,
    ORDER,
    PAYS,
    SEEDS,
    UNSURE,
    compared,
)
from bench.downstream.data import TESTED
from lmk.store import write_text
from lmk.synth.noise import ANNOTATORS as PEOPLE
from lmk.synth.noise import NOISES

PAPER = 100 * (1 - TABLE_7["hourglass"][1] / TABLE_7["hourglass"][0])  # % that the paper gains on 300W
# Short names of the verdicts, for the map; the page lists the verdicts in this order.
SHORT = {
    PAYS: "pays", IN_PART: "pays in part", LITTLE: "small gain", AVERAGES: "averages out",
    ANNOTATORS: "more annotators", UNSURE: "not certain", HARMS: "harms",
}  # fmt: skip
MEANING = {
    PAYS: "the interval of the gain is above zero, and the gain is at least half of the gap",
    IN_PART: "the interval of the gain is above zero, and the gain is less than half of the gap",
    LITTLE: f"the interval of the gain is above zero, and neither gain nor gap is above {GAP:.0f} %",
    AVERAGES: f"the interval of the gap lies within {GAP:.0f} % of zero: better labels hardly matter",
    ANNOTATORS: "the interval of the gap is above zero, and that of the gain is below half of the gap",
    UNSURE: "the interval of the gain contains zero",
    HARMS: "the interval of the gain is below zero",
}
HOW = f"""\
## How it was measured

`python -m bench.downstream` trains networks from scratch on human, refined and true labels of rendered faces.  All
networks of a row have the same training budget.  Each is tested on {TESTED} other faces per seed.  Refined labels are
the output of `lmk clean` with its defaults.

- *Gap*: how much lower the error is with true labels than with human labels, in %.  Cleaning can hardly gain more.
- *Gain*: how much lower the error is with refined labels than with human labels, in %.
- In parentheses: 95 % confidence intervals over seeds (Student's t).  Each seed has its own faces, noise and training;
  three seeds give wide intervals.  A row with fewer than three seeds uses the variance pooled over all rows of its
  network.
- *Over faces*: 95 % interval of the gain over test faces alone (paired bootstrap).  It is narrower, because it leaves
  out the variance between trainings.
- *Closed*: gain relative to gap, where the interval of the gap is above zero.
- *Wide*: the detector and the budget that `lmk train` has by default, trained on all points.  The other networks are
  the profile's downstream models, trained on 16 000 images with at most 40 passes over each face: 8 000 images where
  there are 200 faces.
- *STAR*: the hourglass trained on human labels with the STAR loss (CVPR 2023) in addition to cross-entropy.  The
  weight of that loss was chosen on the test faces of seed 11, which favours STAR.
- *Weighted*: human labels, with ambiguous landmarks weighted less, as `lmk ambiguity` suggests.  The weights of seed 11
  come from an earlier version and differ by up to 7 %.
"""


def write_page(cells: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write downstream.md and the map."""
    rows = [row for measured in ("truth", "human") for row in compared(cells, measured)]
    against_truth = [row for row in rows if row["against"] == "truth"]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    if against_truth:
        write_text(where_it_pays(against_truth), folder / "images" / "downstream.svg")
    write_text(_text(rows), folder / "downstream.md")


def where_it_pays(rows: Sequence[dict[str, Any]]) -> str:
    """The map as SVG: gain, gap in brackets, and verdict of every row."""
    table = pd.DataFrame(
        [
            {
                "network": row["model"],
                "noise": row["noise"],
                "faces": row["count"],
                "gain, %": row["gain"][0],
                "numbers": f"{row['gain'][0]:+.0f} % ({row['gap'][0]:+.0f} %)",
                "verdict": SHORT[row["verdict"]] + _star(row),
            }
            for row in rows
        ]
    )
    base = alt.Chart(table).encode(
        x=alt.X("faces:O", title="training faces", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("noise:N", title="human noise", sort=list(ORDER["noise"])),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("gain, %:Q", scale=alt.Scale(scheme="redblue", domain=[-25, 25], clamp=True))
    )
    numbers = base.mark_text(fontSize=12, dy=-7).encode(text="numbers:N")
    verdicts = base.mark_text(fontSize=10, dy=8).encode(text="verdict:N")
    title = "error reduction by refined labels; in brackets by true labels (the limit); * fewer than three seeds"
    chart = (
        alt.layer(cells, numbers, verdicts)
        .properties(width=330, height=190)
        .facet(column=alt.Column("network:N", title=None, sort=list(ORDER["model"])))
        .properties(title=title)
        .configure(background="white")
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    return svg + "\n"


def _text(rows: Sequence[dict[str, Any]]) -> str:
    noise = (
        "Human noise, as standard deviations relative to the width of the image: *default* has "
        f"{_percent('default', 'along')} along contours and {_percent('default', 'across')} across, and 3 % of its "
        "points are gross errors.  *Half* and *double* have half and twice these standard deviations, and as many "
        f"gross errors.  *Annotators* is *default* with a systematic offset of each of {PEOPLE} annotators along each "
        f"contour, {_percent('annotators', 'slide')}."
    )
    if not rows:
        return "\n".join(["# When does cleaning pay?", "", "No cell has been made yet.", "", HOW, noise, ""])
    lines = ["# When does cleaning pay?", "", found(rows), "", "![where cleaning pays](images/downstream.svg)", "", HOW]
    lines += [noise, "", "## Verdicts", "", *_in_short(rows), "", _reached(rows), ""]
    for against, title in (
        ("truth", "Against the truth"),
        ("human", "Against human test labels, as papers measure it"),
    ):
        judged = against == "truth"  # noise of the test labels shrinks every gap, so a verdict would say little
        lines += [
            f"## {title}",
            "",
            "Mean error in % of the interocular distance.",
            "",
            "| network | noise | faces | seeds | human | refined | true | gap | gain | over faces | closed |"
            + " verdict |" * judged,
            "|---|---|---:|---|---:|---:|---:|---|---|---|---:|" + "---|" * judged,
        ]
        for row in rows:
            if row["against"] == against:
                errors = row["errors"]
                closed = "-" if row["closed"] is None else f"{row['closed']:.0f} %"
                lines.append(
                    f"| {_place(row)} | {errors['human']:.3f} | {errors['refined']:.3f} | {errors['true']:.3f} "
                    f"| {_interval(row['gap'])} | {_interval(row['gain'])} "
                    f"| {row['over_faces'][0]:+.1f} to {row['over_faces'][1]:+.1f} | {closed} |"
                    + (f" {row['verdict']}{_star(row)} |" if judged else "")
                )
        lines.append("")
    return "\n".join([*lines, *_controls(rows)])


def _percent(noise: str, what: str) -> str:
    return f"{100 * getattr(NOISES[noise], what):.1f} %"


def _place(row: dict[str, Any]) -> str:
    return f"{row['model']} | {row['noise']} | {row['count']} | {' '.join(map(str, row['seeds']))}"


def found(rows: Sequence[dict[str, Any]]) -> str:
    """What was found, in three sentences."""
    rows = [row for row in rows if row["against"] == "truth"]
    gains, gaps = [row["gain"][0] for row in rows], [row["gap"][0] for row in rows]
    least, most = (pick(rows, key=lambda row: row["gain"][0]) for pick in (min, max))
    certain = sum(row["gain"][1] > 0 for row in rows)
    harms = sum(row["gain"][2] < 0 for row in rows)
    controls = [row[name] for row in rows for name in CONTROLS if name in row]
    text = (
        f"Networks trained on refined labels have a {statistics.median(gains):.1f} % lower test error than networks "
        f"trained on human labels (median of {len(rows)} combinations of network, noise and number of faces); true "
        f"labels, the limit, give {statistics.median(gaps):.1f} %.  The gain is largest for {_named(most)} "
        f"({most['gain'][0]:+.1f} %) and smallest for {_named(least)} ({least['gain'][0]:+.1f} %); its 95 % interval "
        f"is above zero in {certain} combinations and below zero in {harms}."
    )
    if controls:
        better, worse = sum(low > 0 for _, low, _ in controls), sum(high < 0 for *_, high in controls)
        text += (
            "  For training on human labels with the STAR loss or with weighted landmarks, the interval is above zero "
            f"in {better} of {len(controls)} comparisons and below zero in {worse}."
        )
    return text


def _named(row: dict[str, Any]) -> str:
    return f"{row['model']} with {row['noise']} noise and {row['count']} faces"


def _controls(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Other ways to train on human labels."""
    lines = [
        "## Other ways to train on human labels",
        "",
        "Errors against the truth in % of the interocular distance, and how much lower they are than those of plain "
        "training on human labels, in %.",
        "",
        "| network | noise | faces | seeds | human | STAR | weighted | gain of STAR | gain of weights "
        "| gain of refined labels |",
        "|---|---|---:|---|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        if row["against"] == "truth" and any(name in row for name in CONTROLS):
            errors = [f"{row['errors'][name]:.3f}" if name in row else "-" for name in CONTROLS]
            saved = [_interval(row[name]) if name in row else "-" for name in CONTROLS]
            cells = [f"{row['errors']['human']:.3f}", *errors, *saved, _interval(row["gain"])]
            lines.append(f"| {_place(row)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _in_short(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Combinations by verdict, and how many of those with a large gap gain at least half of it."""
    said = []
    for verdict_, short in SHORT.items():
        where = [_field(row) for row in rows if row["against"] == "truth" and row["verdict"] == verdict_]
        if where:
            shown = "" if short == verdict_ else f"*{short}* on the map; "
            said.append(f"- **{verdict_}** ({shown}{MEANING[verdict_]}): {', '.join(where)}")
    much = [row for row in rows if row["against"] == "truth" and row["gap"][0] > GAP]
    half = [row for row in much if row["gain"][0] >= row["gap"][0] / 2]
    sure = [row for row in half if row["gain"][1] > 0]
    sure_over_faces = [row for row in half if row["over_faces"][0] > 0]
    return [
        f"Against the truth{' (* fewer than three seeds)' if any(map(_star, rows)) else ''}:",
        "",
        *said,
        "",
        f"The gap is above {GAP:.0f} % in {len(much)} combinations.  The gain is at least half of it in {len(half)} of "
        f"these.  Its interval over seeds is above zero in {len(sure)} of these, its interval over faces in "
        f"{len(sure_over_faces)}.",
    ]


def _field(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['noise']} {row['count']}{_star(row)}"


def _star(row: dict[str, Any]) -> str:
    return "*" if len(row["seeds"]) < SEEDS else ""


def _reached(rows: Sequence[dict[str, Any]]) -> str:
    """Where the paper's gain is reached, measured as there and against the truth."""
    said = []
    for against, title in (("human", "human test labels, as the paper measures it"), ("truth", "the truth")):
        where = [_field(row) for row in rows if row["against"] == against and row["gain"][0] >= PAPER]
        said.append(f"against {title}: {', '.join(where) or 'nowhere'}")
    return (
        f"The paper reports a gain of {PAPER:.1f} % on 300W (from {TABLE_7['hourglass'][0]} to "
        f"{TABLE_7['hourglass'][1]}).  Here the gain is as large "
        + "; ".join(said)
        + ".  The noise of human test labels is a part of the error that no training can remove."
    )


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:+.1f} ({values[1]:+.1f} to {values[2]:+.1f})"
