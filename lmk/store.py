"""Annotation sets on disk: one Parquet file a set, equal bytes for equal content, whole or not there.

Positions are kept to the last bit: as float32 where that has all of them, else as float64.  Scheme and provenance
travel in the schema's metadata under the key `lmk`; there are no time stamps, because they would make every later stage
of a pipeline run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lmk.annotations import COLUMNS, FAR, KEYS, OPTIONAL, SPLITS, AnnotationSet
from lmk.columns import (
    OF_EITHER,
    OF_INSTANCE,
    OF_POINT,
    OLD_NAMES,
    TYPES,
    Pile,
    Values,
    Words,
    flat,
    held,
    same_in_instance,
)
from lmk.errors import DataError, FormatError
from lmk.files import alone as alone
from lmk.files import making as making
from lmk.files import remove as remove
from lmk.files import replacing as replacing
from lmk.files import room_beside as room_beside
from lmk.files import write_json as write_json
from lmk.files import write_text as write_text
from lmk.limits import CELL_BYTES, SET_BYTES, SET_ROWS
from lmk.names import check_names
from lmk.reading import check_file, opened, parse_json, whole
from lmk.scheme import LandmarkScheme, parse_scheme

VERSION = 1
_KEY = b"lmk"
GROUP = 1 << 20  # rows of a file that are written at once: a row group
PART = 1 << 18  # rows that are read at once
_NEVER_NULL = ("image", "instance", "landmark", "visibility", "split", "iteration")
_TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "int8": pa.int8(),
    "uint8": pa.uint8(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


def digest_of(*parts: Any) -> str:
    """A short name for content: of files by their bytes, of anything else by its JSON."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with opened(part, DataError) as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        else:
            total.update(json.dumps(part, sort_keys=True).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table for `dvc plots`."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def write_annotations(annotations: AnnotationSet, path: Path) -> None:
    """Write a set; the same content gives the same bytes, whatever the order of rows."""
    names = [name for name in TYPES if annotations.has(name) or name not in OPTIONAL]
    header = {"version": VERSION, "scheme": annotations.scheme.to_json(), "provenance": annotations.provenance}
    types = {name: _TYPES[TYPES[name]] for name in names} | dict.fromkeys(("x", "y"), _positions_type(annotations))
    schema = pa.schema(
        list(types.items()),
        metadata={_KEY: json.dumps(header, sort_keys=True).encode()},
    )
    floats = [name for name, kind in types.items() if pa.types.is_floating(kind)]
    keys = annotations.instances[["image", "instance"]].reset_index(drop=True)
    order = keys.sort_values(["image", "instance"], kind="stable").index.to_numpy(np.int64)
    size = annotations.landmarks
    with replacing(path) as temporary, pq.ParquetWriter(
        temporary,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in names if name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        store_schema=True,
        write_statistics=True,
    ) as file:  # fmt: skip
        for start in range(0, max(1, len(order) * size), GROUP):
            end = min(start + GROUP, len(order) * size)
            # A group may start and end inside of an instance.
            some = annotations.select(order[start // size : -(-end // size)])
            inside = slice(start % size, start % size + end - start)
            arrays = [_to_arrow(some, name, inside, kind) for name, kind in types.items()]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=GROUP)


def _positions_type(annotations: AnnotationSet) -> pa.DataType:
    """The smaller of two types that has all positions exactly."""
    for name in ("x", "y"):
        values = annotations.column(name)
        if not np.array_equal(values.astype(np.float32), values, equal_nan=True):
            return pa.float64()
    return pa.float32()


def _to_arrow(annotations: AnnotationSet, name: str, rows: slice, kind: pa.DataType) -> pa.Array:
    """Some rows of one column of the long table."""
    column = annotations.flat(name)[rows]
    if kind == pa.string():
        return pa.array(column, kind, from_pandas=True)
    values = np.array(column, np.float64)
    null = np.isnan(values)
    values[null] = 0
    if name in ("x", "y"):
        values += 0.0  # no negative zero
    return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=null)


def read_annotations(path: Path) -> AnnotationSet:
    """Read a set that `write_annotations` wrote."""
    with whole(path, "changed by another program", FormatError):
        annotations = _read(path)
        _check_values(annotations, path)
    return annotations


def _read(path: Path) -> AnnotationSet:
    rows, scheme, provenance = read_header(path)
    pile = Pile(rows // scheme.size)
    # Strict about what is there; a damaged page surfaces as an ArrowException or an OSError.
    for part in read_parts(path, max(1, PART // scheme.size) * scheme.size, encoded=True):
        pile.add(*_folded(part, scheme.size, path))
    if not pile.rows:
        raise _changed(path, f"rows are not {scheme.size} landmarks an instance, in order")
    instances, values = pile.done()
    if (twice := instances.duplicated(["image", "instance"])).any():
        row = instances[twice].iloc[0]
        raise _changed(path, f"{row['image']} instance {row['instance']} is there twice")
    return AnnotationSet(instances, values, scheme, provenance)


def _check_values(annotations: AnnotationSet, path: Path) -> None:
    """Refuse values that no writer of ours writes: nobody downstream expects them."""
    visibility, points, boxes = annotations.column("visibility"), annotations.points, annotations.boxes
    there, instances = np.isfinite(points).all(-1), annotations.instances
    sizes = instances[["width", "height", "box_size"]].to_numpy(np.float64, na_value=np.nan)
    wrong = {
        "a visibility that is not 0, 1 or 2": (~np.isin(visibility, (0, 1, 2))).any(1),
        "a labelled point without a position, or a position of none": (there != (visibility > 0)).any(1),
        f"a position beyond {FAR:g} pixels": (np.abs(points) > FAR).any((1, 2)),
        f"a split that is not {', '.join(SPLITS)}": ~instances["split"].isin(SPLITS).to_numpy(np.bool_),
        "a box of which a part is missing": np.isfinite(boxes).any(1) & ~np.isfinite(boxes).all(1),
        "a size that is not positive": (sizes <= 0).any(1) | np.isinf(sizes).any(1),
    }
    for what, rows in wrong.items():
        if rows.any():
            row = instances.iloc[int(np.argmax(rows))]
            raise _changed(path, f"{row['image']} instance {row['instance']} has {what}")


def _folded(part: pa.Table, size: int, path: Path) -> tuple[pd.DataFrame, dict[str, Values]]:
    """Instances and columns of some rows of a file; refuses what another program has filtered or sorted."""
    if gone := [name for name in COLUMNS if name not in OPTIONAL and name not in part.column_names]:
        raise _changed(path, f"column {gone[0]} is missing")
    count = len(part) // size
    if not np.array_equal(part["landmark"].to_numpy(), np.tile(np.arange(size), count)):
        raise _changed(path, f"rows are not {size} landmarks an instance, in order")
    instances: dict[str, Any] = {}
    values: dict[str, Values] = {}
    for name in [*OF_INSTANCE, *OF_EITHER, *OF_POINT]:
        if name in part.column_names:
            column = _from_arrow(part[name], name, path).reshape(-1, size)
            if name not in OF_INSTANCE:
                values[name] = column
            elif same_in_instance(column.codes if isinstance(column, Words) else column).all():
                instances[name] = flat(column[:, :1])
            elif name in KEYS:
                raise _changed(path, f"rows are not {size} landmarks an instance, in order")
            else:
                raise _changed(path, f"points of one instance do not agree on {name}")
    check_names(dict.fromkeys(instances["image"]), str(path))
    return pd.DataFrame(instances), values


def _from_arrow(column: pa.ChunkedArray, name: str, path: Path) -> Values:
    kind, is_a = column.type, pa.types
    if is_a.is_dictionary(kind) and TYPES[name] == "string":
        chunk = column.chunk(0)
        return Words(chunk.indices.fill_null(-1).to_numpy(), tuple(chunk.dictionary.to_pylist()))
    if TYPES[name] == "string" or not (is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_boolean(kind)):
        raise _changed(path, f"column {name} holds {kind}")
    if is_a.is_boolean(kind) and column.null_count:
        column = column.cast(pa.uint8())
    return held(name, column.to_numpy())


def _changed(path: Path, what: str) -> FormatError:
    return FormatError(f"{path}: changed by another program: {what}; make the set again with `lmk ingest`")


def read_header(path: Path) -> tuple[int, LandmarkScheme, dict[str, Any]]:
    """The number of rows of a set, its scheme and its provenance, without its points."""
    with _opened(path) as file:
        rows, metadata = file.metadata.num_rows, file.schema_arrow.metadata or {}
    if _KEY not in metadata:
        raise FormatError(f"{path}: a Parquet file, but not an annotation set of lmk; `lmk ingest` makes one")
    damaged = "its description under the key lmk is damaged; make the set again"
    with whole(path, damaged):
        header = parse_json(metadata[_KEY], f"{path}: {damaged}")
        version, scheme, provenance = int(header["version"]), json.dumps(header["scheme"]), dict(header["provenance"])
    if version > VERSION:
        raise FormatError(
            f"{path}: written by a newer lmk (version {version} of the file, this one reads {VERSION}); upgrade lmk"
        )
    return rows, parse_scheme(scheme, where=str(path)), provenance


def columns_of(path: Path) -> list[str]:
    """The names of a set's columns, as they are called today."""
    with _opened(path) as file:
        return [OLD_NAMES.get(name, name) for name in file.schema_arrow.names]


def read_parts(path: Path, rows: int, columns: list[str] | None = None, encoded: bool = False) -> Iterator[pa.Table]:
    """The table of a set, so many rows at a time; text that is encoded comes as dictionaries."""
    with _opened(path) as file:
        texts = [field.name for field in file.schema_arrow if field.type == pa.string()] if encoded else []
    table_of = _named if encoded else partial(_plain, path=path)
    with _opened(path, texts) as file:
        kept: list[pa.RecordBatch] = []
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            kept.append(batch)
            while (there := sum(map(len, kept))) >= rows:
                table = pa.Table.from_batches(kept)
                yield table_of(table.slice(0, rows))
                kept = table.slice(rows).to_batches() if there > rows else []
        if kept:
            yield table_of(pa.Table.from_batches(kept))


def _named(table: pa.Table) -> pa.Table:
    """The rows in one piece, with the columns' names of today."""
    table = table.rename_columns([OLD_NAMES.get(name, name) for name in table.column_names])
    return table.unify_dictionaries().combine_chunks()


def _plain(table: pa.Table, path: Path) -> pa.Table:
    """The same with the columns' own types, whatever another program has made of them."""
    table = _named(table)
    known = [name for name in table.column_names if name in TYPES]
    if twice := [name for name in known if known.count(name) > 1]:
        raise _changed(path, f"column {twice[0]} is there twice")
    if empty := [name for name in _NEVER_NULL if name in known and table[name].null_count]:
        raise _changed(path, f"column {empty[0]} has no value in some rows")
    for at, name in enumerate(table.column_names):
        kind = _TYPES.get(TYPES.get(name, ""))
        if kind is not None and table.column(at).type != kind:
            if (kind == pa.string()) != pa.types.is_string(table.column(at).type):
                raise _changed(path, f"column {name} holds {table.column(at).type}")
            table = table.set_column(at, name, table.column(at).cast(kind))
    if "image" in known:
        check_names(table["image"].unique().to_pylist(), str(path))
    return table


@contextmanager
def _opened(path: Path, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A Parquet file that is not made to unpack into more than its rows are worth."""
    check_file(path, SET_BYTES, DataError, "no such annotation set; `lmk ingest` makes one")
    with whole(path, "not a whole Parquet file"), pq.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
        told = file.metadata
        unpacked = sum(told.row_group(group).total_byte_size for group in range(told.num_row_groups))
        if told.num_rows > SET_ROWS or unpacked > CELL_BYTES * (told.num_rows + 1000):
            raise FormatError(
                f"{path}: says that it has {told.num_rows:,} rows in {unpacked:,} bytes; at most {SET_ROWS:,} rows of "
                f"{CELL_BYTES} bytes are read"
            )
        yield file
