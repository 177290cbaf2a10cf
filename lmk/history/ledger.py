"""The ledger: what people have decided about points, and the labels that come of it.

A decision accepts what an iteration says of a point, goes back to the human label, moves the point elsewhere, calls it
occluded, or removes it, and stays, whatever later iterations say.  Each command's decisions are one small Parquet file
in the folder of the iteration that was judged, `decisions/iNN/`, written once, under a number of its own; where two of
them speak of the same point, the later counts.  So two people can decide at the same time, a kill leaves a file or
none, and to take a decision back is to decide again.
Nothing that an iteration wrote is ever changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmk.annotations import FAR, KEYS, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.limits import SET_BYTES
from lmk.reading import check_file, whole
from lmk.store import digest_of, room_beside

ACTIONS = ("accept", "revert", "move", "occlude", "remove")
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("instance", pa.int32()),
        ("landmark", pa.int16()),
        ("action", pa.string()),
        ("x", pa.float64()),  # where the point is to be; as it stood when it was decided
        ("y", pa.float64()),
        ("visibility", pa.uint8()),  # that the point is to have; null leaves it as it is
        ("decided_by", pa.string()),
        ("why", pa.string()),
    ]
)
_NEEDED = ("image", "instance", "landmark", "action", "x", "y")
_NUMBER = re.compile(r"[0-9]{1,18}")
_DIGITS = 6  # of a file's number


def record(decisions: Path, iteration: str, rows: pd.DataFrame) -> Path:
    """Write decisions on an iteration as one file, after all that are there.

    Args:
        decisions: the folder of all decisions.
        iteration: whose values were judged.
        rows: the columns of SCHEMA; without `visibility` that of the points stays.
    """
    rows = rows if "visibility" in rows else rows.assign(visibility=None)
    if not set(rows["action"]) <= set(ACTIONS):
        raise DataError(f"an action is {' or '.join(ACTIONS)}, not {sorted(set(rows['action']) - set(ACTIONS))[0]!r}")
    folder = decisions / iteration
    with room_beside(folder / "decisions") as room:
        temporary = room / "new"
        pq.write_table(pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False), temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        number = max((_number(path) for path in files(decisions)), default=0)
        while True:
            number += 1
            target = folder / f"{number:0{_DIGITS}d}.parquet"
            try:
                os.link(temporary, target)  # unlike a rename, it never takes another's place
            except FileExistsError:
                continue
            return target


def files(decisions: Path, before: str | None = None) -> list[Path]:
    """The files of all decisions, earlier ones first; only those on iterations before one, if it is named."""
    found = [path for path in decisions.glob("i[0-9][0-9]/*.parquet") if _NUMBER.fullmatch(path.stem)]
    # Two writers in two folders may have taken the same number at the same moment: the later iteration speaks last.
    chosen = [path for path in found if before is None or path.parent.name < before]
    return sorted(chosen, key=lambda path: (_number(path), path.parent.name))


def _number(path: Path) -> int:
    return int(path.stem)


def read(decisions: Path, before: str | None = None) -> pd.DataFrame:
    """All decisions with their `iteration` and `number`, earlier ones first."""
    return _read(files(decisions, before))


def _read(paths: Iterable[Path]) -> pd.DataFrame:
    tables = []
    for path in paths:
        check_file(path, SET_BYTES)
        with whole(path, "not a file of decisions"), pq.ParquetFile(path) as file:
            found = file.read()
            if "visibility" not in found.column_names:  # written before there was one
                found = found.append_column("visibility", pa.nulls(len(found), pa.uint8()))
            found = found.select(SCHEMA.names).cast(SCHEMA)
            table = found.to_pandas()
            if any(found[name].null_count for name in _NEEDED):
                raise FormatError(f"{path}: not a file of decisions: {', '.join(_NEEDED)} are there for each")
            if not table["action"].isin(ACTIONS).all() or not (table[["x", "y"]].abs() <= FAR).all(axis=None):
                raise FormatError(
                    f"{path}: not a file of decisions: each is {' or '.join(ACTIONS)}, and has a position"
                )
            if not table["visibility"].dropna().le(2).all():
                raise FormatError(f"{path}: not a file of decisions: visibility is 0, 1 or 2")
        tables.append(table.assign(iteration=path.parent.name, number=_number(path)))
    return pd.concat(tables, ignore_index=True) if tables else nothing()


def nothing() -> pd.DataFrame:
    """No decisions."""
    table: pd.DataFrame = SCHEMA.empty_table().to_pandas()
    return table.assign(iteration=pd.Series(dtype=str), number=pd.Series(dtype=np.int64))


def standing(decided: pd.DataFrame) -> pd.DataFrame:
    """The last decision on each point."""
    last: pd.DataFrame = decided.drop_duplicates(KEYS, keep="last", ignore_index=True)
    return last


def with_decisions(annotations: AnnotationSet, decided: pd.DataFrame) -> tuple[AnnotationSet, NDArray[np.bool_]]:
    """The set with every decided point as it was decided to be, and (N, K) which of them there are then."""
    places = np.zeros(annotations.shape, bool)
    if not len(decided):
        return annotations, places
    last = standing(decided)
    wanted, known = (
        pd.MultiIndex.from_frame(table[["image", "instance"]].astype({"image": str, "instance": np.int64}))
        for table in (last, annotations.instances)
    )
    rows, landmarks = known.get_indexer(wanted), last["landmark"].to_numpy(np.int64)
    there = (rows >= 0) & (landmarks >= 0) & (landmarks < annotations.landmarks)
    visibility = annotations.column("visibility").copy()
    asked = last["visibility"].to_numpy(np.float64, na_value=np.nan)[there]
    index = rows[there], landmarks[there]
    visibility[index] = np.where(np.isnan(asked), visibility[index], asked).astype(visibility.dtype)
    places[index] = visibility[index] > 0
    decided_to = {}
    for name in ("x", "y"):
        decided_to[name] = annotations.column(name).astype(np.float64)
        decided_to[name][index] = np.where(places[index], last[name].to_numpy()[there], np.nan)
    return annotations.with_columns(**decided_to, visibility=visibility), places


def accepted(last: AnnotationSet, decisions: Path) -> AnnotationSet:
    """The labels that hold: the last iteration's, but where somebody has decided otherwise."""
    decided = read(decisions)
    labels, places = with_decisions(last, decided)
    provenance = {**last.provenance, "decisions": digest(decisions), "decided": int(places.sum())}
    return replace(labels, provenance=provenance)


def digest(decisions: Path, before: str | None = None) -> str | None:
    """A short name for all decisions; None where there are none."""
    found = files(decisions, before)
    return digest_of(*[part for path in found for part in (f"{path.parent.name}/{path.name}", path)]) if found else None
