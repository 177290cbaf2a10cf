"""The results as a page and as plots."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.label_truth.data import BENCHES
from bench.label_truth.measures import BINS, FAR
from lmk.store import write_text

ASKED = {"A": -75.0, "B": -60.0, "C": -50.0}
NAMES = {
    "human": "human labels",
    "prediction": "prediction of our network",
    "paper once": "the paper's search, once",
    "paper updated": "the paper's alternation, from last labels",
    "paper not updated": "the paper's alternation, from human labels",
    "shape projection": "projection on a point distribution model (PCA)",
    "2 annotators": "mean of 2 annotators",
    "3 annotators": "mean of 3 annotators",
    "5 annotators": "mean of 5 annotators",
    "ours": "**ours** (`lmk clean`, defaults)",
}
ANNOTATED = ("2 annotators", "3 annotators", "5 annotators")  # they cost more annotation


def write_page(cells: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write label_truth.md and its plots."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        grouped.setdefault((cell["bench"], cell["rival"]), []).append(cell)
    benches = [name for name in BENCHES if (name, "ours") in grouped]
    table = {
        name: {rival: _medians(grouped[name, rival]) for rival in NAMES if (name, rival) in grouped} for name in benches
    }
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in benches:
        write_text(bars(BENCHES[name].title, table[name]), folder / "images" / f"label_truth_{name}.svg")
    write_text(
        lines({name: table[name]["ours"]["steps"] for name in benches}), folder / "images" / "label_truth_steps.svg"
    )
    write_text(_text(benches, table), folder / "label_truth.md")


def _medians(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of one method on one dataset over its seeds."""

    def middle(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return round(statistics.median(known), 4) if known else None

    steps = list(zip(*[[step["clean"] for step in cell["errors"]] for cell in cells], strict=True))
    row: dict[str, Any] = {
        "seeds": sorted(cell["seed"] for cell in cells),
        "error": middle([cell["errors"][-1]["clean"] for cell in cells]),
        "each": [round(cell["errors"][-1]["clean"], 4) for cell in sorted(cells, key=lambda cell: int(cell["seed"]))],
        "gross": middle([cell["errors"][-1]["gross"] for cell in cells]),
        "damaged": middle([cell["damaged"] for cell in cells]),
        "core_seconds": middle([cell["seconds"] and cell["seconds"] * cell["cores"] for cell in cells]),
        "minutes_on_two_cores": middle(
            [cell["seconds"] / 60 if cell["seconds"] and cell["cores"] == 2 else None for cell in cells]
        ),
        "steps": [middle(step) for step in steps],
        "worst_step": round(max(_worst_step(cell) for cell in cells), 2),
    }
    if all(cell.get("shared_habit") for cell in cells):
        row["shared_habit"] = middle([cell["shared_habit"] for cell in cells])
    if all("calibration" in cell for cell in cells):
        row["calibration"] = [
            tuple(map(sum, zip(*counts, strict=True)))
            for counts in zip(*[cell["calibration"] for cell in cells], strict=True)
        ]
    if all("suspicion" in cell for cell in cells):
        keys = ("average_precision", "by_reason", "ceiling", "count")
        row["suspicion"] = {
            kind: {key: middle([cell["suspicion"][kind].get(key) for cell in cells]) for key in keys}
            for kind in cells[0]["suspicion"]
        }
        row["suspected"] = middle([cell["suspected"] for cell in cells])
    return row


def _worst_step(cell: dict[str, Any]) -> float:
    """Largest change of an iteration relative to the best one before it, in %; human labels are not an iteration."""
    errors = [step["clean"] for step in cell["errors"]]
    later = [100 * (error / min(errors[:place]) - 1) for place, error in enumerate(errors) if place > 1]
    return max(later, default=0.0)


def found(table: Mapping[str, Mapping[str, dict[str, Any]]]) -> str:
    """What was found, in three sentences, where there is something to compare."""
    said = []
    ours = {
        name: 100 * (1 - rows["ours"]["error"] / rows["human"]["error"])
        for name, rows in table.items()
        if "human" in rows
    }
    if ours:
        least, most = min(ours, key=lambda name: ours[name]), max(ours, key=lambda name: ours[name])
        said.append(
            f"`lmk clean` reduces the error of human labels by {ours[least]:.0f} % (dataset {least}) to "
            f"{ours[most]:.0f} % (dataset {most}), medians over seeds."
        )
    same = [rival for rival in NAMES if rival not in ("ours", "human", *ANNOTATED)]
    others = {
        name: min((rival for rival in same if rival in rows), key=lambda rival: float(rows[rival]["error"]))
        for name, rows in table.items()
        if any(rival in rows for rival in same)
    }
    if others:
        times = [table[name][rival]["error"] / table[name]["ours"]["error"] for name, rival in others.items()]
        names = ", ".join(sorted({NAMES[rival] for rival in others.values()}))
        said.append(
            f"The best other method that uses the same labels ({names}) has {min(times):.2f} to {max(times):.2f} times "
            "our error."
        )
    five = [rows["5 annotators"]["error"] / rows["ours"]["error"] for rows in table.values() if "5 annotators" in rows]
    if five:
        said.append(
            f"The mean of five annotators per image, five times the work, has {min(five):.1f} to {max(five):.1f} times "
            "our error."
        )
    return "  ".join(said)


def _text(benches: Sequence[str], table: Any) -> str:
    lines = [
        "# Labels against the truth",
        "",
        found(table),
        "",
        "![errors over iterations](images/label_truth_steps.svg)",
        "",
        "## How it was measured",
        "",
        "By `python -m bench.label_truth`.  Error: mean distance of labels from the truth, without gross human errors, "
        "in % of the distance named below; medians over seeds.  *Gross errors*: the same for those points whose human "
        "label is a gross error.  *Clean points damaged*: points without gross error that end up further from the "
        "truth than before by more than 1 % of the width of the image (of the crop for photographs).  Core seconds: "
        "seconds times cores; methods that use our network are charged without its training.  No method sees the "
        "truth.  Methods that need a network use our last one, trained on human labels without the gross errors that "
        "we detected, so they differ only in how they use it.  The paper's alternation is tested twice: every search "
        "starts from the last labels (its update of the observation), or from human labels.",
        "",
    ]
    for name in benches:
        rows, human = table[name], table[name]["human"]["error"] if "human" in table[name] else None
        lines += [
            f"## {name}: {BENCHES[name].title}",
            "",
            f"In % of {BENCHES[name].normaliser}; seeds {', '.join(map(str, rows['ours']['seeds']))}.",
            "",
            f"![errors of all methods](images/label_truth_{name}.svg)",
            "",
            "| labels | error | relative to human | gross errors | clean points damaged | core seconds |",
            "|---|---|---|---|---|---|",
        ]
        for rival, title in NAMES.items():
            if rival in rows:
                row = rows[rival]
                change = f"{100 * (row['error'] / human - 1):+.1f} %" if human else "-"
                gross = "-" if row["gross"] is None else f"{row['gross']:.2f}"
                seconds = "-" if row["core_seconds"] is None else f"{row['core_seconds']:.0f}"
                harm = f"{row['damaged']:.2f} % | {seconds}"
                lines.append(f"| {title} | {row['error']:.3f} | {change} | {gross} | {harm} |")
        ours = rows["ours"]
        steps = " → ".join(f"{step:.3f}" for step in ours["steps"])
        lines += ["", f"Ours over the iterations: {steps}.  Largest change of an iteration relative to the best one "
                  f"before it: {ours['worst_step']:+.2f} % (target: at most +2 %)."]  # fmt: skip
        if human and name in ASKED:
            lines.append(f"Target: {ASKED[name]:.0f} %; found: {100 * (ours['error'] / human - 1):+.1f} %.")
        if ours["minutes_on_two_cores"] is not None:
            lines.append(f"`lmk clean` took {ours['minutes_on_two_cores']:.1f} minutes on two idle cores.")
        if "shared_habit" in ours:
            lines += [
                "",
                "No method can remove an offset that all annotators of a dataset share.  Labels whose only error is "
                f"this offset have an error of {ours['shared_habit']:.3f} here.  Offsets of single annotators from the "
                "mean of all are estimated where the labels name their annotator, and removed.",
            ]
        if "suspicion" in ours:
            lines += [
                "",
                "| gross error | count | average precision | best possible | relative to best |",
                "|---|---|---|---|---|",
            ]
            for kind, each in ours["suspicion"].items():
                lines.append(_precision(kind, each["count"], each["average_precision"], each["ceiling"]))
                if each["by_reason"] is not None:
                    lines.append(_precision(f"{kind}, by reason", each["count"], each["by_reason"], each["ceiling"]))
            lines += [
                "",
                f"False alarms: {ours['suspected']:.2f} % of the clean points have a suspicion of 0.5 or more.",
            ]
        if "calibration" in ours:
            lines += ["", *_calibration(ours["calibration"])]
        lines.append("")
    return "\n".join(lines)


def _calibration(counts: Sequence[tuple[int, int]]) -> list[str]:
    """Suspicions next to the share of gross errors."""
    bins = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(BINS)]
    shares = [f"{100 * wrong / all_:.0f} % of {all_}" if all_ else "-" for all_, wrong in counts]
    return [
        "Suspicion, and how many of these points are gross errors, those that are far off among them (further from "
        f"the truth than {FAR:g} times the median of their landmark):",
        "",
        f"| {' | '.join(bins)} |",
        "|" + "---|" * len(bins),
        f"| {' | '.join(shares)} |",
    ]


