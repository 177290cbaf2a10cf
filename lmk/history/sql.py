"""Questions in SQL over the table of all iterations: nothing can be written, and nothing else can be read.

The database is opened to be read only, DuckDB's own file, network and extension functions are off for good, and a
question is one SELECT.  What a person has written is answered by a process with limits (`lmk.history.asker`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd

from lmk.console import Progress
from lmk.errors import QueryError
from lmk.history import ledger
from lmk.history.asker import Asker, Question, answer, mistake
from lmk.history.table import MEMORY, build_table, made_by
from lmk.store import digest_of, room_beside
from lmk.workspace import Workspace

SECONDS = 60.0  # that a person's question may take, where neither parameters nor an option say so
_SAFE: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # names of SQL are not names of this program
    "memory_limit": MEMORY,
}


@contextmanager
def asking(paths: Workspace, names: Sequence[str] | None = None, seconds: float = SECONDS) -> Iterator[Questions]:
    """The table of a folder's iterations and decisions, made anew where one of them has changed since the last time.

    Args:
        paths: where they are.
        names: of the iterations, the human labels first; all that are there, if nobody says.
        seconds: that each question of a person may take.
    """
    sets = paths.files() if names is None else {name: paths.annotations(name) for name in names}
    decided = ledger.read(paths.decisions)
    parts = [part for name, path in sets.items() for part in (name, path)]
    name = f"{digest_of(made_by(), ledger.digest(paths.decisions), *parts)}.duckdb"
    kept = paths.work / "audit" / name
    if (questions := _opened(kept, seconds)) is not None:
        with questions:
            yield questions
        return
    place = kept.parent
    with ExitStack() as stack:
        try:
            room = stack.enter_context(room_beside(place / "table"))
        except OSError:  # a folder that may only be read: the table lives as long as the question
            room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = room / name
        build_table(sets, made, decided, Progress("comparing iterations", "instances"))
        with Questions(made, seconds) as questions:  # before others, who may remove it by its name
            if place in made.parents:
                for old in place.glob("*.duckdb"):
                    old.unlink(missing_ok=True)
                made.rename(kept)
                questions.path = kept
            yield questions


def _opened(kept: Path, seconds: float) -> Questions | None:
    """The table of an earlier time; None where it is not there, or is not whole: it can be made again."""
    if not kept.is_file():
        return None
    try:
        questions = Questions(kept, seconds)
    except duckdb.Error:
        return None
    try:
        questions.rows("SELECT 1 FROM labels LIMIT 0")  # what is made last
    except QueryError:
        questions.close()
        return None
    return questions


def condition(text: str) -> str:
    """A user's condition, to be put into a question as a column: what it leaves open or comments out ends with it."""
    if not text.strip():
        raise QueryError("an empty condition; write one in SQL, as in 'percent > 25'")
    return f"(\n{text}\n)"


class Questions:
    """A database of `build_table`, opened for questions.

    A question in which a person has a say (`said`, the question or a part of it) is answered by a process with limits,
    and mistakes in it are told with what was said.
    """

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        self.path, self._seconds = path, seconds
        self._database = duckdb.connect(str(path), read_only=True, config=_SAFE)
        # A bar would be printed among the answers; after this nothing can be set any more.
        self._database.execute("SET enable_progress_bar = false; SET lock_configuration = true")
        self._asker: Asker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """No more questions."""
        if self._asker is not None:
            self._asker.close()
        self._database.close()

    def ask(self, question: str, values: Iterable[Any] = (), said: str | None = None) -> pd.DataFrame:
        """The answer to one SELECT."""
        found: pd.DataFrame = self._run(Question(question, tuple(values)), said)[0]
        return found

    def rows(
        self, question: str, values: Iterable[Any] = (), said: str | None = None, most: int | None = None
    ) -> list[tuple[Any, ...]]:
        """The same as plain tuples, at `most` so many."""
        found: list[tuple[Any, ...]] = self._run(Question(question, tuple(values), most, plain=True), said)[0]
        return found

    def first(self, said: str, most: int) -> tuple[pd.DataFrame, int]:
        """So many rows of the answer to a person's SELECT, and how many more there are."""
        found: tuple[pd.DataFrame, int] = self._run(Question(said, most=most), said)
        return found

    def _run(self, question: Question, said: str | None) -> tuple[Any, int]:
        asked = _short(said or question.text)
        try:
            question.text.encode()
        except UnicodeEncodeError as cause:
            raise QueryError("a question has to be text in UTF-8") from cause
        try:
            return answer(self._database, question) if said is None else self._person().ask(question)
        except (
            duckdb.Error,
            QueryError,
            ValueError,
            OverflowError,
        ) as cause:  # the last where Python has no such value
            if _tells_of_damage(cause):
                self.path.unlink(missing_ok=True)
                raise QueryError(
                    f"{self.path}: damaged, and removed; run the same command again, which makes it anew"
                ) from cause
            raise QueryError(f"{asked}: {mistake(cause)}") from cause

    def _person(self) -> Asker:
        """The process that answers people; a new one where the last question took too much."""
        if self._asker is not None and self._asker.ended:
            self._asker.close()
            self._asker = None
        if self._asker is None:
            self._asker = Asker(self.path, _SAFE, self._seconds)
        return self._asker


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
