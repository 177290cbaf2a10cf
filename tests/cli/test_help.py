"""Help that teaches: every command says what it does, what it leaves, and shows a line that works."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from lmk.cli import SECTIONS, main, program
from tests.cli.lines import every_command, parse

COMMANDS = every_command()


def test_these_are_the_commands():
    listed = [command.name for commands in SECTIONS.values() for command in commands]

    assert listed == list(COMMANDS)
    assert set(listed) == {
        "render", "ingest", "clean", "train", "refine", "evaluate", "export", "audit", "query", "accept", "revert",
        "labels", "log", "convert", "formats", "review", "leaderboard", "suspects", "ambiguity", "diff", "completion",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name):
    command = COMMANDS[name]

    assert re.match(r"[A-Z].+\.(\n|$)", command.help), "one sentence, what it does"
    assert "Leaves " in command.epilog
    for parameter in command.params:
        assert re.match(r"\S.+\.$", parameter.help, re.DOTALL), f"{name} {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_help_parses_and_is_shown_on_a_line_of_its_own(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    examples = re.findall(r"^ +lmk (.*)$", shown[shown.index("Example") :], re.MULTILINE)

    assert examples
    for example in examples:
        words = shlex.split(example)
        assert words[0] == name
        parse(words)


def test_a_wrong_example_would_be_found():
    for words in (["clean", "PHOTOS"], ["log", "cleaned", "--jsn"], ["train", "--correction", "magic"], ["nothing"]):
        with pytest.raises(click.UsageError):
            parse(words)


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["clean", "-h"], ["--version"]])
def test_help_and_version_are_exit_code_0(arguments, capsys):
    assert main(arguments) == 0
    assert "lmk" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["log"], ["log", "a", "b"], ["render", "a", "--count", "0"]])
def test_a_wrong_command_line_is_exit_code_2_and_nothing_is_printed_to_stdout(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)

    assert error.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: lmk" in said.err


def test_the_list_of_commands_has_the_whole_first_sentence(capsys):
    main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())

    for name, command in program.commands.items():
        assert f"{name} {command.help.split('.')[0]}." in shown
