"""Leaderboards: published numbers of a benchmark as a table and as a picture, with the doubts that there are.

`published.csv` has a row for each number: where it stands, and what is doubtful about it.  Numbers with another
normaliser are never in one table: those by the distance of the pupils are about 1.4 times those by the outer corners of
the eyes.  A variant (another budget, a part left out) is kept, and is in no table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from lmk.errors import DataError, UnknownName
from lmk.store import replacing

TITLES = {
    "300w": "300W, 68 points",
    "300vw": "300-VW, 68 points, video",
    "aflw19": "AFLW, 19 points",
    "cofw29": "COFW, 29 points, occlusion",
    "wflw": "WFLW, 98 points",
}
# The split that a board is sorted by comes last.
SPLITS = {
    "300w": ("common", "challenging", "full"),
    "300vw": ("category1", "category2", "category3"),
    "aflw19": ("frontal", "full"),
    "cofw29": ("test",),
    "wflw": ("pose", "expression", "illumination", "makeup", "occlusion", "blur", "test"),
}
METRICS = {
    "nme_percent": "mean error, % of {normaliser}",
    "rmse_percent": "root mean square error, % of {normaliser}",
    "failure_percent_at_10": "failures, % of faces with an error above 10 % of {normaliser}",
    "occlusion_recall_percent_at_80_precision": "recall of occluded points at a precision of 80 %, %",
}
MORE_IS_BETTER = {"occlusion_recall_percent_at_80_precision"}
_KEY = ["method", "split"]
_DOUBT = "*"


@dataclass(frozen=True)
class Board:
    """Numbers of one benchmark that may be compared: one metric, one normaliser."""

    protocol: str
    metric: str
    normaliser: str
    rows: pd.DataFrame  # method, year, a column for each split; the best last
    doubts: Mapping[tuple[str, str], str]  # what is doubtful of a method's number on a split

    @property
    def splits(self) -> list[str]:
        """The splits that somebody has a number on."""
        return [split for split in SPLITS[self.protocol] if split in self.rows]

    @property
    def title(self) -> str:
        """What the numbers are."""
        return f"{TITLES[self.protocol]}: {METRICS[self.metric].format(normaliser=self.normaliser or 'the face')}"


def published(protocol: str) -> pd.DataFrame:
    """All published numbers of a benchmark, variants included."""
    if protocol not in TITLES:
        raise UnknownName("protocol", protocol, TITLES)
    with resources.files("lmk.protocols").joinpath("published.csv").open("rb") as file:
        table = pd.read_csv(file, keep_default_na=False, dtype={"value": float})
    return table[table["protocol"] == protocol].reset_index(drop=True)


def boards(protocol: str, ours: Mapping[tuple[str, str, str], float] | None = None) -> list[Board]:
    """The leaderboards of a benchmark.

    Args:
        protocol: a key of TITLES.
        ours: the user's own errors by (metric, normaliser, split).
    """
    table = published(protocol)
    table = table[table["variant"] == ""]
    made = []
    for (metric, normaliser), group in table.groupby(["metric", "normaliser"], sort=False):
        mine = [
            {"method": YOURS, "year": None, "split": split, "value": value, "note": "", "source": "", "table": ""}
            for (what, by, split), value in (ours or {}).items()
            if (what, by) == (metric, normaliser)
        ]
        made.append(_board(protocol, str(metric), str(normaliser), pd.concat([group, pd.DataFrame(mine)])))
    return sorted(made, key=lambda board: -len(board.rows))


YOURS = "your model"


def _board(protocol: str, metric: str, normaliser: str, group: pd.DataFrame) -> Board:
    doubts: dict[tuple[str, str], str] = {}
    # Of a number that stands in several places, the one that nobody doubts.
    group = group.assign(doubtful=group["note"] != "").sort_values("doubtful", kind="stable")
    for (method, split), same in group.groupby(_KEY, sort=False):
        others = same[same["value"] != same["value"].iloc[0]]
        if same["note"].iloc[0]:
            doubts[str(method), str(split)] = str(same["note"].iloc[0])
        elif len(others):
            other = others.iloc[0]
            doubts[str(method), str(split)] = f"{other['value']:.2f} in {other['source']}, {other['table']}"
    first = group.drop_duplicates(_KEY)
    year = first.groupby("method")["year"].first()
    wide = first.pivot(index="method", columns="split", values="value")
    splits = [split for split in SPLITS[protocol] if split in wide]
    wide = wide[splits].assign(year=year).reset_index()
    up = metric not in MORE_IS_BETTER
    wide = wide.sort_values(
        [*reversed(splits), "method"], ascending=[not up] * len(splits) + [True], na_position="first"
    )
    return Board(protocol, metric, normaliser, wide[["method", "year", *splits]].reset_index(drop=True), doubts)


def in_words(found: Sequence[Board]) -> str:
    """Leaderboards for a terminal: the best at the bottom, doubts beneath."""
    return "\n\n".join(_in_words(board) for board in found)


def _in_words(board: Board) -> str:
    head = ["method", "year", *board.splits]
    lines = [[str(row["method"]), _year(row["year"]), *(_cell(board, row, split) for split in board.splits)]
             for row in board.rows.to_dict("records")]  # fmt: skip
    wide = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    text = [board.title]
    for line in [head, *lines]:
        name, *numbers = (f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
                          for column, (cell, width) in enumerate(zip(line, wide, strict=True)))  # fmt: skip
        mark = "> " if line[0] == YOURS else "  "
        text.append((mark + "  ".join([name, *numbers])).rstrip())
    said: dict[str, list[str]] = {}
    for (method, split), doubt in board.doubts.items():
        said.setdefault(doubt, []).append(f"{method} ({split})")
    return "\n".join([*text, *(f"  {_DOUBT} {', '.join(who)}: {doubt}" for doubt, who in said.items())])


def _year(year: Any) -> str:
    return "" if pd.isna(year) or year == "" else str(int(year))


def _cell(board: Board, row: dict[Any, Any], split: str) -> str:
    if pd.isna(row[split]):
        return "-"
    return f"{row[split]:.2f}{_DOUBT if (row['method'], split) in board.doubts else ' '}"


def draw(board: Board, target: Path) -> None:
    """Draw one board as an SVG or PNG: a line for each method, by its error on the split that it is sorted by."""
    if target.suffix.lower() not in (".svg", ".png"):
        raise DataError(f"{target}: a picture ends in .svg or .png")
    split = board.splits[-1]
    data = board.rows[board.rows[split].notna()]
    data = pd.DataFrame(
        {
            "method": [f"{row['method']} {_year(row['year'])}".strip() for row in data.to_dict("records")],
            "value": data[split],
            "said": data[split].map("{:.2f}".format),
            "kind": [YOURS if name == YOURS else "doubtful" if (name, split) in board.doubts else "published"
                     for name in data["method"]],
        }
    )  # fmt: skip
    kinds = alt.Scale(domain=["published", "doubtful", YOURS], range=["#1d4ed8", "#94a3b8", "#c2410c"])
    line = alt.Chart(data, title=f"{board.title}; {split}").encode(
        x=alt.X("value:Q", title="%"),
        y=alt.Y("method:N", title=None, sort=data["method"].tolist(), axis=alt.Axis(labelLimit=300)),
        color=alt.Color("kind:N", title=None, scale=kinds),
    )
    numbers = line.mark_text(align="left", dx=8, fontSize=10).encode(text="said:N")
    chart = line.mark_bar(height=2, opacity=0.4) + line.mark_circle(size=70, opacity=1) + numbers
    chart = chart.properties(width=520)
    with replacing(target) as temporary:
        chart.save(str(temporary), format=target.suffix[1:].lower())
