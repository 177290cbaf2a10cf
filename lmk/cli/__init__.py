"""`lmk …`: a file for each group of commands, each command with its arguments, its help and its calls in one place.

Whatever takes time to import is imported inside the command that needs it, so that `lmk --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from lmk import __version__
from lmk.cli import cleaning, data, deciding, history, shell

SECTIONS = {
    "Clean a dataset": cleaning.COMMANDS,
    "Look into it, and decide": (*history.COMMANDS, *deciding.COMMANDS),
    "Bring labels in and out": data.COMMANDS,
    "Your shell": shell.COMMANDS,
}


class Sections(click.Group):
    """Commands in the order of `SECTIONS`, which help shows as such."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        wide = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{one.name:{wide}s}", one.get_short_help_str(limit=200)) for one in commands])


@click.group(
    cls=Sections,
    commands=[one for commands in SECTIONS.values() for one in commands],
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="COMMAND …",
    epilog="Start with: lmk ingest PHOTOS --dry-run, then lmk clean PHOTOS --out cleaned",
)
@click.version_option(__version__, message="lmk %(version)s", help="Show the version and exit.")
def program() -> None:
    """Find what a landmark dataset's annotators meant.

    Train a detector on human labels, search around every label for the position that the whole dataset agrees on,
    train on, repeat, and show what moved.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 the user's data, 2 the command line, 3 a gate said no."""
    try:
        code: int | None = program.main(arguments, prog_name="lmk", standalone_mode=False)
    except click.ClickException as mistake:
        mistake.show()
        raise SystemExit(mistake.exit_code) from mistake
    return code or 0
