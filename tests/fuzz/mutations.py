"""What is done to a file: damage of its bytes, other values in its tree, its table or its text."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Random = random.Random
_TYPES = (
    pa.string(), pa.float64(), pa.int64(), pa.int8(), pa.bool_(), pa.large_string(), pa.binary(), pa.null(),
    pa.list_(pa.int8()), pa.timestamp("s"), pa.decimal128(5, 2), pa.float16(),
)  # fmt: skip

# What stands in files of attackers, of other programs, and of people in a hurry.
WORDS = [
    "", " ", "0", "-1", "1e400", "-1e400", "nan", "NaN", "inf", "-inf", "null", "None", "true", "1,5", "289,60", "1_0",
    "0x10", "1e-320", "9" * 20, "9" * 400, "9" * 5000, "1." + "3" * 400, "1e" + "9" * 30, "a\0b", "\0", "\ufeff", "é",
    "\U0001f600", "../secret.png", "/etc/passwd", "C:\\x", "a//b", ".", "..", "'", '"', '""', "<script>", "${HOME}",
    "$HOME", "%s%n", "{0}", "2147483648", "-32769", "32768", "256", "1.5", "٣", "test", "train", "val", "a" * 10_000,
]  # fmt: skip
BYTES = [b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b",", b";", b'"', b"{", b"}", b"[", b"]", b":"]


def of_bytes(data: bytes, rng: Random) -> bytes:
    """One to four changes of bytes: flips, cuts, insertions, deletions, repetitions, splices."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, size = rng.randrange(len(changed) + 1), rng.choice((1, 1, 2, 4, 16, 64, 512))
        kind = rng.randrange(8)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = rng.choice((rng.randbytes(size), rng.choice(BYTES) * size))
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            changed[at:at] = changed[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 5 and changed:
            other = rng.randrange(len(changed))
            changed[at : at + size] = changed[other : other + size]
        elif kind == 6:
            changed[at : at + size] = rng.randbytes(size)
        elif kind == 7:
            changed[at : at + size] = rng.choice((b"\xff", b"\0", b"\x7f")) * size
    return bytes(changed)


def of_text(data: bytes, rng: Random) -> bytes:
    """Other words in the place of words and cells, lines that are repeated, moved or left out; or changed bytes."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, kind = rng.randrange(len(lines)), rng.randrange(6)
        if kind <= 2:
            gap = rng.choice(" ,:=")
            cells = lines[at].split(gap)
            cells[rng.randrange(len(cells))] = rng.choice(WORDS)
            lines[at] = gap.join(cells)
        elif kind == 3:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice((lines[at], rng.choice(WORDS))))
        elif kind == 4 and len(lines) > 1:
            del lines[at]
        elif kind == 5:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def of_xml(data: bytes, rng: Random) -> bytes:
    """Attributes with other values, tags that are gone, twice or elsewhere, a DOCTYPE, nesting; or changed text."""
    if rng.random() < 0.4:
        return of_text(data, rng)
    pieces = data.decode("utf-8", "replace").split("<")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, kind = rng.randrange(len(pieces)), rng.randrange(8)
        if kind <= 2:
            values = pieces[at].split('"')
            values[rng.randrange(len(values))] = rng.choice((rng.choice(WORDS), "1,2", "1,2;3,4", "&#49;,2", "&a;"))
            pieces[at] = '"'.join(values)
        elif kind == 3 and len(pieces) > 1:
            del pieces[at]
        elif kind == 4:
            pieces.insert(rng.randrange(len(pieces)), pieces[at])
        elif kind == 5:
            other = rng.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif kind == 6:
            entity = '!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
            pieces.insert(rng.randrange(len(pieces)), rng.choice((entity, "!--", "![CDATA[", "?xml version='9'?>")))
        else:
            pieces.insert(at, "a>" + "<a>" * rng.choice((10, 100, 10_000)))
    return "<".join(pieces).encode("utf-8", "surrogatepass")


def of_json(data: bytes, rng: Random) -> bytes:
    """Other values, other types, keys that are missing or too many, nesting without end; or changed bytes."""
    if rng.random() < 0.25:
        return of_text(data, rng)
    if rng.random() < 0.05:
        deep = rng.choice((50, 500, 100_000))
        return rng.choice((b"[" * deep, b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep))
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):  # an earlier mutation was here
        return of_text(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        tree = _changed(tree, rng)
    text = json.dumps(tree)
    for mark in ("9" * 400, "9" * 5000):
        text = text.replace(f'"{mark}"', mark) if rng.random() < 0.5 else text
    return text.replace('"1e400"', "1e400").encode()


def strange(rng: Random) -> object:
    """A value of any type."""
    return rng.choice(
        [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, -1e308, 1e-320, float("nan"), float("inf"),
         0.5, [], {}, [[]], [None], {"": None}, [1, "a", None], {"kind": "hourglass"}, [[[[[[]]]]]], "\ud800", 10**9,
         [0] * 1000, rng.choice(WORDS), rng.choice(WORDS)]
    )  # fmt: skip


def _changed(tree: object, rng: Random) -> object:
    """The tree with one of its values changed."""
    if isinstance(tree, dict | list) and tree and rng.random() < 0.9:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        key = rng.choice(list(keys))
        kind = rng.random()
        if kind < 0.1:
            del tree[key]
        elif kind < 0.15 and isinstance(tree, dict):
            tree[str(rng.choice(WORDS))] = tree.pop(key)
        elif kind < 0.2 and isinstance(tree, list):
            tree.append(tree[key])
        else:
            tree[key] = _changed(tree[key], rng)
        return tree
    return strange(rng)


def of_parquet(data: bytes, rng: Random) -> bytes:
    """Columns of other types, with nulls, with other values, gone, twice; rows shuffled or gone; or other bytes."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    table = pq.read_table(pa.BufferReader(data))
    for _ in range(rng.choice((1, 1, 2))):
        table = _other_table(table, rng)
    return written(table)


def written(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _other_table(table: pa.Table, rng: Random) -> pa.Table:
    kind, at = rng.randrange(9), rng.randrange(table.num_columns)
    name, column = table.column_names[at], table.column(at)
    if kind == 0:
        to = rng.choice(_TYPES)
        try:
            return table.set_column(at, name, column.cast(to))
        except pa.ArrowException:
            return table.set_column(at, name, pa.nulls(len(table), to))
    if kind == 1:
        return table.set_column(at, name, pa.nulls(len(table), column.type))
    if kind == 2:
        holes = pa.array([rng.random() < 0.2 for _ in range(len(table))])
        return table.set_column(at, name, pa.compute.if_else(holes, pa.scalar(None, column.type), column))
    if kind == 3 and table.num_columns > 1:
        return table.remove_column(at)
    if kind == 4:
        return table.append_column(rng.choice((name, "new", "error", "iteration")), column)
    if kind == 5:
        order = list(range(len(table)))
        rng.shuffle(order)
        return table.take(pa.array(order[: rng.choice((0, 1, len(order) // 2, len(order)))], pa.int64()))
    if kind == 6:
        return pa.concat_tables([table, table.slice(0, rng.choice((1, len(table))))])
    if kind == 7:
        lmk = (table.schema.metadata or {}).get(b"lmk")
        return table if lmk is None else table.replace_schema_metadata({b"lmk": of_json(lmk, rng)})
    return table.set_column(at, name, _other_values(column, rng))


def _other_values(column: pa.ChunkedArray, rng: Random) -> pa.Array:
    """A column with one value everywhere, or in one row."""
    values = column.to_pylist()
    value = rng.choice(WORDS) if pa.types.is_string(column.type) else rng.choice(
        (0, 1, -1, 127, 255, 32767, 2**31 - 1, 1e30, -1e30, float("nan"), float("inf"), 1e-40)
    )  # fmt: skip
    rows = range(len(values)) if rng.random() < 0.5 else [rng.randrange(len(values) or 1)]
    for row in rows:
        if row < len(values):
            values[row] = value
    try:
        return pa.array(values, column.type)
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.array([None if each is None else str(each) for each in values], pa.string())


def of_hdf5(data: bytes, rng: Random) -> bytes:
    """Tables with other values, of other types, longer or gone, links in their place, other attributes; or bytes."""
    if rng.random() < 0.4:
        return of_bytes(data, rng)
    file = io.BytesIO(data)
    try:
        with h5py.File(file, "r+") as root:
            names: list[str] = []
            root.visit(names.append)
            for _ in range(rng.choice((1, 1, 2))):
                _other_hdf5(root, rng.choice(names), rng)
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, OverflowError):  # an earlier mutation was here
        return of_bytes(data, rng)
    return file.getvalue()


def _other_hdf5(root: h5py.File, name: str, rng: Random) -> None:
    at, kind = root[name], rng.randrange(7)
    if kind == 0 and at.attrs:
        key = rng.choice(sorted(at.attrs))
        old = at.attrs[key]
        text = bytes(old) if isinstance(old, bytes) else str(old).encode()
        at.attrs[key] = rng.choice((np.bytes_(of_json(text, rng).replace(b"\0", b"")), 1.5, np.arange(3), "é"))
    elif kind == 1:
        del root[name]
        root[name] = rng.choice((h5py.SoftLink("/frames"), h5py.ExternalLink("x.h5", "/a"), h5py.SoftLink("/" + name)))
    elif kind == 2:
        del root[name]
    elif isinstance(at, h5py.Dataset) and at.size:
        values = at[:]
        if kind <= 4 and values.dtype.names:
            column = rng.choice(values.dtype.names)
            values[column][rng.randrange(len(values))] = rng.choice((0, 1, 2, 5, 100, 127))
        elif kind <= 4 and values.dtype.kind == "S":
            values[rng.randrange(len(values))] = of_json(bytes(values[0]), rng)
        elif kind <= 4 and values.dtype.kind in "iuf":
            values.reshape(-1)[rng.randrange(values.size)] = rng.choice((0, 1, 2, 5, 100, 127))
        elif kind == 5:
            values = rng.choice((values[:1], values[:0], np.concatenate([values, values]), np.zeros(3), [b"a", b"b"]))
        else:
            values = values.reshape(rng.choice(((1, *values.shape), (*values.shape, 1))))
        del root[name]
        root.create_dataset(name, data=values, compression=rng.choice((None, "gzip")))


def of_sqlite(data: bytes, rng: Random) -> bytes:
    """A database with other values, tables and columns; or changed bytes."""
    if rng.random() < 0.4:
        return of_bytes(data, rng)
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(data)
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for _ in range(rng.choice((1, 1, 2))):
                name = rng.choice(names)
                column = rng.choice([row[1] for row in database.execute(f"PRAGMA table_info({name})")])
                value = rng.choice((0, 1, -1, 2**62, 1e300, float("inf"), None, b"\xff\0", "3", rng.choice(WORDS)))
                where = rng.choice(("", " WHERE rowid = 1", " WHERE rowid = 2"))
                database.execute(f"UPDATE {name} SET {column} = ?{where}", (value,))
                kind = rng.randrange(8)
                more = {
                    0: f"DROP TABLE {name}", 1: f"ALTER TABLE {name} RENAME COLUMN {column} TO other",
                    2: f"DELETE FROM {name}", 3: f"INSERT INTO {name} SELECT * FROM {name}",
                    4: f"ALTER TABLE {name} RENAME TO old; CREATE VIEW {name} AS SELECT * FROM old",
                }.get(kind, "")  # fmt: skip
                database.executescript(more)
            return database.serialize()
        except (sqlite3.Error, UnicodeError, IndexError):  # an earlier mutation was here
            return of_bytes(data, rng)


def of_tensors(data: bytes, rng: Random) -> bytes:
    """Another header of safetensors, or changed bytes."""
    if rng.random() < 0.5:
        return of_bytes(data, rng)
    size = int.from_bytes(data[:8], "little")
    header = of_json(data[8 : 8 + size], rng)
    told = rng.choice((len(header), len(header), len(header), size, 2**63, 0))
    return told.to_bytes(8, "little") + header + data[8 + size :]


def damaged(path: Path, how: object, rng: Random) -> None:
    """Put a changed file in the place of a file."""
    path.write_bytes(how(path.read_bytes(), rng))  # type: ignore[operator]


def noise(seed: int) -> np.ndarray:
    """Pixels that every codec has work with."""
    return np.random.default_rng(seed).integers(0, 255, (24, 32, 3)).astype(np.uint8)