def _precision(kind: str, count: float, precision: float, best: float | None) -> str:
    shown, share = ("-", "-") if best is None else (f"{best:.3f}", f"{100 * precision / best:.0f} %")
    return f"| {kind} | {count:.0f} | {precision:.3f} | {shown} | {share} |"


_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    '<rect width="100%" height="100%" fill="#fff"/>'
)


def bars(title: str, rows: Mapping[str, dict[str, Any]]) -> str:
    """One bar a method."""
    known = sorted(rows.items(), key=lambda item: -item[1]["error"])
    top = max(row["error"] for _, row in known)
    height = 34 + 22 * len(known)
    parts = [_HEAD.format(width=640, height=height), f'<text x="8" y="18" font-weight="bold">{title}</text>']
    for place, (rival, row) in enumerate(known):
        y, long = 30 + 22 * place, 300 * row["error"] / top
        colour = "#c2410c" if rival == "ours" else "#94a3b8"
        name = NAMES[rival].replace("**", "").replace("`", "")
        parts.append(
            f'<text x="272" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="280" y="{y}" width="{long:.1f}" height="17" fill="{colour}"/>'
            f'<text x="{286 + long:.1f}" y="{y + 13}">{row["error"]:.2f}</text>'
        )
    return "".join([*parts, "</svg>\n"])


