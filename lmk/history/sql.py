"""Questions in SQL over the table of all iterations: nothing can be written, and nothing else can be read.

The database is opened to be read only, DuckDB's own file, network and extension functions are off for good, and a
question is one SELECT.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd

from lmk.console import Progress
from lmk.errors import QueryError
from lmk.history import ledger
from lmk.history.table import MEMORY, build_table, made_by
from lmk.store import digest_of, remove
from lmk.workspace import Workspace

_SAFE: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # names of SQL are not names of this program
    "memory_limit": MEMORY,
}


@contextmanager
def asking(paths: Workspace, names: Sequence[str] | None = None) -> Iterator[Questions]:
    """The table of a folder's iterations and decisions, made anew where one of them has changed since the last time.

    Args:
        paths: where they are.
        names: of the iterations, the human labels first; all that are there, if nobody says.
    """
    sets = paths.files() if names is None else {name: paths.annotations(name) for name in names}
    decided = ledger.read(paths.decisions)
    parts = [part for name, path in sets.items() for part in (name, path)]
    name = f"{digest_of(made_by(), ledger.digest(paths.decisions), *parts)}.duckdb"
    kept = paths.work / "audit" / name
    if (questions := _opened(kept)) is not None:
        with questions:
            yield questions
        return
    place = kept.parent
    _forget_killed(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(dir=place)
    except OSError:  # a folder that may only be read: the table lives as long as the question
        room = tempfile.TemporaryDirectory()
    with room as folder:
        made = Path(folder) / name
        build_table(sets, made, decided, Progress("comparing iterations", "instances"))
        with Questions(made) as questions:  # before others, who may remove it by its name
            if place in made.parents:
                for old in place.glob("*.duckdb"):
                    old.unlink(missing_ok=True)
                made.rename(kept)
            yield questions


def _opened(kept: Path) -> Questions | None:
    """The table of an earlier time; None where it is not there, or cannot be read: it can be made again."""
    try:
        return Questions(kept) if kept.is_file() else None
    except duckdb.Error:
        return None


def _forget_killed(place: Path) -> None:
    """Remove what processes that were killed a day ago or more have left."""
    for left in place.glob("tmp*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - 86400:
                remove(left)


def condition(text: str) -> str:
    """A user's condition, to be put into a question as a column: what it leaves open or comments out ends with it."""
    if not text.strip():
        raise QueryError("an empty condition; write one in SQL, as in 'percent > 25'")
    return f"(\n{text}\n)"


class Questions:
    """A database of `build_table`, opened for questions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = duckdb.connect(str(path), read_only=True, config=_SAFE)
        # A bar would be printed among the answers; after this nothing can be set any more.
        self._database.execute("SET enable_progress_bar = false; SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def ask(self, question: str, values: Iterable[Any] = (), said: str | None = None) -> pd.DataFrame:
        """The answer to one SELECT; a mistake in it is told with what the user `said`, a part of the question."""
        found: pd.DataFrame = self._run(question, values, said, lambda answer: answer.df())
        return found

    def rows(self, question: str, values: Iterable[Any] = (), said: str | None = None) -> list[tuple[Any, ...]]:
        """The same as plain tuples."""
        found: list[tuple[Any, ...]] = self._run(question, values, said, lambda answer: answer.fetchall())
        return found

    def _run(self, question: str, values: Iterable[Any], said: str | None, fetch: Callable[[Any], Any]) -> Any:
        try:
            question.encode()
        except UnicodeEncodeError as cause:
            raise QueryError("a question has to be text in UTF-8") from cause
        try:
            statements = self._database.extract_statements(question)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError(f"{_short(said or question)}: not one SELECT; a question reads, and changes nothing")
            return fetch(self._database.execute(question, list(values)))
        except (duckdb.Error, ValueError, OverflowError) as cause:  # the others where Python has no such value
            if _tells_of_damage(cause):
                self._path.unlink(missing_ok=True)
                raise QueryError(
                    f"{self._path}: damaged, and removed; run the same command again, which makes it anew"
                ) from cause
            raise QueryError(f"{_short(said or question)}: {_plain(cause)}") from cause


def _tells_of_damage(cause: Exception) -> bool:
    """Whether a disk has spoilt the database since it was made, rather than a question being wrong."""
    return isinstance(cause, duckdb.SerializationException | duckdb.FatalException) or "orrupt database" in str(cause)


def rows_of(answer: pd.DataFrame) -> list[dict[str, Any]]:
    """An answer for JSON: plain values, None where there is nothing."""
    plain = {name: [_plain_value(value) for value in column] for name, column in answer.items()}
    return [dict(zip(map(str, plain), row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain_value(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value) else value


def _short(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _plain(cause: Exception) -> str:
    """What DuckDB says, on one line, without the picture of where."""
    return " ".join(str(cause).split("\n\nLINE")[0].split())[:300]
