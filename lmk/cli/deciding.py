"""Commands that decide on points, and write what holds then: accept, revert, review, labels."""

from __future__ import annotations

from pathlib import Path

import click

from lmk.cli.options import PATH, command, completes, folder, iteration, output, seconds
from lmk.registry import FORMATS


def _decision(action: str, more: str, example: str, what: str) -> click.Command:
    """The two commands that decide on points differ in what holds afterwards."""

    def decide(
        folder: Path,
        where: str,
        iteration: str | None,
        reason: str | None,
        by: str | None,
        dry_run: bool,
        seconds: int,
    ) -> None:
        from lmk.history.decisions import Wish, decide, format_decided
        from lmk.workspace import Workspace

        rows, file = decide(Workspace(folder), Wish(action, where, iteration, by, reason, seconds), dry_run)
        print(format_decided(rows, action, file))

    decide.__doc__ = f"{what}\n\n{more} Columns for --where are those of `points` in docs/audit.md."
    declared = [
        folder,
        click.option("--where", required=True, metavar="SQL", help="Which points, as in 'across > 8'."),
        iteration,
        click.option("--reason", metavar="TEXT", help="Kept with the decision."),
        click.option("--by", metavar="NAME", help="Who decides. Default: who is logged in."),
        click.option("--dry-run", is_flag=True, help="Only say which points it would be."),
        seconds,
    ]
    for option in reversed(declared):
        decide = option(decide)
    leaves = (
        "Leaves a small file in DIR/decisions; none there is ever changed. To take a decision back, decide again. "
        "`lmk labels` writes the labels with the decisions in place."
    )
    return command(leaves, [example], name=action)(decide)


accept = _decision(
    "accept",
    "Accepted points stay where they are now, and later iterations take them as certain.",
    "accept cleaned --where \"image = 'a.jpg' AND landmark = 30\"",
    "Accept what an iteration says of points, whatever later ones say.",
)
revert = _decision(
    "revert",
    "They are the human's again, to the last bit, and later iterations take them as certain.",
    "revert cleaned --where \"contour = 'jaw' AND abs(across) > 6\" --reason beards",
    "Take points back to the human label, whatever later iterations say.",
)


@command(
    leaves="Leaves SET.parquet; the iterations stay as they are.",
    examples=["labels cleaned -o labels.parquet"],
)
@folder
@output("SET.parquet", "The new annotation set.")
def labels(folder: Path, output: Path) -> None:
    """Write the labels that hold.

    The last iteration's, but for points that somebody has decided on with `lmk accept` or `lmk revert`.
    """
    from lmk.history.ledger import accepted
    from lmk.store import making, read_annotations, write_annotations
    from lmk.workspace import Workspace

    paths = Workspace(folder)
    last = list(paths.files().values())[-1]
    paths.refuse_among_iterations(output)
    with making(output):
        held = accepted(read_annotations(last), paths.decisions)
        write_annotations(held, output)
    print(f"{output}: {last.stem}, {held.provenance['decided']} points as they were decided")


@command(
    leaves="Leaves a small file in DIR/decisions with what was corrected: points moved, called occluded, removed. "
    "`lmk labels` writes the labels with the decisions in place.",
    examples=["review import cleaned corrected.xml --by anna"],
)
@click.argument("what", type=click.Choice(["import"]), metavar="import", help="Bring corrections back.")
@folder
@click.argument("source", type=PATH, metavar="FILE", help="What your tool exported, after you corrected it there.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    shell_complete=completes(FORMATS),
    help="What FILE is, as `lmk formats` names it. Default: what it looks like.",
)
@click.option("--by", metavar="NAME", help="Who corrected it. Default: who is logged in.")
@click.option("--reason", metavar="TEXT", help="Kept with the decisions.")
@click.option("--dry-run", is_flag=True, help="Only say what was changed.")
def review(
    what: str, folder: Path, source: Path, form: str | None, by: str | None, reason: str | None, dry_run: bool
) -> None:
    """Take corrections that people made in another tool back as decisions.

    `lmk export DIR` hands the labels out. Every point of FILE is compared with the label that holds; what does not fit
    the set any more is refused, what came back unchanged is counted.
    """
    from lmk.formats.exchange import format_named, looks_like
    from lmk.history.decisions import logged_in
    from lmk.history.review import in_words, review
    from lmk.workspace import Workspace

    chosen = format_named(form) if form else looks_like(source)[0]
    print(in_words(review(Workspace(folder), chosen, source, by or logged_in(), reason, dry_run)))


COMMANDS = (accept, revert, review, labels)
