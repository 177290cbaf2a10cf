"""What `lmk audit` says: drift by iteration and by part of the set, what moved as a whole, and how far it has settled.

All numbers are of the points that count (see lmk/history/table.py); lengths in pixels of the image and in % of the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lmk.audit.results import Audit, Numbers, Parts, Shapes
from lmk.errors import UnknownName
from lmk.history.findings import Finding
from lmk.history.gates import judge
from lmk.history.sql import SECONDS, Questions, asking
from lmk.workspace import Workspace

BY = {
    "landmark": "name", "contour": "contour", "split": '"split"', "annotator": "annotator", "source": "source",
    "image": "image", "reason": "reason",
}  # fmt: skip
_MEANS = {  # of the points that count, by the field of Numbers
    "dx": "avg(dx)",
    "dy": "avg(dy)",
    "var_x": "var_samp(dx)",
    "var_y": "var_samp(dy)",
    "cov_xy": "covar_samp(dx, dy)",
    "mean": "avg(drift)",
    "median": "quantile_cont(drift, 0.5)",
    "p95": "quantile_cont(drift, 0.95)",
    "worst": "max(drift)",
    "percent": "avg(percent)",
    "percent_p95": "quantile_cont(percent, 0.95)",
    "along": "avg(along)",
    "across": "avg(across)",
    "along_rms": "sqrt(avg(along * along))",
    "across_rms": "sqrt(avg(across * across))",
    "step": "avg(step)",
    "unchanged": "avg(unchanged::INT)",
    "reversed": "avg(reversed::INT)",
    "crossing": "avg(crossing::INT)",
    "at_edge": "avg(at_edge::INT)",
    "suspected": "avg((suspicion >= 0.5)::INT)",
}
_SURE = 1.96  # standard errors on both sides of an interval


def audited(
    paths: Workspace,
    names: Sequence[str],
    gates: Mapping[str, str],
    by: str | None = None,
    seconds: float = SECONDS,
) -> Audit:
    """The audit of a folder's iterations, with what the gates say of the last one, each within some `seconds`."""
    with asking(paths, names, seconds) as questions:
        return replace(audit(questions, names, by), gates=tuple(judge(questions, gates, names[-1])))


def audit(questions: Questions, names: Sequence[str], by: str | None = None) -> Audit:
    """Everything that `lmk audit` says, but for the gates.

    Args:
        questions: the table of all iterations.
        names: of the iterations, the human labels first.
        by: a name in BY, for the last iteration's numbers by part.
    """
    if by is not None and by not in BY:
        raise UnknownName("part to sort by", by, BY)
    return Audit(
        tuple(of_iteration(questions, name) for name in names[1:]),
        _shapes(questions),
        tuple(Finding(**row) for row in _records(questions.ask("SELECT * FROM findings"))),
        Parts(by, tuple(by_part(questions, names[-1], by) if len(names) > 1 else ())) if by is not None else None,
    )


def of_iteration(questions: Questions, name: str) -> Numbers:
    """The numbers of a whole iteration."""
    found = _numbers(questions, name, "'all'", "part")
    return found[0] if found else Numbers(name, "all", 0)


def by_part(questions: Questions, iteration: str, by: str) -> list[Numbers]:
    """The numbers of each part of an iteration."""
    return _numbers(questions, iteration, BY[by], "min(landmark), part" if by == "landmark" else "part")


def _numbers(questions: Questions, iteration: str, key: str, order: str) -> list[Numbers]:
    """One row for each value of a key of the points that count; the interval of the mean counts images, not points."""
    columns = ", ".join(f"{formula} AS {name}" for name, formula in _MEANS.items())
    where = f"iteration = ? AND counted AND {key} IS NOT NULL"
    table = questions.ask(
        f"""
        SELECT {key} AS part, count(*) AS points, {columns}
        FROM points WHERE {where} GROUP BY part ORDER BY {order}
        """,
        [iteration],
    )
    # The mean is a ratio of two sums over images; its variance is that of what each image adds to it.
    spread = questions.ask(
        f"""
        WITH images AS (
            SELECT {key} AS part, image, count(*) AS n, sum(percent) AS s FROM points WHERE {where} GROUP BY part, image
        )
        SELECT part, count(*) AS images,
               sum(s * s) AS ss, sum(s * n) AS sn, sum(n * n) AS nn, sum(n) AS n, sum(s) AS s
        FROM images GROUP BY part
        """,
        [iteration],
    )
    table = table.merge(spread, on="part", how="left")
    mean = table["s"] / table["n"]
    square = (table["ss"] - 2 * mean * table["sn"] + mean**2 * table["nn"]).clip(lower=0)
    error = np.sqrt(square * table["images"] / (table["images"] - 1).where(table["images"] > 1)) / table["n"]
    table["percent_low"], table["percent_high"] = mean - _SURE * error, mean + _SURE * error
    rows = _records(table.drop(columns=["ss", "sn", "nn", "n", "s"]))
    return [Numbers(iteration=iteration, **row) for row in rows]


