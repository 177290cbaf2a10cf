"""How much lower a network's error is with refined or true labels than with human ones: intervals and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
BySeed = dict[int, dict[str, Floats]]  # of each seed and kind of labels, the errors of the test faces
ORDER = {"noise": ("half", "default", "annotators", "double"), "model": ("hourglass", "wide", "resnet")}
GAP = 5.0  # %; a smaller gap leaves little for cleaning to gain
CONTROLS = ("star", "weighted")  # other ways to train on human labels
ROUNDS = 2000  # of the bootstrap
SEEDS = 3  # with fewer, the interval uses the variance of all rows of the network
PAYS, IN_PART = "cleaning pays", "cleaning pays in part"
LITTLE, HARMS, UNSURE = "a small gain", "cleaning harms", "not certain"
AVERAGES, ANNOTATORS = "the network averages out the noise", "only more annotators help"


def compared(cells: Sequence[dict[str, Any]], against: str) -> list[dict[str, Any]]:
    """One row for each noise, count and network; seeds that lack human, true or refined labels are left out."""
    errors: dict[tuple[str, int, str], BySeed] = {}
    for cell in cells:
        place = errors.setdefault((cell["noise"], cell["count"], cell["model"]), {})
        place.setdefault(cell["seed"], {})[cell["labels"]] = np.array(cell["errors"][against], np.float64)
    fields = [
        Field(noise, count, model, whole)
        for (noise, count, model), by_seed in errors.items()
        if (whole := _whole(by_seed))
    ]
    order = {name: number for number, name in enumerate([*ORDER["noise"], *ORDER["model"]])}
    rows = [{"against": against, **_row(field, fields)} for field in fields]
    return sorted(rows, key=lambda row: (order[row["model"]], order[row["noise"]], row["count"]))


def _whole(by_seed: BySeed) -> BySeed:
    """The seeds with a network for each of these labels."""
    return {seed: found for seed, found in by_seed.items() if {"human", "true", "refined"} <= found.keys()}


class Field:
    """Errors of one network after one kind of noise and so many faces; labels of one seed share their test faces."""

    def __init__(self, noise: str, count: int, model: str, by_seed: BySeed):
        self.noise, self.count, self.model, self.seeds = noise, count, model, sorted(by_seed)
        self.labels = [
            name for name in ("human", "true", "refined", *CONTROLS) if all(name in found for found in by_seed.values())
        ]
        tables = [np.stack([by_seed[seed][name] for name in self.labels], 1) for seed in self.seeds]
        self.tables = [table[np.isfinite(table).all(1)] for table in tables]  # (faces, labels) of each seed

    def saved(self, name: str) -> Floats:
        """Error reduction relative to human labels, in %, for each seed."""
        return np.array([self._saved(table.mean(0), name) for table in self.tables])

    def over_faces(self, name: str) -> list[float]:
        """95 % interval of the seeds' mean over test faces, with the trainings as they are: a paired bootstrap."""
        random, drawn = np.random.default_rng(0), np.zeros(ROUNDS)
        for table in self.tables:
            draws = random.integers(len(table), size=(ROUNDS, len(table)))
            drawn += [self._saved(table[draw].mean(0), name) / len(self.tables) for draw in draws]
        return [round(float(end), 2) for end in np.quantile(drawn, [0.025, 0.975])]

    def _saved(self, mean: Floats, name: str) -> float:
        return float(100 * (1 - mean[self.labels.index(name)] / mean[self.labels.index("human")]))


def _row(field: Field, fields: Sequence[Field]) -> dict[str, Any]:
    mean = np.concatenate(field.tables).mean(0)
    row: dict[str, Any] = {
        "noise": field.noise,
        "count": field.count,
        "model": field.model,
        "seeds": field.seeds,
        "faces": sum(map(len, field.tables)),
        "errors": {name: round(float(value), 4) for name, value in zip(field.labels, mean, strict=True)},
        "each_seed": {
            name: [round(float(table[:, place].mean()), 4) for table in field.tables]
            for place, name in enumerate(field.labels)
        },
        "gap": _with_interval(field, "true", fields),
        "gain": _with_interval(field, "refined", fields),
        "over_faces": field.over_faces("refined"),
    }
    row |= {name: _with_interval(field, name, fields) for name in CONTROLS if name in field.labels}
    row["closed"] = round(100 * row["gain"][0] / row["gap"][0], 1) if row["gap"][1] > 0 else None
    row["verdict"] = verdict(row)
    return row


def _with_interval(field: Field, name: str, fields: Sequence[Field]) -> list[float]:
    """Error reduction relative to human labels, in %, and its 95 % interval over seeds.

    Each seed has its own faces, noise and training.  One or two seeds say little about the variance between seeds, so
    it is pooled over all fields of the network.  Where no field has two seeds, the interval is that over test faces.
    """
    each = field.saved(name)
    middle, others = float(each.mean()), [each]
    if len(each) < SEEDS:
        others = [one.saved(name) for one in fields if one.model == field.model and name in one.labels]
    freedom = sum(len(one) - 1 for one in others)
    if freedom:
        deviation = np.sqrt(sum(((one - one.mean()) ** 2).sum() for one in others) / freedom)
        reach = float(stats.t.ppf(0.975, freedom) * deviation / np.sqrt(len(each)))
        low, high = middle - reach, middle + reach
    else:
        low, high = field.over_faces(name)
    return [round(float(number), 2) for number in (middle, low, high)]


def verdict(row: dict[str, Any]) -> str:
    """The verdict on a row, from the intervals of gap and gain."""
    (gap, gap_low, gap_high), (gain, low, high) = row["gap"], row["gain"]
    if high < 0:
        return HARMS
    if low > 0:
        if max(gap, gain) <= GAP:
            return LITTLE
        return PAYS if gain >= gap / 2 else IN_PART
    if gap_low >= -GAP and gap_high <= GAP:
        return AVERAGES
    return ANNOTATORS if gap_low > 0 and high < gap / 2 else UNSURE
