"""Questions in SQL over the table of all iterations: nothing can be written, and nothing else can be read.

The database is opened to be read only, DuckDB's own file, network and extension functions are off for good, and a
question is one SELECT.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pandas as pd

from lmk import ledger
from lmk.audit.table import LAYOUT, MEMORY, build_table
from lmk.errors import QueryError
from lmk.progress import Progress
from lmk.store import digest_of
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
    name = f"{digest_of(LAYOUT, ledger.digest(paths.decisions), *parts)}.duckdb"
    kept = paths.work / "audit" / name
    if kept.is_file():
        with Questions(kept) as questions:
            yield questions
        return
    place = kept.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(dir=place)
    except OSError:  # a folder that may only be read: the table lives as long as the question
        room = tempfile.TemporaryDirectory()
    with room as folder:
        made = Path(folder) / name
        build_table(sets, made, decided, Progress("comparing iterations", "instances"))
        if place in made.parents:
            for old in place.glob("*.duckdb"):
                old.unlink(missing_ok=True)
            made = made.rename(kept)
        with Questions(made) as questions:
            yield questions


def condition(text: str) -> str:
    """A user's condition, to be put into a question: what it leaves open or comments out ends with it."""
    return f"(\n{text}\n)"


class Questions:
    """A database of `build_table`, opened for questions."""

    def __init__(self, path: Path) -> None:
        self._database = duckdb.connect(str(path), read_only=True, config=_SAFE)
        # A bar would be printed among the answers; after this nothing can be set any more.
        self._database.execute("SET enable_progress_bar = false; SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def ask(self, question: str, values: Iterable[Any] = ()) -> pd.DataFrame:
        """The answer to one SELECT."""
        found: pd.DataFrame = self._run(question, values).df()
        return found

    def rows(self, question: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The same as plain tuples."""
        found: list[tuple[Any, ...]] = self._run(question, values).fetchall()
        return found

    def _run(self, question: str, values: Iterable[Any]) -> Any:
        try:
            statements = self._database.extract_statements(question)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError(f"{_short(question)}: not one SELECT; a question reads, and changes nothing")
            return self._database.execute(question, list(values))
        except duckdb.Error as cause:
            raise QueryError(f"{_short(question)}: {_plain(cause)}") from cause


def _short(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _plain(cause: duckdb.Error) -> str:
    """What DuckDB says, on one line, without the picture of where."""
    return " ".join(str(cause).split("\n\nLINE")[0].split())[:300]
