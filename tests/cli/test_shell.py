"""Completion, as a shell asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from lmk.cli import main
from lmk.registry import FORMATS
from tests.conftest import ROOT

BASH = shutil.which("bash")


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "says"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --no-files")]
)
def test_each_shell_gets_its_script(shell, says, capsys):
    text = script(shell, capsys)

    assert says in text
    assert "_LMK_COMPLETE" in text


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lmk", "a"], {"audit", "ambiguity", "accept"}),
        (["lmk", "train", "--correction", ""], {"ghcu", "pca", "shaped", "upright"}),
        (["lmk", "export", "x.parquet", "--format", ""], set(FORMATS)),
        (["lmk", "log", "cleaned", "--j"], {"--json"}),
    ],
)
def test_bash_completes(words, expected, tmp_path, capsys):
    """The script is read by bash, and its function called as bash calls it at a tab."""
    (tmp_path / "completion").write_text(script("bash", capsys))
    program = tmp_path / "lmk"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmk "$@"\n')
    program.chmod(0o755)
    subprocess.run([BASH, "-n", str(tmp_path / "completion")], check=True)
    line = " ".join(f"'{word}'" for word in words)

    done = subprocess.run(
        [
            BASH, "--norc", "-c",
            f"source completion; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            f"_lmk_completion lmk '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert set(done.stdout.split()) == expected
