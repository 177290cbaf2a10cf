"""One table for all iterations: a row for each labelled point in each of them, with what it moved by.

The table lives in a DuckDB file, so that numbers, gates and a user's questions speak one language, and none of them
holds a set in memory: sets are read, paired and written a hundred thousand rows at a time.  What is the same for all
points of an instance, or for all points of a landmark, is stored once, and so is what follows from other columns: the
view `points` puts them together.  `lmk.history.sql` asks it; docs/audit.md lists the columns.

`counted` is the one definition of the points that an iteration's drift is stated of: they were searched or moved, have
a drift, and their instance's sides were not exchanged.  Audit, log, charts and gates over all points ask for it.

Lengths are pixels of the original image.  Directions are those of the contours of the first set, the human labels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from lmk.annotations import COLUMNS, OPTIONAL, check_same_scheme
from lmk.console import Progress
from lmk.constants import digest_of_constants
from lmk.errors import DataError, FormatError
from lmk.history.findings import PARTS, Drifts
from lmk.history.layout import LABELS, POINTS, TABLES
from lmk.history.rows import Floats, Frame, Seen, changed_sides, positions, rows_of, was_searched
from lmk.kernels.shape import ShapeSpace, shape_space
from lmk.scheme import LandmarkScheme
from lmk.store import columns_of, digest_of, read_header, read_parts

ROWS = 1 << 16  # of each set that are in memory at once
SHAPES = 4000  # instances that the space of shapes is made of; more would say the same
LAYOUT = 9  # of the table; raise it where a formula changes, and old tables are made anew
AHEAD = 2  # tables that wait to be written
# What DuckDB raises where it cannot write: at once, when a transaction ends, or when the file is brought up to date.
_NO_ROOM = (
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,
)
MEMORY = "600MB"  # that DuckDB may use; what does not fit goes to disk


def made_by() -> str:
    """A short name for what determines a table besides its sets: columns, views, constants, and formulas by number."""
    return digest_of(LAYOUT, TABLES, POINTS, LABELS, digest_of_constants("lmk.history.rows"))


def build_table(
    sets: Mapping[str, Path], target: Path, decided: pd.DataFrame, progress: Progress | None = None
) -> LandmarkScheme:
    """Write the tables of sets with the same instances, the human labels first.

    Args:
        sets: files by the name of the iteration.
        target: a new file, which is of no use until it is whole.
        decided: all decisions, as the ledger reads them.
        progress: called with (done, total) instances.

    Returns:
        The scheme of the sets.
    """
    headers = {name: read_header(path) for name, path in sets.items()}
    first = next(iter(sets))
    rows, scheme, _ = headers[first]
    for name, (count, other, _) in headers.items():
        if gone := [column for column in COLUMNS if column not in {*OPTIONAL, *columns_of(sets[name])}]:
            raise FormatError(f"{sets[name]}: changed by another program: column {gone[0]} is missing")
        check_same_scheme(scheme, other, f"{sets[first]} and {sets[name]}")
        if count != rows:
            _differ(sets[first], sets[name])
    shapes = _sample(sets[first], rows, scheme.size)
    if not np.isfinite(shapes).all(-1).any():
        raise FormatError(f"{sets[first]}: has no labelled point; make the set again with `lmk ingest`")
    space = shape_space(shapes)
    drifts = Drifts(scheme, contour_names(scheme))
    whole = max(1, ROWS // scheme.size) * scheme.size
    with _database(target) as database:
        database.execute("SET enable_progress_bar = false")  # lmk has its own
        for table, columns in TABLES.items():
            database.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        # What is read next is compared while DuckDB writes what was read before.
        names = {"name": list(scheme.names), "contour": contour_names(scheme)}
        _insert(database, "landmarks", pa.table({"landmark": pa.array(range(scheme.size), pa.int16()), **names}))
        with ThreadPoolExecutor(1) as writer:
            waiting: deque[Future[None]] = deque()
            done = 0
            for parts in zip(*(read_parts(path, whole) for path in sets.values()), strict=True):
                named = dict(zip(sets, parts, strict=True))
                waiting.append(writer.submit(_execute, database, "BEGIN"))
                for points, instances in _rows_of(named, sets, scheme, space, drifts, done // scheme.size):
                    waiting.append(writer.submit(_insert, database, "moves", points))
                    waiting.append(writer.submit(_insert, database, "instances", instances))
                    while len(waiting) > AHEAD:
                        waiting.popleft().result()
                # Not all in one transaction, which would be held in memory, nor each table in its own, which is slow.
                waiting.append(writer.submit(_execute, database, "COMMIT"))
                done += len(parts[0])
                if progress is not None:
                    progress(done // scheme.size, rows // scheme.size)
            for each in waiting:
                each.result()
        _insert(database, "findings", pa.Table.from_pandas(drifts.findings(), preserve_index=False))
        _insert(database, "decisions", pa.Table.from_pandas(decided, preserve_index=False))
        database.execute(POINTS)
        database.execute(LABELS.format(last=list(sets)[-1]))
        database.execute("CHECKPOINT")  # closing does it, too, and says nothing of a disk that is full
    return scheme


@contextmanager
def _database(target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database, closed when the block ends; that there is no room for it is one line."""
    try:
        threads = str(os.cpu_count() or 1)
        opened = duckdb.connect(str(target), config={"memory_limit": MEMORY, "threads": threads})
        with closing(opened) as database:
            yield database
    except _NO_ROOM as cause:
        said = " ".join(str(cause).split())[:300]
        raise DataError(f"comparing iterations: {said}; make room there") from cause