def _shapes(questions: Questions) -> tuple[Shapes, ...]:
    """How even and how usual shapes are in each iteration, and how many instances changed sides."""
    table = questions.ask(
        """
        SELECT iteration, count(*) AS instances, avg(asymmetry) AS asymmetry, avg(shape_distance) AS shape_distance,
               count(*) FILTER (swapped) AS swapped
        FROM instances GROUP BY iteration ORDER BY iteration
        """
    )
    return tuple(Shapes(**row) for row in _records(table))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts, None where there is nothing; without the last digits, in which sums of several threads differ."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        {str(name): float(f"{value:.9g}") if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def format_audit(found: Audit) -> str:
    """The same for a terminal."""
    head = (
        "",
        "points",
        "mean",
        "median",
        "p95",
        "worst",
        "% of box",
        "along",
        "across",
        "step",
        "same",
        "back",
        "cross",
    )
    lines = ["drift of the searched points against the first set, in pixels (along, across: root mean square)", ""]
    if not found.iterations:
        return "only the human labels are here; there is no iteration to audit yet"
    lines.append(_head(head, _TITLE))
    lines += [_line(row.iteration, row) for row in found.iterations]
    lines += ["", "shape        instances  asymmetry, % of box  distance from usual shapes, %  sides exchanged"]
    for shape in found.shapes:
        even, unusual = _cell(shape.asymmetry), _cell(shape.shape_distance)
        lines.append(f"{shape.iteration:12s}{shape.instances:10d}{even:>21s}{unusual:>31s}{shape.swapped:17d}")
    lines += ["", *_findings(found.findings)]
    if found.by is not None:
        wide = max([_TITLE, *(len(row.part) + 1 for row in found.by.rows)])
        lines += ["", f"by {found.by.part}, last iteration:", _head(head, wide)]
        lines += [_line(row.part, row, wide) for row in found.by.rows]
    return "\n".join(lines)


_TITLE = 16  # characters of a row's name, at least


def _head(titles: Sequence[str], wide: int) -> str:
    return f"{titles[0]:{wide}s}" + "".join(f"{title:>10s}" for title in titles[1:])


def _line(title: str, row: Numbers, wide: int = _TITLE) -> str:
    lengths = (row.mean, row.median, row.p95, row.worst, row.percent, row.along_rms, row.across_rms, row.step)
    cells = [*map(_cell, lengths), *map(_share, (row.unchanged, row.reversed, row.crossing))]
    return f"{title:{wide}s}{row.points:10d}" + "".join(f"{cell:>10s}" for cell in cells)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


SHOWN = 10  # findings in a terminal


def _findings(found: Sequence[Finding]) -> list[str]:
    if not found:
        return ["nothing moved as a whole, no landmark, no contour, in no part of the set (false alarms: 5 %)"]
    lines = ["moved as a whole, most striking first (chance of any false alarm: 5 %):"]
    lines += [f"  {sentence(row)}" for row in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"  … {len(found)} in all; --json lists them")
    return lines


def sentence(finding: Finding) -> str:
    """A finding in words."""
    if finding.what == "swap":
        many = "1 instance" if finding.images == 1 else f"{finding.images} instances"
        return f"sides exchanged in {many} ({finding.mean_percent:.2f} %)"
    who = finding.name if finding.what == "points" else f"{finding.what} {finding.name}"
    where = f" in {finding.part}" if finding.part else ""
    size = f"{abs(finding.mean_percent):.2f} % of the box {_way(finding)}"
    beyond = {
        "points": "",
        "contour": ", on top of what all points did",
        "landmark": ", on top of what its contour did",
    }[finding.what]
    return f"{who}{where}: {size}{beyond} (t {finding.t:.1f}, {finding.images} images)"


def _way(finding: Finding) -> str:
    back = finding.mean_percent < 0
    return {
        "along": "back along its contour" if back else "along its contour",
        "across": "across its contour, to the left" if back else "across its contour, to the right",
        "right": "to the left" if back else "to the right",
        "down": "up" if back else "down",
    }[finding.direction]