def lines(series: Mapping[str, Sequence[float]]) -> str:
    """One line a dataset: the error of each iteration relative to that of the human labels."""
    colours = ("#c2410c", "#1d4ed8", "#047857", "#7c3aed", "#b45309")
    count = max((len(steps) for steps in series.values()), default=2)
    parts = [_HEAD.format(width=560, height=280)]
    for share in (0, 25, 50, 75, 100):
        y = 250 - 2.2 * share
        parts.append(
            f'<path d="M50 {y}H430" stroke="#e2e8f0"/><text x="44" y="{y + 4}" text-anchor="end">{share} %</text>'
        )
    parts += [
        f'<text x="{60 + 360 * i / (count - 1):.0f}" y="270" text-anchor="middle">i{i:02d}</text>' for i in range(count)
    ]
    for steps, colour in zip(series.values(), colours, strict=False):
        dots = [(60 + 360 * i / (count - 1), 250 - 220 * step / steps[0]) for i, step in enumerate(steps)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    ends = sorted((250 - 220 * s[-1] / s[0], name, c) for (name, s), c in zip(series.items(), colours, strict=False))
    for place, (y, name, colour) in enumerate(ends):
        shown = min(y + 4, 246 - 15 * (len(ends) - 1 - place))
        parts.append(f'<text x="436" y="{shown:.1f}" fill="{colour}">{name} {100 * (250 - y) / 220:.0f} %</text>')
    return "".join([*parts, "</svg>\n"])
