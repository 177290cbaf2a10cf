"""The results as a page and as a map: where cleaning pays."""

from __future__ import annotations

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
# In the words of the map, what a field's verdict is; the page lists fields in this order.
SHORT = {
    PAYS: "pays", IN_PART: "pays in part", LITTLE: "a little", AVERAGES: "averages by itself",
    ANNOTATORS: "more annotators", UNSURE: "not certain", HARMS: "harms",
}  # fmt: skip
MEANING = {
    PAYS: "the gain is certain, its interval above zero, and at least half of the gap",
    IN_PART: "the gain is certain, and less than half of the gap",
    LITTLE: f"the gain is certain, and neither it nor the gap above {GAP:.0f} %",
    AVERAGES: f"true labels, too, are certain to save no more than {GAP:.0f} %",
    ANNOTATORS: "the gap is certain, and so is that the gain is less than half of it",
    UNSURE: "the interval of the gain holds zero, and nothing else is certain",
    HARMS: "refined labels are certain to give a larger error",
}


def write_page(cells: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write downstream.md and the map."""
    rows = [row for measured in ("truth", "human") for row in compared(cells, measured)]
    against_truth = [row for row in rows if row["against"] == "truth"]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    if against_truth:
        write_text(where_it_pays(against_truth), folder / "images" / "downstream.svg")
    write_text(_text(rows), folder / "downstream.md")


def where_it_pays(rows: Sequence[dict[str, Any]]) -> str:
    """The map as SVG: what refined labels gain over human ones, in brackets what true ones gain, and what that says."""
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
        x=alt.X("faces:O", title="faces to learn from", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("noise:N", title="human noise", sort=list(ORDER["noise"])),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("gain, %:Q", scale=alt.Scale(scheme="redblue", domain=[-25, 25], clamp=True))
    )
    numbers = base.mark_text(fontSize=12, dy=-7).encode(text="numbers:N")
    verdicts = base.mark_text(fontSize=10, dy=8).encode(text="verdict:N")
    chart = (
        alt.layer(cells, numbers, verdicts)
        .properties(width=330, height=190)
        .facet(column=alt.Column("network:N", title=None, sort=list(ORDER["model"])))
        .properties(title="error saved by refined labels, and in brackets by true ones; * less than three seeds")
        .configure(background="white")
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    return svg + "\n"


def _text(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "# When does cleaning pay?",
        "",
        "By `python -m bench.downstream`.  Networks are trained from scratch on human, on refined and on true "
        f"labels of rendered faces, with one budget in each row, and tested on {TESTED} other faces a seed.  "
        "Refined labels are those of `lmk clean` with its defaults.  *Gap* is what true labels save of the error "
        "that human labels give, about the most that cleaning could; *gain* is what refined labels save; both in "
        "%, with intervals of 95 %: Student's t over seeds, each with other faces, noise and trainings, wide for "
        "three.  A row of fewer than three is taken to scatter as seeds do in all rows of its network.  *Over "
        "faces* is the narrower interval of the gain over test faces alone (a paired bootstrap), which knows of no "
        "other training.  *Closed* is the gain in parts of the gap, where the gap's interval is above zero.  "
        "*STAR* is a hourglass on human labels with the ambiguity-aware loss of that name (CVPR 2023) beside "
        "cross-entropy, whose one weight was chosen on test faces of seed 11, in its favour; *weighted* learns "
        "human labels with loose landmarks counting less, as `lmk ambiguity` says (weights of seed 11 come from an "
        "earlier version and differ by up to 7 %).  *Wide* is the detector that `lmk train` makes with its "
        "defaults, trained as long as that does, on all points; the others are the profile's downstream models "
        "with 16 000 images, but each face no more than 40 times: 8 000 images of 200 faces.",
        "",
        f"Human noise: *default* misses contours by {_percent('default', 'along')} of the image's width along them and "
        f"{_percent('default', 'across')} across (standard deviations), and 3 % of the points grossly; *half* and "
        "*double* are half and twice as loose, with as many gross errors; *annotators* is *default*, and each of "
        f"{PEOPLE} annotators has a habit of {_percent('annotators', 'slide')} along each contour.",
        "",
    ]
    if not rows:
        return "\n".join([*lines, "No cell has been made yet.", ""])
    lines += ["![where cleaning pays](images/downstream.svg)", "", *_in_short(rows), "", _reached(rows), ""]
    for against, title in (("truth", "Against the truth"), ("human", "Against human test labels, as papers measure")):
        judged = against == "truth"  # against noisy labels a gap is diluted, and its size says little
        lines += [
            f"## {title}",
            "",
            "Mean error in % of interocular.",
            "",
            "| network | noise | faces | seeds | human | refined | true | gap | gain | over faces | closed |"
            + " |" * judged,
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


def _controls(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What human labels give when they are learnt more cleverly."""
    lines = [
        "## Human labels, learnt more cleverly",
        "",
        "Errors against the truth, and what is saved of those that human labels give as they are.",
        "",
        "| network | noise | faces | seeds | human | STAR | weighted | STAR saves | weights save | refined labels "
        "save |",
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
    """Fields by verdict, and how those with much to win fare."""
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
        f"Against the truth{' (* less than three seeds)' if any(map(_star, rows)) else ''}:",
        "",
        *said,
        "",
        f"True labels save more than {GAP:.0f} % in {len(much)} fields; refined ones save at least half of that in "
        f"{len(half)}, and in {len(sure)} of these the interval of what they save is above zero; the one over test "
        f"faces alone is in {len(sure_over_faces)}.",
    ]


def _field(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['noise']} {row['count']}{_star(row)}"


def _star(row: dict[str, Any]) -> str:
    return "*" if len(row["seeds"]) < SEEDS else ""


def _reached(rows: Sequence[dict[str, Any]]) -> str:
    """Where the paper's gain is reached, measured as there and against the truth."""
    said = []
    for against, title in (("human", "human test labels, as there"), ("truth", "the truth")):
        where = [_field(row) for row in rows if row["against"] == against and row["gain"][0] >= PAPER]
        said.append(f"against {title}: {', '.join(where) or 'nowhere'}")
    return (
        f"The paper gains {PAPER:.1f} % on 300W ({TABLE_7['hourglass'][0]} to {TABLE_7['hourglass'][1]}). Here so much "
        "is reached "
        + "; ".join(said)
        + ". The noise of human test labels is a part of the error that no training can save."
    )


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:+.1f} ({values[1]:+.1f} to {values[2]:+.1f})"
