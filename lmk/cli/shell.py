"""The command that makes a shell complete all others."""

from __future__ import annotations

import click

from lmk.cli.options import command

SHELLS = ("bash", "zsh", "fish")


@command(
    leaves="Leaves everything as it is: the script is printed. For bash, add this line to ~/.bashrc: "
    'eval "$(lmk completion bash)"',
    examples=["completion bash", "completion zsh", "completion fish"],
)
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL", help=f"One of {', '.join(SHELLS)}.")
def completion(shell: str) -> None:
    """Print the script that lets a shell complete commands, options and names."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(click.get_current_context().find_root().command, {}, "lmk", "_LMK_COMPLETE").source())


COMMANDS = (completion,)
