"""How well `lmk ambiguity` estimates the noise that was injected: `python -m bench.ambiguity --work DIR`.

Rendered faces with each kind of human noise are cleaned by `lmk clean` with its defaults (bench.downstream has already
done so where DIR is the same).  The standard deviation that the command estimates for every landmark is compared with
the injected one, which nothing but the renderer has seen.  A part can be made alone (`--noise default --seed 11`).  The
cells are docs/results/ambiguity.jsonl, the page is docs/results/ambiguity.md.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from bench.cells import RESULTS, Cell, Cells, parsed, parser_of, profile
from bench.downstream.__main__ import cleaned
from bench.downstream.data import COUNTS, NOISES, SIDE, part, render
from bench.label_truth.data import read_truth
from lmk.annotations import AnnotationSet
from lmk.audit.ambiguity import DOUBT, FEWEST, MEMORY, MODEL, Ambiguity, of_iteration
from lmk.audit.drift import evidence_of
from lmk.config import default_profile, load_params
from lmk.console import Progress
from lmk.kernels.frames import axes, split
from lmk.store import digest_of, read_annotations, write_text
from lmk.synth.noise import ANNOTATORS, CORNERS, annotator_name, contour_of, slides
from lmk.synth.noise import NOISES as MODELS

DIRECTIONS = ("along", "across")
NEAR = 0.15  # target: largest error of an estimate relative to the injected standard deviation


def recipe() -> str:
    """A digest of the constants of intervals; the estimates themselves depend on FEWEST alone."""
    return digest_of(MODEL, DOUBT, MEMORY, FEWEST)


CELLS = Cells("ambiguity", ("noise", "faces", "seed"), lambda _: {"profile": profile(), "recipe": recipe()})


def main() -> None:
    """Clean what is not clean yet, compare, write the page."""
    parser = parser_of("ambiguity", __doc__)
    parser.add_argument("--noise", choices=NOISES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--count", type=int, choices=COUNTS, default=500, help="faces (default 500)")
    options = parsed(parser)
    CELLS.fill(
        [(noise, options.count, seed) for noise in options.noise or NOISES for seed in options.seed],
        make_cell,
        lambda cell: ", ".join(f"{name} {cell[name]['median_ratio']} of injected" for name in DIRECTIONS),
        options,
    )
    rows = [cell for cell in CELLS.all() if cell["profile"] == profile()]
    write_page(sorted(rows, key=place), RESULTS)


def make_cell(noise: str, faces: int, seed: int, work: Path) -> Cell:
    """Clean one set and compare the estimates with the noise that was injected."""
    params = load_params(default_profile(), ["data.scheme=ibug68"])
    pool = render(noise, seed, work, Progress("drawing faces", "faces"))
    folder = part(pool, 0, faces, work / f"{noise}-{faces}-{seed}")
    paths = cleaned(folder, params)
    human, refined = (read_annotations(paths.annotations(name)) for name in ("i00", params.refine.last))
    found = of_iteration(paths, params.refine.last)
    return compared(found, refined_errors(refined, read_truth(refined, folder)), human, noise, seed)


def place(row: Cell) -> tuple[int, int, int]:
    """Of a row on the page."""
    return NOISES.index(row["noise"]), row["faces"], row["seed"]


def refined_errors(refined: AnnotationSet, truth: AnnotationSet) -> Any:
    """(K, 2) error of refined labels along and across contours, root mean square in % of the box.

    Likely gross errors are weighted down, as in the estimate.
    """
    off = 100 * (refined.points - truth.points) / refined.boxes[:, None, 2:]
    parts = split(off, axes(refined.scheme.tangents(refined.points)))
    trust = 1 - np.nan_to_num(evidence_of(refined, "suspicion"))[..., None]
    return np.sqrt(np.nansum(trust * parts**2, 0) / trust.sum(0))


def compared(found: list[Ambiguity], errors: Any, human: AnnotationSet, noise: str, seed: int) -> Cell:
    """Estimates and errors of refined labels, both relative to the injected standard deviations, over all landmarks."""
    injected = spread_of(human, noise, seed)
    result: Cell = {}
    for column, direction in enumerate(DIRECTIONS):
        values = np.array([getattr(row, direction) for row in found])
        ratio = values[:, 0] / injected[:, column]
        held = (values[:, 1] <= injected[:, column]) & (injected[:, column] <= values[:, 2])
        result[direction] = {
            "median_ratio": round(float(np.median(ratio)), 3),
            "p5": round(float(np.quantile(ratio, 0.05)), 3),
            "p95": round(float(np.quantile(ratio, 0.95)), 3),
            "within_15": round(100 * float((abs(ratio - 1) <= NEAR).mean()), 1),
            "covered": round(100 * float(held.mean()), 1),
            "refined_error": round(float(np.median(errors[:, column] / injected[:, column])), 3),
        }
    return result


def spread_of(human: AnnotationSet, noise: str, seed: int) -> Any:
    """(K, 2) injected standard deviations in % of the box, for these faces and these annotators."""
    model, scheme = MODELS[noise], human.scheme
    unit = SIDE / human.boxes[:, 2] * 100
    along = np.full(scheme.size, model.along**2)
    across = np.full(scheme.size, model.across**2)
    round_ = np.isin(np.arange(scheme.size), CORNERS[scheme.name])
    along[round_] = across[round_] = model.corner**2
    square = np.sqrt((unit**2).mean())
    if model.slide:  # annotators' own offsets count as noise, the offset that all of them share does not
        names = human.instances["annotator"].to_numpy()
        known = [annotator_name(number) for number in range(ANNOTATORS)]
        habits = slides(scheme, seed, model.slide)
        each = habits[[known.index(name) for name in names]]
        contour = contour_of(scheme)
        along = along + np.where((contour >= 0) & ~round_, each.var(0)[contour], 0)
    return square * np.sqrt(np.stack([along, across], -1))


def write_page(rows: list[Cell], folder: Path) -> None:
    """Write ambiguity.md and its plot."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    if rows:
        write_text(vl_convert.vegalite_to_svg(chart(rows).to_json()) + "\n", folder / "images" / "ambiguity.svg")
    write_text(page(rows), folder / "ambiguity.md")


