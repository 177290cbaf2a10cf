"""Commands that look into what a cleaning left: log, diff, audit, query, suspects, ambiguity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from lmk.cli.options import a_set, as_json, command, folder, iteration, load, output, parameters, seconds

READS = "Leaves everything as it is."


@command(leaves=READS, examples=["log cleaned"])
@folder
@as_json
def log(folder: Path, as_json: bool) -> None:
    """List the iterations in a folder.

    Parent, parameters, counts, mean and p95 drift of each.
    """
    from lmk.audit.log import format_log, log_rows
    from lmk.workspace import Workspace

    rows = log_rows(Workspace(folder))
    print(json.dumps([row.as_json() for row in rows], indent=2) if as_json else format_log(rows))


@command(leaves=READS, examples=["diff cleaned/annotations/i00.parquet cleaned/annotations/i03.parquet"])
@a_set("first", "A.parquet", "An annotation set.")
@a_set("second", "B.parquet", "Another one of the same images.")
@as_json
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Compare two sets point by point.

    Distances in pixels, and their parts along and across the contour at each point of A.
    """
    from lmk.audit.drift import compare, format_compare
    from lmk.store import read_annotations

    result = compare(read_annotations(first), read_annotations(second))
    print(json.dumps(result.as_json(), indent=2) if as_json else format_compare(result))


@command(
    leaves="Leaves everything as it is; exits with 3 when a gate is broken.",
    examples=["audit cleaned --by contour", "audit cleaned --fail-on 'avg(drift) > 3'"],
)
@folder
@click.option(
    "--by",
    metavar="PART",
    help="Also the last iteration's numbers by landmark, contour, split, annotator, source, image or reason.",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="SQL",
    help="One more gate, as in 'percent > 25' or 'avg(drift) > 3'; may be repeated.",
)
@as_json
@parameters
def audit(
    folder: Path, by: str | None, fail_on: Sequence[str], as_json: bool, profile: str | None, settings: Sequence[str]
) -> None:
    """Say what moved, what moved as a whole, and whether it may stay.

    Drift of every iteration in DIR against the human labels, along and across contours; what moved together: a
    landmark, a contour, one split or annotator; and the gates: conditions in SQL that the last iteration must not
    meet. docs/audit.md explains every number.
    """
    from lmk.audit.numbers import audited, format_audit
    from lmk.console import warn
    from lmk.history.gates import counted, stop_if_broken
    from lmk.workspace import Workspace

    paths = Workspace(folder)
    params = load(profile, settings).audit
    gates = {**params.gates, **{text: text for text in fail_on}}
    found = audited(paths, list(paths.files()), gates, by, params.seconds)
    verdicts = found.gates or ()
    print(json.dumps(found.as_json(), indent=2) if as_json else f"{format_audit(found)}\n")
    for verdict in verdicts:
        if verdict.unjudged:
            warn(str(verdict))
    stop_if_broken(verdicts)
    if not as_json:
        print(counted(verdicts))


@command(
    leaves=READS,
    examples=["query cleaned \"SELECT name, avg(drift) FROM points WHERE iteration = 'i01' GROUP BY name\""],
)
@folder
@click.argument("question", metavar="SQL", help="One SELECT.")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=10_000,
    metavar="N",
    help="How many rows to print at most; of more, how many were left out is said, and --json refuses. Default: 10000.",
)
@seconds
@as_json
def query(folder: Path, question: str, rows: int, seconds: int, as_json: bool) -> None:
    """Ask the iterations a question in SQL.

    Table `points` has one row for each labelled point in each iteration, `instances` one for each instance;
    `findings`, `decisions` and `labels` (what holds of each point) are there too. docs/audit.md has the columns.
    """
    from lmk.console import warn
    from lmk.errors import QueryError
    from lmk.history.sql import asking, rows_of
    from lmk.workspace import Workspace

    with asking(Workspace(folder), seconds=seconds) as questions:
        answer, left_out = questions.first(question, rows)
    if as_json and left_out:  # a program would take a part for all of it
        raise QueryError(
            f"an answer of {rows + left_out:,} rows; allow so many with --rows, or ask for fewer with LIMIT"
        )
    if as_json:
        print(json.dumps(rows_of(answer), indent=2, default=str))
        return
    print(answer.to_string(index=False) if len(answer) else "no rows")
    if left_out:
        warn(f"{left_out:,} of {rows + left_out:,} rows were left out; --rows shows more")


@command(leaves=READS, examples=["suspects cleaned"])
@folder
@as_json
def suspects(folder: Path, as_json: bool) -> None:
    """List human points that are likely gross errors.

    One line for each: a point at its neighbour's place, a contour that is shifted, sides that are swapped. From the
    last iteration in a folder; needs the refiner consensus, the default.
    """
    from lmk.history.sql import asking
    from lmk.history.suspects import format_suspects
    from lmk.history.suspects import suspects as list_suspects
    from lmk.workspace import Workspace

    paths = Workspace(folder)
    with asking(paths) as questions:
        found = list_suspects(questions, list(paths.files())[-1])
    print(json.dumps([one.as_json() for one in found], indent=2) if as_json else format_suspects(found))


@command(
    leaves="Leaves FILE, if one is named: JSON with the spreads, sigmas for COCO's object keypoint similarity, and "
    "weights for `lmk train --weights`, less for a looser landmark.",
    examples=["ambiguity cleaned -o ambiguity.json"],
)
@folder
@iteration
@as_json
@output("FILE", "Keep the JSON.", required=False)
def ambiguity(folder: Path, iteration: str | None, as_json: bool, output: Path | None) -> None:
    """Say how loosely annotators place each landmark.

    Standard deviation of the human noise along and across the contour (to the right and down, off contours), in % of
    the box, with intervals; from what separates human labels and the refined ones of an iteration, and how certain
    those are.
    """
    from lmk.audit.ambiguity import as_json as plain
    from lmk.audit.ambiguity import format_ambiguity, of_iteration
    from lmk.store import making, write_json
    from lmk.workspace import Workspace

    paths = Workspace(folder)
    files = paths.files()
    if output:
        paths.refuse_among_iterations(output)
    name = iteration or list(files)[-1]
    with making(output) if output else nullcontext():
        found = of_iteration(paths, name)
        content = plain(found, name)
        if output:
            write_json(content, output)
    print(json.dumps(content, indent=2) if as_json else format_ambiguity(found))


COMMANDS = (log, diff, audit, query, suspects, ambiguity)
