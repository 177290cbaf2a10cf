"""Annotation sets on disk: one Parquet file a set, equal bytes for equal content, whole or not there.

Positions are rounded to 1/64 pixel and stored as float32.  Scheme and provenance travel in the schema's metadata under
the key `lmk`; there are no time stamps, because they would make every later stage of a pipeline run again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lmk.annotations import COLUMNS, EVIDENCE, OPTIONAL, UNIT, AnnotationSet
from lmk.errors import DataError, FormatError
from lmk.scheme import LandmarkScheme, parse_scheme

VERSION = 1
_KEY = b"lmk"
LOCK = ".lock"
_TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "int8": pa.int8(),
    "uint8": pa.uint8(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends well, and is removed when it does not.

    Works for a file and for a folder (create it inside the block).  A kill at any moment leaves the old content, or
    none, never half of the new.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    remove(temporary)
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
            _sync(file)
        if path.is_dir() and not temporary.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way", str(path))
        if path.is_dir():  # a folder cannot be renamed over another
            remove(old)
            path.replace(old)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        remove(temporary)
        remove(old)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a folder to this process while the block runs; a kill gives it free again."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise DataError(
                f"{folder}: another process is at work there; wait for it, or name another folder"
            ) from cause
        except OSError:  # a file system that knows no locks
            pass
        yield


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(text: str, path: Path) -> None:
    """Write text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(content: Any, path: Path) -> None:
    """Write JSON for people and for `git diff`."""
    write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", path)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table for `dvc plots`."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def digest_of(*parts: Any) -> str:
    """A short name for content: of files by their bytes, of anything else by its JSON."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        else:
            total.update(json.dumps(part, sort_keys=True).encode())
        total.update(b"\0")
    return total.hexdigest()[:16]


def write_annotations(annotations: AnnotationSet, path: Path) -> None:
    """Write a set; the same content gives the same bytes, whatever the order of rows or the float noise below 1/64."""
    table = annotations.table.sort_values(["image", "instance", "landmark"], kind="stable")
    columns = [name for name in [*COLUMNS, *EVIDENCE] if name in table or name not in OPTIONAL]
    fields = [pa.field(name, _TYPES[{**COLUMNS, **EVIDENCE}[name]]) for name in columns]
    header = {"version": VERSION, "scheme": annotations.scheme.to_json(), "provenance": annotations.provenance}
    schema = pa.schema(fields, metadata={_KEY: json.dumps(header, sort_keys=True).encode()})
    arrays = [_to_arrow(table[field.name], field.type) for field in fields]
    floats = [field.name for field in fields if field.type == pa.float32()]
    with replacing(path) as temporary:
        pq.write_table(
            pa.Table.from_arrays(arrays, schema=schema),
            temporary,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in columns if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            row_group_size=1 << 20,
            store_schema=True,
            write_statistics=True,
        )


def _to_arrow(column: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    null = column.isna().to_numpy(np.bool_)
    if kind == pa.string():
        return pa.array([None if gone else str(value) for value, gone in zip(column, null, strict=True)], kind)
    values = column.to_numpy(np.float64, na_value=0.0, copy=True)
    values[null] = 0
    if column.name in ("x", "y"):
        values = np.round(values / UNIT) * UNIT + 0.0  # no negative zero
    return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=null)


def read_annotations(path: Path) -> AnnotationSet:
    """Read a set that `write_annotations` wrote."""
    _, scheme, provenance = read_header(path)
    with _whole(path):
        # Strict about what is there; a damaged page surfaces as an ArrowException or an OSError.
        table = pq.read_table(path, memory_map=False)
    frame = pd.DataFrame({name: _from_arrow(table[name]) for name in table.column_names})
    annotations = AnnotationSet(frame, scheme, provenance)
    _check_rows(annotations, path)
    return annotations


def read_header(path: Path) -> tuple[int, LandmarkScheme, dict[str, Any]]:
    """The number of rows of a set, its scheme and its provenance, without its points."""
    if not path.is_file():
        raise DataError(f"{path}: no such annotation set; `lmk ingest` makes one")
    with _whole(path), pq.ParquetFile(path) as file:
        rows, metadata = file.metadata.num_rows, file.schema_arrow.metadata or {}
    if _KEY not in metadata:
        raise FormatError(f"{path}: a Parquet file, but not an annotation set of lmk; `lmk ingest` makes one")
    try:
        header = json.loads(metadata[_KEY])
        version, scheme, provenance = int(header["version"]), json.dumps(header["scheme"]), dict(header["provenance"])
    except (ValueError, KeyError, TypeError) as cause:
        raise FormatError(f"{path}: its description under the key lmk is damaged; make the set again") from cause
    if version > VERSION:
        raise FormatError(
            f"{path}: written by a newer lmk (version {version} of the file, this one reads {VERSION}); upgrade lmk"
        )
    return rows, parse_scheme(scheme, where=str(path)), provenance


def read_parts(path: Path, rows: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The table of a set, so many rows at a time."""
    with _whole(path), pq.ParquetFile(path) as file:
        kept: list[pa.RecordBatch] = []
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            kept.append(batch)
            while (there := sum(map(len, kept))) >= rows:
                table = pa.Table.from_batches(kept)
                yield table.slice(0, rows).combine_chunks()
                kept = table.slice(rows).to_batches() if there > rows else []
        if kept:
            yield pa.Table.from_batches(kept).combine_chunks()


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as cause:
        raise FormatError(f"{path}: not a whole Parquet file ({' '.join(str(cause).split())[:120]})") from cause


def _check_rows(annotations: AnnotationSet, path: Path) -> None:
    """Refuse what another program has filtered or sorted: columns are folded by K rows, without looking at keys."""
    table, count = annotations.table, annotations.landmarks
    gone = [name for name in COLUMNS if name not in OPTIONAL and name not in table]
    whole = not gone and len(table) > 0 and len(table) % count == 0
    if whole:
        whole = bool((table["landmark"].to_numpy() == np.tile(np.arange(count), len(table) // count)).all())
    if whole:
        first = table.loc[::count, ["image", "instance"]].reset_index(drop=True)
        last = table.loc[count - 1 :: count, ["image", "instance"]].reset_index(drop=True)
        whole = first.equals(last)
    if not whole:
        what = f"column {gone[0]} is missing" if gone else f"rows are not {count} landmarks an instance, in order"
        raise FormatError(f"{path}: changed by another program: {what}; make the set again with `lmk ingest`")


def _from_arrow(column: pa.ChunkedArray) -> Any:
    if column.type == pa.string():
        return column.to_pandas()
    if column.type == pa.bool_() and column.null_count:
        column = column.cast(pa.uint8())
    return column.to_numpy().copy()
