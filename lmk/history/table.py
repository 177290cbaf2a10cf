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
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmk.annotations import COLUMNS, EVIDENCE, UNIT, check_same_scheme, default_boxes
from lmk.console import Progress
from lmk.errors import DataError, FormatError
from lmk.history.findings import FINDINGS, PARTS, Drifts
from lmk.kernels.frames import split_on_contours
from lmk.kernels.shape import ShapeSpace, asymmetry, shape_space
from lmk.scheme import LandmarkScheme
from lmk.store import read_header, read_parts

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
ROWS = 1 << 16  # of each set that are in memory at once
SHAPES = 4000  # instances that the space of shapes is made of; more would say the same
LEFT = 0.25  # of an instance's distance once its sides are exchanged, at most, where they have been exchanged
LAYOUT = 6  # of the table; another number, another table
AHEAD = 2  # tables that wait to be written
MEMORY = "600MB"  # that DuckDB may use; what does not fit goes to disk

_SQL = {
    "string": "VARCHAR", "int32": "INTEGER", "int16": "SMALLINT", "int8": "TINYINT", "uint8": "UTINYINT",
    "float32": "FLOAT", "bool": "BOOLEAN",
}  # fmt: skip
_TAKEN = ("landmark", "visibility", "x", "y")
# One row a point and iteration; `object` numbers the instances in the order of the set.
MOVES: dict[str, str] = {
    "iteration": "VARCHAR",
    "object": "INTEGER",
    **{name: _SQL[COLUMNS[name]] for name in _TAKEN},
    "human_x": "FLOAT",
    "human_y": "FLOAT",
    "along": "FLOAT",
    "across": "FLOAT",
    "step": "FLOAT",
    "searched": "BOOLEAN",
    "reversed": "BOOLEAN",
    "crossing": "BOOLEAN",
    **{name: _SQL[kind] for name, kind in EVIDENCE.items()},
}
INSTANCES: dict[str, str] = {
    "iteration": "VARCHAR",
    "object": "INTEGER",
    **{name: _SQL[COLUMNS[name]] for name in ("image", "instance", *PARTS)},
    "box": "FLOAT",
    "points": "INTEGER",
    "drift": "FLOAT",
    "percent": "FLOAT",
    "asymmetry": "FLOAT",
    "shape_distance": "FLOAT",
    "swapped": "BOOLEAN",
    "has_image": "BOOLEAN",
}
LANDMARKS: dict[str, str] = {"landmark": "SMALLINT", "name": "VARCHAR", "contour": "VARCHAR"}
DECISIONS: dict[str, str] = {
    "iteration": "VARCHAR",
    "number": "INTEGER",
    "image": "VARCHAR",
    "instance": "INTEGER",
    "landmark": "SMALLINT",
    "action": "VARCHAR",
    "x": "FLOAT",
    "y": "FLOAT",
    "decided_by": "VARCHAR",
    "why": "VARCHAR",
}
TABLES = {
    "moves": MOVES, "instances": INSTANCES, "landmarks": LANDMARKS, "findings": FINDINGS, "decisions": DECISIONS,
}  # fmt: skip
_POINTS = f"""
CREATE VIEW points AS
WITH shifted AS (
    SELECT *, x::DOUBLE - human_x AS to_right, y::DOUBLE - human_y AS to_below,
           sqrt(to_right * to_right + to_below * to_below) AS apart
    FROM moves
)
SELECT m.iteration, i.image, i.instance, m.landmark, n.name, n.contour, i."split", i.annotator, i.source, m.visibility,
       m.x, m.y, m.human_x, m.human_y, i.box, to_right::FLOAT AS dx, to_below::FLOAT AS dy, apart::FLOAT AS drift,
       (100 * apart / i.box)::FLOAT AS percent, along, across, step, searched,
       m.searched AND NOT i.swapped AND apart IS NOT NULL AS counted,
       coalesce(apart <= {UNIT}, false) AS unchanged, reversed, crossing, i.swapped,
       d.landmark IS NOT NULL AS decided,
       {", ".join(f"m.{name}" for name in EVIDENCE)}
FROM shifted AS m JOIN instances AS i USING (iteration, object) JOIN landmarks AS n USING (landmark)
LEFT JOIN (SELECT DISTINCT image, instance, landmark FROM decisions) AS d
    ON d.image = i.image AND d.instance = i.instance AND d.landmark = m.landmark
"""
# What holds of every point: a decision, else the last iteration.
_LABELS = """
CREATE VIEW labels AS
WITH standing AS (
    SELECT * FROM decisions
    QUALIFY row_number() OVER (PARTITION BY image, instance, landmark ORDER BY number DESC, iteration DESC) = 1
)
SELECT image, instance, landmark, name, contour, "split", p.human_x, p.human_y,
       coalesce(d.x, p.x) AS x, coalesce(d.y, p.y) AS y,
       coalesce(d.action, CASE WHEN p.searched THEN 'refined' ELSE 'human' END) AS rule,
       coalesce(d.iteration, p.iteration) AS iteration, d.decided_by, d.why
FROM points AS p LEFT JOIN standing AS d USING (image, instance, landmark)
WHERE p.iteration = '{last}'
"""


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
        check_same_scheme(scheme, other, f"{sets[first]} and {sets[name]}")
        if count != rows:
            _differ(sets[first], sets[name])
    space = shape_space(_sample(sets[first], rows, scheme.size))
    drifts = Drifts(scheme, contour_names(scheme))
    whole = max(1, ROWS // scheme.size) * scheme.size
    database = duckdb.connect(str(target), config={"memory_limit": MEMORY, "threads": str(os.cpu_count() or 1)})
    try:
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
        database.execute(_POINTS)
        database.execute(_LABELS.format(last=list(sets)[-1]))
    finally:
        database.close()
    return scheme


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
    parts = [_positions(part, size) for part in read_parts(path, whole, ["x", "y", "visibility"])]
    return np.concatenate([part[::stride] for part in parts])


def _positions(part: pa.Table, size: int) -> Floats:
    """(N, K, 2), NaN where there is no point."""
    both = [part[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("x", "y")]
    points = np.stack(both, axis=-1).reshape(-1, size, 2)
    points[part["visibility"].to_numpy().reshape(-1, size) == 0] = np.nan
    return points


@dataclass(frozen=True)
class _Frame:
    """What is the same for all iterations of some instances."""

    human: pa.Table
    scheme: LandmarkScheme
    space: ShapeSpace
    start: int  # the first one's number

    @cached_property
    def points(self) -> Floats:
        return _positions(self.human, self.scheme.size)

    @cached_property
    def tangents(self) -> Floats:
        return self.scheme.tangents(self.points)

    @cached_property
    def box(self) -> Floats:
        """(N,) side of the crop; of the points' bounds where a set was made without images."""
        sides = self.human["box_size"].to_numpy(zero_copy_only=False).astype(np.float64)[:: self.scheme.size]
        bounds = default_boxes(np.where(np.isfinite(self.points).any((1, 2), keepdims=True), self.points, 0), 1.0)
        return np.where(np.isfinite(sides), sides, bounds[:, 2])

    @cached_property
    def objects(self) -> pa.Array:
        """The number of each row's instance."""
        count = len(self.human) // self.scheme.size
        return pa.array(np.repeat(np.arange(self.start, self.start + count, dtype=np.int32), self.scheme.size))


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
    frame = _Frame(parts[first], scheme, space, start)
    before = last = frame.points
    for name, part in parts.items():
        for key in ("image", "instance", "landmark"):
            if not part[key].equals(frame.human[key]):
                _differ(sets[first], sets[name])
        points = _positions(part, scheme.size)
        exchanged = changed_sides(frame.points, points, scheme.flip)
        searched = _searched(part, frame.points, points, first=name == first)
        if part is [*parts.values()][-1]:
            keys = [column for column in ("image", *PARTS) if column in part.column_names]
            table = part.select(keys).take(np.arange(0, len(part), scheme.size)).to_pandas()
            drifts.add(points - frame.points, frame.tangents, frame.box, searched, exchanged, table)
        yield _rows(name, part, frame, points, last, before, searched, exchanged)
        before, last = last, points


def _searched(part: pa.Table, human: Floats, points: Floats, first: bool) -> Flags:
    """(N, K) what an iteration looked at, as its evidence says, or moved all the same; all where nobody says.

    Nothing was looked at for the first set, the human labels.
    """
    if first:
        return np.zeros(points.shape[:2], bool)
    if "chi2" not in part.column_names:
        return np.ones(points.shape[:2], bool)
    told = part["chi2"].is_valid().to_numpy().reshape(points.shape[:2])
    return np.asarray(told | (np.hypot(*np.moveaxis(points - human, -1, 0)) > UNIT))


def _rows(
    name: str,
    part: pa.Table,
    frame: _Frame,
    points: Floats,
    last: Floats,
    before: Floats,
    searched: Flags,
    exchanged: Flags,
) -> tuple[pa.Table, pa.Table]:
    scheme = frame.scheme
    shift, step, earlier = points - frame.points, points - last, last - before
    drift, moved = np.hypot(*np.moveaxis(shift, -1, 0)), np.hypot(*np.moveaxis(step, -1, 0))
    back = ((step * earlier).sum(-1) < 0) & (moved > UNIT) & (np.hypot(*np.moveaxis(earlier, -1, 0)) > UNIT)
    along, across = split_on_contours(shift, frame.tangents)
    columns: dict[str, Any] = {
        "human_x": frame.points[..., 0],
        "human_y": frame.points[..., 1],
        "along": along,
        "across": across,
        "step": moved,
        "searched": searched,
        "reversed": back,
        "crossing": crossings(frame.points, points, scheme),
    }
    kept = [column for column in (*_TAKEN, *EVIDENCE) if column in part.column_names]
    arrays = {"iteration": _constant(name, len(part)), "object": frame.objects}
    arrays |= {column: part[column] for column in kept}
    arrays |= {column: _array(values) for column, values in columns.items()}
    table = pa.table(arrays).filter(pc.greater(part["visibility"], 0))
    firsts = part.take(np.arange(0, len(part), scheme.size))
    there = np.isfinite(drift)
    count = there.sum(1)
    mean = np.where(there, drift, 0).sum(1) / np.maximum(count, 1)
    sided = bool((scheme.flip != np.arange(scheme.size)).any())
    uneven = asymmetry(points, scheme.flip) / frame.box * 100 if sided else np.full(len(points), np.nan)
    keys = [column for column in ("image", "instance", *PARTS) if column in part.column_names]
    instances = pa.table(
        {
            "iteration": _constant(name, len(firsts)),
            "object": frame.objects.take(np.arange(0, len(part), scheme.size)),
            **{column: firsts[column] for column in keys},
            "box": _array(frame.box),
            "points": pa.array(np.isfinite(points[..., 0]).sum(1), pa.int32()),
            "drift": _array(np.where(count > 0, mean, np.nan)),
            "percent": _array(np.where(count > 0, 100 * mean / frame.box, np.nan)),
            "asymmetry": _array(uneven),
            "shape_distance": _array(frame.space.distance(points)),
            "swapped": _array(exchanged),
            "has_image": firsts["width"].is_valid(),
        }
    )
    return table, instances


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _array(values: NDArray[Any]) -> pa.Array:
    """One column; what is not a number is nothing."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == bool:
        return pa.array(flat)
    return pa.array(flat.astype(np.float32), from_pandas=True)


def crossings(human: Floats, points: Floats, scheme: LandmarkScheme) -> Flags:
    """(N, K) points that have passed a neighbour on a contour, so that the two are in the other order."""
    found = np.zeros(points.shape[:2], bool)
    for chain, closed in scheme.chains:
        ends = np.array([*chain, chain[0]] if closed else chain)
        one, other = ends[:-1], ends[1:]
        turned = ((human[:, other] - human[:, one]) * (points[:, other] - points[:, one])).sum(-1) < 0
        for place, pair in enumerate(zip(one, other, strict=True)):
            found[:, list(pair)] |= turned[:, [place]]
    return found


def changed_sides(human: Floats, points: Floats, flip: NDArray[np.int64]) -> Flags:
    """(N,) instances whose points lie where the human has their partners."""
    sided = flip != np.arange(len(flip))
    straight = ((points - human) ** 2).sum(-1)[:, sided]
    crossed = ((points - human[:, flip]) ** 2).sum(-1)[:, sided]
    there = np.isfinite(straight) & np.isfinite(crossed)
    total = [np.where(there, part, 0).sum(1) for part in (straight, crossed)]
    return np.asarray((there.sum(1) >= 2) & (total[1] < LEFT * total[0]))
