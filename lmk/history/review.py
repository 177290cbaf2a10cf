"""What people corrected in another tool, as decisions.

`lmk export DIR` hands out the labels that hold; what comes back is compared with them, point by point.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lmk.annotations import FAR, UNIT, AnnotationSet, make_set
from lmk.errors import DataError
from lmk.formats.base import Format
from lmk.formats.exchange import read
from lmk.history import ledger
from lmk.store import read_annotations
from lmk.workspace import Workspace

HUMAN = "i00.parquet"
SAME = 2 * UNIT  # pixels; tools round what they keep, and nobody means so small a move
_GONE, _OCCLUDED = 0, 1  # visibilities


def handed_out(path: Path) -> tuple[AnnotationSet, AnnotationSet | None]:
    """The labels to hand out, and the human ones that they were made of, where these are known.

    Args:
        path: the folder of a cleaning (the labels that hold), or a set's file.
    """
    if path.is_dir():
        files = list(Workspace(path).files().values())
        return ledger.accepted(read_annotations(files[-1]), Workspace(path).decisions), read_annotations(files[0])
    human = next((file for place in ("annotations", "") if (file := path.parent / place / HUMAN).is_file()), None)
    return read_annotations(path), None if human is None else read_annotations(human)


def most_doubtful(annotations: AnnotationSet, count: int) -> AnnotationSet:
    """The images with the most doubtful points, the most doubtful first; then those with the largest errors.

    All instances of an image go together: in a file without some of them nobody could tell which one is which.
    """
    if not annotations.has("suspicion"):
        raise DataError("--top: nobody has looked for doubtful points in this set; name what `lmk clean` left")
    worst = np.nan_to_num(annotations.column("suspicion").astype(np.float64)).max(1)
    error = np.zeros(len(worst))
    if annotations.has("error_after"):
        error = np.nan_to_num(annotations.column("error_after").astype(np.float64)).mean(1)
    names = annotations.instances["image"]
    table = pd.DataFrame({"image": names, "worst": worst, "error": error}).groupby("image", sort=False).max()
    table = table.sort_values(["worst", "error"], ascending=False, kind="stable").head(count)
    place = {image: number for number, image in enumerate(table.index)}
    rows = [row for row, image in enumerate(names) if image in place]
    return annotations.select(np.array(sorted(rows, key=lambda row: place[names.iloc[row]]), np.int64))


@dataclass(frozen=True)
class Review:
    """What came back."""

    rows: pd.DataFrame  # a row a decision, as the ledger keeps them, with name and how far the point was moved
    unchanged: int  # points that came back as they were handed out
    absent: int  # instances of the set that did not come back
    iteration: str  # that they were handed out from
    file: Path | None = None  # that keeps the decisions


def review(paths: Workspace, form: Format, source: Path, by: str, reason: str | None, dry_run: bool = False) -> Review:
    """Compare a file that somebody corrected with the labels that hold, and record what they decided.

    Args:
        paths: the folder whose labels were handed out.
        form: of the file.
        source: the file.
        by: who corrected it.
        reason: kept with every decision.
        dry_run: whether to record nothing.
    """
    files = paths.files()
    iteration = list(files)[-1]
    held = ledger.accepted(read_annotations(files[iteration]), paths.decisions)
    human = read_annotations(next(iter(files.values())))
    reading = read(form, source, held.scheme, with_images=False)
    back = make_set((part.table for part in reading.parts), held.scheme, {}, where=str(source))
    rows = _rows_of(back, held, str(source))
    found = _compared(back, held, human, rows)
    decided = found[found["action"] != ""].drop(columns="instance_row")
    decided = decided.assign(decided_by=by, why=reason)
    unchanged = int(((found["action"] == "") & (found["visibility"] > 0)).sum())
    file = ledger.record(paths.decisions, iteration, decided) if len(decided) and not dry_run else None
    return Review(decided, unchanged, len(held.instances) - len(rows), iteration, file)


def _rows_of(back: AnnotationSet, held: AnnotationSet, where: str) -> NDArray[np.int64]:
    """The row of the held set for each instance that came back: of the instances of an image, the nearest."""
    of_image: dict[str, list[int]] = {}
    for row, image in enumerate(held.instances["image"]):
        of_image.setdefault(image, []).append(row)
    found = np.empty(len(back.instances), np.int64)
    for image, some in back.instances.groupby("image", sort=False).indices.items():
        known = of_image.get(str(image), [])
        if len(some) > len(known):
            what = f"has {len(some)} objects where {len(known)}" if known else "is not in the set that"
            again = "were handed out" if known else "was handed out"
            raise DataError(f"{where}: {image} {what} {again}; export it again, and correct that")
        apart = np.linalg.norm(back.points[some][:, None] - held.points[known][None], axis=-1)
        there = np.isfinite(apart)
        # The median: one point may have been moved far, or removed.
        middle = np.array([[np.median(pair[seen]) if seen.any() else FAR for pair, seen in zip(*both, strict=True)]
                           for both in zip(apart, there, strict=True)])  # fmt: skip
        mine, theirs = linear_sum_assignment(middle)
        found[some[mine]] = np.array(known)[theirs]
    return found


def _compared(back: AnnotationSet, held: AnnotationSet, human: AnnotationSet, rows: NDArray[np.int64]) -> pd.DataFrame:
    """A row a point: what was done to it, "" for nothing."""
    was, now = held.column("visibility")[rows].astype(int), back.column("visibility").astype(int)
    apart = np.linalg.norm(back.points - held.points[rows], axis=-1)
    action = np.full(now.shape, "", object)
    action[np.nan_to_num(apart, nan=np.inf) > SAME] = "move"
    action[(now == _OCCLUDED) & (was != _OCCLUDED)] = "occlude"
    action[now == _GONE] = "remove"
    action[(was == _GONE) & (now == _GONE)] = ""
    # A removed point keeps a position in the ledger, so that nobody has to guess where it was.
    known = np.where(np.isfinite(held.points[rows]), held.points[rows], human.points[rows])
    places = np.where((now == _GONE)[..., None], known, back.points)
    count = back.landmarks
    return pd.DataFrame(
        {
            "image": back.instances["image"].repeat(count).to_numpy(),
            "instance": held.instances["instance"].to_numpy()[rows].repeat(count),
            "instance_row": rows.repeat(count),
            "landmark": np.tile(np.arange(count), len(rows)),
            "name": np.tile(np.array(held.scheme.names, object), len(rows)),
            "action": action.ravel(),
            "x": places[..., 0].ravel(),
            "y": places[..., 1].ravel(),
            "visibility": now.ravel(),
            "drift": np.nan_to_num(apart).ravel(),
        }
    )


def in_words(found: Review) -> str:
    """What came back, for a terminal."""
    counts = found.rows["action"].value_counts()
    said = [f"{counts[action]} {words}" for action, words in _DONE.items() if action in counts]
    lines = [f"{', '.join(said) or 'nothing was changed'}; {found.unchanged} points came back as they were"]
    if found.absent:
        lines.append(f"{found.absent} instances of the set did not come back")
    if found.file is None:
        return "\n".join([*lines, "nothing was written"])
    return "\n".join([*lines, f"kept in {found.file}; `lmk labels` writes the labels with the decisions in place"])


_DONE = {"move": "points moved", "occlude": "called occluded", "remove": "removed"}
