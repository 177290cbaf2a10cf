"""Decisions in bulk: a condition in SQL picks the points, the ledger keeps what was decided of them."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lmk.errors import DataError, UnknownName
from lmk.history import ledger
from lmk.history.sql import SECONDS, asking, condition
from lmk.workspace import Workspace

SHOWN = 5  # points that are named
DONE = {"accept": "accepted", "revert": "reverted", "move": "moved", "occlude": "called occluded", "remove": "removed"}


@dataclass(frozen=True)
class Wish:
    """What somebody wants to decide."""

    action: str  # a name in lmk.history.ledger.ACTIONS
    where: str  # a condition in SQL over the columns of `points`
    iteration: str | None = None  # whose values are judged; the last without it
    by: str | None = None  # who decides; who is logged in without it
    reason: str | None = None
    seconds: float = SECONDS  # that the condition may take


def decide(paths: Workspace, wish: Wish, dry_run: bool = False) -> tuple[pd.DataFrame, Path | None]:
    """Accept or revert the points of an iteration that meet a condition.

    Returns:
        The points, largest drift first, and the file that keeps the decision; None for a dry run.
    """
    action, where = wish.action, wish.where
    names = list(paths.files())
    iteration = wish.iteration or names[-1]
    if iteration not in names:
        raise UnknownName("iteration", iteration, names)
    taken = ("x", "y", "visibility") if action == "accept" else ("human_x", "human_y", "human_visibility")
    with asking(paths, seconds=wish.seconds) as questions:
        rows = questions.ask(
            f"""
            WITH chosen AS (
                SELECT * FROM (SELECT *, {condition(where)} AS met FROM points WHERE iteration = ?)
                WHERE met AND human_x IS NOT NULL
            ),
            human AS (
                SELECT image, instance, landmark, visibility AS human_visibility FROM points WHERE iteration = ?
            )
            SELECT image, instance, landmark, {taken[0]} AS x, {taken[1]} AS y, {taken[2]} AS visibility, name, drift
            FROM chosen JOIN human USING (image, instance, landmark)
            WHERE {taken[0]} IS NOT NULL ORDER BY drift DESC, image, instance, landmark
            """,
            [iteration, names[0]],
            f"--where {where}",
        )
    if not len(rows):
        raise DataError(f"--where {where}: no point of {iteration} meets it; try it with `lmk query`")
    rows = rows.assign(action=action, iteration=iteration)
    if dry_run:
        return rows, None
    rows = rows.assign(decided_by=wish.by or logged_in(), why=wish.reason)
    return rows, ledger.record(paths.decisions, iteration, rows)


def logged_in() -> str:
    """Who is logged in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as cause:  # a user without a name, as in containers
        raise DataError("nobody is logged in by name; say who decides with --by NAME") from cause


def format_decided(rows: pd.DataFrame, action: str, file: Path | None) -> str:
    """What was decided, for a terminal."""
    done = DONE[action]
    head = f"{len(rows)} points of {rows['image'].nunique()} images in {rows['iteration'].iloc[0]}"
    lines = [f"{head} {f'would be {done}; nothing was written' if file is None else f'{done}: {file}'}"]
    shown = rows.head(SHOWN)
    lines += [
        f"  {image} {instance} {name}: moved {drift:.2f} px"
        for image, instance, name, drift in zip(
            shown["image"], shown["instance"], shown["name"], shown["drift"], strict=True
        )
    ]
    if len(rows) > SHOWN:
        lines.append(f"  … and {len(rows) - SHOWN} more")
    return "\n".join(lines)