def chart(rows: list[Cell]) -> Any:
    """Median and 90 % range over landmarks of estimated / injected, one line a row, over the target band."""
    table = pd.DataFrame(
        {
            "set": f"{row['noise']} {row['faces']}, seed {row['seed']}",
            "noise": row["noise"],
            "direction": direction,
            **{name: row[direction][name] for name in ("median_ratio", "p5", "p95")},
        }
        for row in rows
        for direction in DIRECTIONS
    )
    base = alt.Chart(table).encode(
        y=alt.Y("set:N", title=None, sort=None), color=alt.Color("noise:N", sort=list(NOISES), legend=None)
    )
    where = alt.Scale(zero=False)
    band = alt.Chart(table).mark_rect(color="#eeeeee").encode(x=alt.datum(1 - NEAR), x2=alt.datum(1 + NEAR))
    spans = base.mark_rule().encode(x=alt.X("p5:Q", title="estimated / injected", scale=where), x2="p95:Q")
    points = base.mark_point(filled=True, size=60).encode(x=alt.X("median_ratio:Q", scale=where))
    return (
        alt.layer(band, spans, points)
        .properties(width=300, height=alt.Step(18))
        .facet(column=alt.Column("direction:N", title=None, sort=list(DIRECTIONS)))
        .configure(background="white")
    )


def found(rows: list[Cell]) -> str:
    """What was found, in three sentences."""
    ratios = [row[direction]["median_ratio"] for row in rows for direction in DIRECTIONS]
    near = [row[direction]["within_15"] for row in rows for direction in DIRECTIONS]
    worst_row, worst = min(product(rows, DIRECTIONS), key=lambda each: float(each[0][each[1]]["within_15"]))
    text = (
        f"`lmk ambiguity` estimates the standard deviation of annotators per landmark: relative to the injected one, "
        f"the median over landmarks is {min(ratios):.2f} to {max(ratios):.2f}, depending on the dataset.  On average "
        f"{sum(near) / len(near):.0f} % of the landmarks are within {100 * NEAR:.0f} % of the injected value, and at "
        f"worst {worst_row[worst]['within_15']:.0f} % ({worst_row['noise']} noise, seed {worst_row['seed']}, {worst} "
        "contours)."
    )
    valid = [row for row in rows if CELLS.valid(row)]
    if covered := [row[direction]["covered"] for row in valid for direction in DIRECTIONS]:
        text += (
            f"  The 95 % intervals contain the injected value for {sum(covered) / len(covered):.0f} % of the landmarks "
            f"on average, and for {min(covered):.0f} % in the worst dataset."
        )
    return text


def page(rows: list[Cell]) -> str:
    """The page: findings, method, table."""
    pixels = ", ".join(f"{noise} {MODELS[noise].across * SIDE:.1f}" for noise in NOISES)
    lines = [
        "# How loosely annotators place landmarks",
        "",
        *([found(rows), ""] if rows else []),
        "![estimated and injected standard deviations](images/ambiguity.svg)",
        "",
        "## How it was measured",
        "",
        "`python -m bench.ambiguity` cleans rendered faces by `lmk clean` with its defaults and compares the standard "
        "deviation that `lmk ambiguity` estimates for each of 68 landmarks with the injected one, along and across "
        "contours.  *Within 15 %*: share of landmarks.  *Covered*: share of landmarks whose 95 % interval contains the "
        "injected value.  *Error of refined labels*: root mean square, relative to the injected standard deviation, "
        "median over landmarks.  A - marks rows that were made before this was measured, or with other intervals.",
        "",
        f"Injected standard deviation across contours, in pixels of {SIDE}: {pixels}.  The estimate subtracts the "
        "error of the refined labels, which the refiner reports.  Where this error is nearly as large as the noise, "
        "one label per point cannot separate the two, and the estimate is least accurate.",
        "",
        "| noise | faces | seed | direction | estimated / injected | 5 % to 95 % of landmarks | within 15 % | covered "
        "| error of refined labels |",
        "|---|---:|---:|---|---:|---|---:|---:|---:|",
    ]
    for row in rows:
        for direction in DIRECTIONS:
            one = row[direction]
            covered = f"{one['covered']:.0f} %" if CELLS.valid(row) else "-"
            error = f"{one['refined_error']:.2f}" if "refined_error" in one else "-"
            lines.append(
                f"| {row['noise']} | {row['faces']} | {row['seed']} | {direction} | {one['median_ratio']:.3f} "
                f"| {one['p5']:.3f} to {one['p95']:.3f} | {one['within_15']:.0f} % | {covered} | {error} |"
            )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
