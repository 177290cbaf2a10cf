"""The process that answers people's questions: it has a time, some memory and some disk, and no more.

DuckDB can be interrupted between two pieces of its work, and counts the memory of its tables.  Within one call of a
function it does neither: `levenshtein` of two long texts cannot be interrupted, and `repeat('x', 4000000000)` takes
7 GB beside the limit.  So the system sets the limits of a process of its own: a timer that ends it, and the memory that
it may have.  Our own questions need no such process.

`Asker` is one, seen from outside; `main` is what runs in it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from lmk.errors import QueryError

DISK = "4GB"  # that a question may take beside the table, for what does not fit into memory
ROOM = 2 << 30  # bytes of memory that the process may take beyond what it starts with
_CHUNK = 50  # times 2048 rows that are counted at once
_LESS = "ask for less at once"


@dataclass(frozen=True)
class Question:
    """One SELECT, and what is wanted of its answer."""

    text: str
    values: tuple[Any, ...] = ()
    most: int | None = None  # rows; all without it
    plain: bool = False  # rows as tuples instead of a table


def answer(database: duckdb.DuckDBPyConnection, question: Question) -> tuple[Any, int]:
    """The rows, and how many more there are than were wanted; plain ones that nobody wants are not counted."""
    statements = database.extract_statements(question.text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("not one SELECT; a question reads, and changes nothing")
    found = database.execute(question.text, list(question.values))
    if question.plain:
        return found.fetchall() if question.most is None else found.fetchmany(question.most), 0
    if question.most is None:
        return found.df(), 0
    return _first(found, question.most)


def _first(found: duckdb.DuckDBPyConnection, most: int) -> tuple[Any, int]:
    """So many rows as a table, and the number of the others, which are never in memory all at once."""
    import pandas as pd

    parts = [found.fetch_df_chunk(_CHUNK)]
    kept, left = len(parts[0]), 0
    while kept < most and len(part := found.fetch_df_chunk(_CHUNK)):
        parts.append(part)
        kept += len(part)
    while kept >= most and (more := len(found.fetch_df_chunk(_CHUNK))):
        left += more
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return table.head(most), left + max(0, kept - most)


def mistake(cause: Exception) -> str:
    """What is wrong with a question, on one line, without DuckDB's picture of where."""
    if isinstance(cause, duckdb.OutOfMemoryException | MemoryError):
        return f"needs more memory, or more than {DISK} of disk beside it, than a question may take; {_LESS}"
    return " ".join(str(cause).split("\n\nLINE")[0].split())[:300]


class Asker:
    """A process that answers questions about one database, until it is closed or a question takes too much."""

    def __init__(self, database: Path, config: Mapping[str, Any], seconds: float) -> None:
        self._seconds = seconds
        try:
            self._folder = tempfile.TemporaryDirectory(dir=database.parent)
        except OSError:  # a folder that may only be read
            self._folder = tempfile.TemporaryDirectory()
        limits = {**config, "temp_directory": self._folder.name, "max_temp_directory_size": DISK}
        found = [*filter(None, sys.path), str(Path(__file__).parents[2])]  # where this process finds what it imports
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lmk.history.asker", str(database), json.dumps(limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
        )

    @property
    def ended(self) -> bool:
        """Whether a question took too much; another one needs another process."""
        return self._process.poll() is not None

    def ask(self, question: Question) -> tuple[Any, int]:
        """What `answer` says; what goes wrong is a QueryError that does not repeat the question."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((question, self._seconds), self._process.stdin)
            self._process.stdin.flush()
            fine, said = pickle.load(self._process.stdout)  # noqa: S301 (written by `main`, from plain values)
        except (OSError, EOFError, pickle.UnpicklingError) as cause:
            raise QueryError(self._why_ended()) from cause
        if not fine:
            raise QueryError(said)
        answered: tuple[Any, int] = said
        return answered

    def _why_ended(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return (
                f"no answer within {self._seconds:g} s; {_LESS}, or allow more: --seconds of a command with SQL in "
                "it, audit.seconds for gates"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process has ended ({how}), most likely for want of memory; {_LESS}"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(OSError):  # what it never read
                pipe.close()
        self._process.wait()
        self._folder.cleanup()


def main(path: str, config: str) -> None:
    """Answer questions from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends it in the middle of whatever it does
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, does not print into the answers
    try:
        database = duckdb.connect(path, read_only=True, config=json.loads(config))
    except duckdb.Error:  # somebody has made a newer one and removed this, before a person asked
        pickle.load(questions)  # noqa: S301 (written by `Asker`)
        pickle.dump((False, "the iterations or decisions have changed in the meantime; ask again"), answers)
        answers.flush()
        return
    database.execute("SET enable_progress_bar = false; SET lock_configuration = true")
    import pandas  # noqa: F401, ICN001 (before the clock of the first question runs)

    _limit_memory()
    while True:
        try:
            question, seconds = pickle.load(questions)  # noqa: S301 (written by `Asker`)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            said: tuple[bool, Any] = True, answer(database, question)
        except (duckdb.Error, QueryError, ValueError, OverflowError, MemoryError) as cause:
            said = False, mistake(cause)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pickle.dump(said, answers)
        answers.flush()


def _limit_memory() -> None:
    """Let the system refuse more memory than ROOM, where it says how much there is already."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        most = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main(*sys.argv[1:])