def _execute(database: duckdb.DuckDBPyConnection, statement: str) -> None:
    database.execute(statement)


def _insert(database: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    database.register("fresh", rows)
    database.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh")
    database.unregister("fresh")


def _differ(one: Path, other: Path) -> None:
    raise DataError(f"{one} and {other}: not the same instances in the same order; compare them with `lmk diff`")


def _sample(path: Path, rows: int, size: int) -> Floats:
    """(N, K, 2) human points of some instances, from all over the set."""
    stride = max(1, rows // size // SHAPES)
    whole = max(1, ROWS // size) * size
    parts = [positions(part, size) for part in read_parts(path, whole, ["x", "y", "visibility"])]
    return np.concatenate([np.empty((0, size, 2)), *(part[::stride] for part in parts)])


def contour_names(scheme: LandmarkScheme) -> list[str | None]:
    """What the first contour of each landmark is called: what its points' names start with, else its number."""
    shared = []
    for chain, _ in scheme.chains:
        spelt = zip(*(scheme.names[k] for k in chain), strict=False)
        letters = takewhile(lambda letters: len(set(letters)) == 1, spelt)
        shared.append("".join(same for same, *_ in letters).rstrip("_- .0123456789"))
    found: list[str | None] = [None] * scheme.size
    for number, (chain, _) in enumerate(scheme.chains):
        tells = shared[number] and shared.count(shared[number]) == 1
        for k in chain:
            found[k] = found[k] or (shared[number] if tells else f"contour {number}")
    return found


def _rows_of(
    parts: Mapping[str, pa.Table],
    sets: Mapping[str, Path],
    scheme: LandmarkScheme,
    space: ShapeSpace,
    drifts: Drifts,
    start: int,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Points and instances, numbered from `start`, of each iteration; `drifts` takes in the last one."""
    first = next(iter(parts))
    landmarks = parts[first]["landmark"].to_numpy()
    if len(landmarks) % scheme.size or (landmarks.reshape(-1, scheme.size) != np.arange(scheme.size)).any():
        raise FormatError(
            f"{sets[first]}: changed by another program: rows are not {scheme.size} landmarks an instance, in order; "
            "make the set again with `lmk ingest`"
        )
    frame = Frame(parts[first], scheme, space, start)
    before = last = frame.points
    for name, part in parts.items():
        for key in ("image", "instance", "landmark"):
            if not part[key].equals(frame.human[key]):
                _differ(sets[first], sets[name])
        points = positions(part, scheme.size)
        exchanged = changed_sides(frame.points, points, scheme.flip)
        searched = was_searched(part, frame.points, points, first=name == first)
        if part is [*parts.values()][-1]:
            keys = [column for column in ("image", *PARTS) if column in part.column_names]
            table = part.select(keys).take(np.arange(0, len(part), scheme.size)).to_pandas()
            drifts.add(points - frame.points, frame.tangents, frame.box, searched, exchanged, table)
        yield rows_of(name, part, frame, Seen(points, last, before, searched, exchanged))
        before, last = last, points
