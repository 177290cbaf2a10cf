"""Command lines, parsed and not run."""

from __future__ import annotations

import click

from lmk.cli import program


def parse(words):
    """Parse a command line without `lmk`, as `main` does before it runs anything; a wrong one raises UsageError."""
    with program.make_context("lmk", list(words)) as context:
        name, command, rest = program.resolve_command(context, [*context._protected_args, *context.args])
        return command.make_context(name, rest, parent=context)


def every_command():
    """All commands by their names."""
    found = dict(program.commands)
    assert all(isinstance(command, click.Command) for command in found.values())
    return found
