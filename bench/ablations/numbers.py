"""The paper's numbers, and how ours are looked up and shown, for text and charts alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# NME on 300W (Tables 5, 6 and 7), and RMSE on 300-VW's categories 1, 2 and 3 (Tables 8 and 9).
TABLE_5 = {"0": 4.99, "0.01": 4.79, "0.05": 4.40, "0.1": 4.37, "0.3": 4.46, "0.5": 4.54, "1.0": 4.68}
TABLE_6 = {"1": 4.76, "7": 4.72, "11": 4.61, "15": 4.53, "19": 4.37, "25": 4.43}
TABLE_7 = {"hourglass": (5.04, 4.37), "resnet": (5.49, 5.12)}
TABLES_8_9 = {
    "human none": (4.32, 3.83, 9.91), "human ghcu": (4.03, 3.66, 8.15), "refined none": (4.06, 3.58, 9.19),
    "refined ghcu": (3.85, 3.46, 7.51), "refined pca": (3.99, 3.26, 7.69),
}  # fmt: skip
MILLISECONDS = {"pca": 1219, "ghcu": 149}
AGAINST = {"truth": "the truth", "human": "human labels"}
IMAGES = {"clean": "clean", "occluded": "occluded", "coarse": "low resolution", "both": "both"}

# Rows of Tables 8 and 9: `clear`, a unit that saw no low-resolution images; `coarsely`, a detector that saw them from
# the start; `longer`, a detector trained for as long as the units; `alike`, a shape model with equal weights.
UNITS = (
    *(("human", unit) for unit in ("none", "ghcu", "ghcu clear", "pca alike", "pca", "shaped", "upright")),
    *(("human", unit) for unit in ("none longer", "none coarsely", "pca coarsely")),
    *(("refined", unit) for unit in ("none", "ghcu", "pca alike", "pca", "shaped", "upright")),
)
TOGETHER = {"lambda": "search", "template": "search", "update": "alternation", "stop": "alternation"}
STOPS = {0: ("update", "baseline"), **{n: ("stop", str(n)) for n in (2, 4, 6, 8)}, 10: ("update", "updated")}
SAME = {"template": {"7": "1", "15": "11", "19": "0.1"}}  # in pixels of our heatmaps; 19 is the row of lambda 0.1

Cells = Mapping[tuple[str, str], Sequence[dict[str, Any]]]


def whole(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells of the seeds that have most rows of their tables, so that rows can be compared with each other.

    All corrections are kept, as each of their rows lists its seeds.
    """
    made: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for cell in cells:
        tables, row = TOGETHER.get(cell["experiment"], ""), (cell["experiment"], cell["variant"])
        made.setdefault((tables, cell["seed"]), set()).add(row)
    most: dict[str, set[tuple[str, str]]] = {}
    for (tables, _), rows in made.items():
        most[tables] = max(most.get(tables, set()), rows, key=len)
    return [
        cell
        for cell in cells
        if (tables := TOGETHER.get(cell["experiment"], "")) == "" or made[tables, cell["seed"]] == most[tables]
    ]


def at(cells: Cells, experiment: str, variant: str, where: str, epoch: int, what: str) -> float | None:
    """Median over seeds of an error of the detector (`errors`) or of its training labels (`labels`) at an epoch."""
    return median(cell[where][epoch][what] for cell in cells.get((experiment, variant), []))


def searched(cells: Cells, experiment: str, variant: str) -> Sequence[dict[str, Any]]:
    """The cells of a row of Table 5 or 6."""
    known = SAME.get(experiment, {}).get(variant, variant)
    return cells.get(("lambda" if known == "0.1" else experiment, known), [])


def median(values: Iterable[float]) -> float | None:
    """None of no values."""
    found = list(values)
    return statistics.median(found) if found else None


def beside(cells: Cells, labels: str, unit: str, other: str) -> dict[int, list[float]]:
    """Error of a unit relative to another's, difference in %, for each seed that both have and each kind of images."""
    rival = {cell["seed"]: cell["by_images"] for cell in cells.get(("correction", f"{labels} {other}"), [])}
    own = {cell["seed"]: cell["by_images"] for cell in cells.get(("correction", f"{labels} {unit}"), [])}
    return {
        seed: [100 * (own[seed][how]["truth"] / rival[seed][how]["truth"] - 1) for how in IMAGES]
        for seed in sorted(own.keys() & rival.keys())
    }


def seeds_of(cells: Cells, experiment: str) -> str:
    """The seeds of an experiment, for people."""
    found = {cell["seed"] for (name, _), group in cells.items() if name == experiment for cell in group}
    return ", ".join(map(str, sorted(found)))


def shown(value: float | None, digits: int = 3) -> str:
    """A number in a table."""
    return "-" if value is None else f"{value:.{digits}f}"
