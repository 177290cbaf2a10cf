"""Long CSV: one row a point, `image,instance,landmark,x,y`, optionally `visibility,split,annotator,source,gross`.

Positions are in our convention (the centre of the top-left pixel is 0, 0); a missing point has empty x and y.  A
landmark is its number or its name in the scheme.  Images are looked up beside the file.  Where cells are separated by
`;`, as spreadsheets of many countries do it, numbers may have decimal commas, all of them or none.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError, SchemeError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait, column_of
from lmk.formats.changes import Changes
from lmk.formats.csv_cells import rewritten
from lmk.formats.landmarks import chosen, scheme_of
from lmk.formats.pixels import Points, text_of
from lmk.formats.source import Source
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
_REQUIRED = ["image", "instance", "landmark", "x", "y"]
_OPTIONAL = ["visibility", "split", "annotator", "source", "gross"]
_INSTANCE = ["image", "instance"]
_CARRIES = frozenset(
    {
        Trait.MISSING,
        Trait.OCCLUSION,
        Trait.SUBPIXEL,
        Trait.GROSS,
        Trait.SEVERAL,
        Trait.SPLIT,
        Trait.ANNOTATOR,
        Trait.SOURCE,
    }
)  # landmarks are written by number
_LONGEST_HEADER = 1 << 16  # characters
_UNLABELLED = "positions of points that are said not to be labelled"


def read_long_csv(source: Path, scheme: LandmarkScheme | None, with_images: bool) -> pd.DataFrame:
    """Read one CSV file as one table; whether its images are there is seen when they are opened."""
    parts = [part.table for part in _read(Source(source), scheme, with_images).parts]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_REQUIRED)


def _sniff(path: Path, head: bytes) -> Guess | None:
    lines = head.decode("utf-8-sig", errors="replace").split()
    names = {name.strip('"') for name in lines[0].split(_separator(lines[0]))} if lines else set()
    if not names >= set(_REQUIRED):
        return None
    if unknown := sorted(names - {*_REQUIRED, *_OPTIONAL}):
        return Guess(0.4, f"its first line names {','.join(_REQUIRED)}, but also {unknown[0]!r:.40}")
    return Guess(1.0, f"its first line names {','.join(_REQUIRED)}")


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    if not source.path.is_file():
        raise DataError(f"{source.path}: no such file; format csv reads one file with columns {','.join(_REQUIRED)}")
    losses = Losses()
    scheme = asked or _brought(source)
    commas = _Commas(source.path)
    tables = (_checked(commas.replaced(chunk), scheme, source.path, losses) for chunk in _chunks(source, commas))
    return Reading(_whole_instances(tables, scheme.size), scheme, losses, commas.notes)


def _brought(source: Source) -> LandmarkScheme:
    """The scheme of a file by the landmarks of its first rows: by their names, or a shipped one by their number."""
    first = next(_chunks(source, _Commas(source.path)), pd.DataFrame())
    if "landmark" not in first or not len(first):
        raise FormatError(f"{source.path}: no column 'landmark', or no row; the header names {','.join(_REQUIRED)}")
    names = list(dict.fromkeys(first["landmark"].str.strip()))
    if all(name.isdecimal() and len(name) < 8 for name in names):
        return chosen(None, max(map(int, names)) + 1, str(source.path))
    return scheme_of(names, source.path.stem, str(source.path))


def _separator(header: str) -> str:
    return ";" if header.count(";") >= len(_REQUIRED) - 1 and "," not in header else ","


@dataclass
class _Commas:
    """What a file has between its cells, and whether its numbers have decimal commas."""

    path: Path
    separator: str = ","
    notes: list[str] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)  # the first line with a number of each kind

    def replaced(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows with decimal points, if all numbers of the file so far have commas."""
        if self.separator == "," or not {"x", "y"} <= set(table):
            return table
        for name in ("x", "y"):
            for mark in ",.":
                rows = np.flatnonzero(table[name].str.contains(mark, regex=False))
                if len(rows):
                    self.first.setdefault(mark, int(table.index[rows[0]]) + 2)
        if len(self.first) == 2:
            line = max(self.first.values())
            raise FormatError(
                f"{self.path}: line {line}: a decimal {'comma' if line == self.first[','] else 'point'}, and line "
                f"{min(self.first.values())} has the other; write all numbers in one way"
            )
        if "," in self.first and not self.notes:
            self.notes.append("numbers are read with decimal commas, and cells with ; between them")
        return table.assign(**{name: table[name].str.replace(",", ".", regex=False) for name in ("x", "y")})


def _chunks(source: Source, commas: _Commas) -> Iterator[pd.DataFrame]:
    """The file, so many rows at a time, as text: it is then free to be wrong, and we to say where."""
    try:
        with source.open_text(source.path) as file:
            commas.separator = _separator(file.readline(_LONGEST_HEADER))
        with source.open_text(source.path) as file, pd.read_csv(
            file, sep=commas.separator, dtype=str, keep_default_na=False, index_col=False, chunksize=PART_ROWS
        ) as chunks:  # fmt: skip
            while True:
                with warnings.catch_warnings():
                    # pandas warns of a row that is too long, and drops its end.
                    warnings.simplefilter("error", pd.errors.ParserWarning)
                    chunk = next(chunks, None)
                if chunk is None:
                    return
                yield chunk
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as cause:
        raise _not_csv(source, commas.separator, cause) from cause


def _not_csv(source: Source, separator: str, cause: Exception) -> FormatError:
    """What is wrong with a file that pandas cannot read, or would read without the ends of its rows."""
    with source.open_text(source.path) as file:
        rows = csv.reader(file, delimiter=separator)
        with suppress(csv.Error):
            wanted = len(next(rows, []))
            for row in rows:
                if len(row) > wanted:
                    return FormatError(
                        f"{source.path}: line {rows.line_num}: {len(row)} cells, but the header names {wanted}; "
                        "numbers have decimal points, and a name with a comma in it stands in quotes"
                    )
    return FormatError(f"{source.path}: not a CSV file ({' '.join(str(cause).split())})")


def _checked(table: pd.DataFrame, scheme: LandmarkScheme, source: Path, losses: Losses) -> pd.DataFrame:
    """Some rows with numbers in place of text; the index stays, it says where a row stands in the file."""
    if missing := [name for name in _REQUIRED if name not in table]:
        raise FormatError(f"{source}: no column {missing[0]!r}; the header names {','.join(_REQUIRED)}")
    if unknown := [name for name in table if name not in _REQUIRED + _OPTIONAL]:
        raise FormatError(f"{source}: unknown column {unknown[0]!r}; known: {','.join(_REQUIRED + _OPTIONAL)}")
    numbers = numbers_of(scheme)
    table["landmark"] = table["landmark"].map(lambda name: numbers.get(name, name))
    for name in ("instance", "landmark", "visibility"):
        if name in table:
            table[name] = _numbers(table, name, source, whole=True).astype(np.int64)
    if not table["instance"].between(0, 2**31 - 1).all():
        bad = table.loc[~table["instance"].between(0, 2**31 - 1), "instance"].iloc[0]
        raise FormatError(f"{source}: an instance is a number from 0 to {2**31 - 1}, not {bad}")
    for name in ("x", "y"):
        table[name] = _numbers(table, name, source, whole=False)
    if "visibility" in table and not table["visibility"].between(0, 2).all():
        bad = table.loc[~table["visibility"].between(0, 2), "visibility"].iloc[0]
        raise FormatError(f"{source}: visibility is 0 (not labelled), 1 (occluded) or 2 (visible), not {bad}")
    if "split" in table and not table["split"].isin(SPLITS).all():
        bad = table.loc[~table["split"].isin(SPLITS), "split"].iloc[0]
        raise FormatError(f"{source}: a split is {', '.join(SPLITS)}, not {bad!r}")
    table["image"] = table["image"].str.replace("\\", "/", regex=False)
    if "visibility" in table:
        unlabelled = table[(table["visibility"] == 0) & table[["x", "y"]].notna().all(axis=1)]
        if len(unlabelled):
            losses.add(_UNLABELLED, len(unlabelled), f"line {unlabelled.index[0] + 2}")
    return table


def numbers_of(scheme: LandmarkScheme) -> dict[str, str]:
    """Numbers of landmarks by name; a name that is a number would be ambiguous: then the number counts."""
    return {name: str(number) for number, name in enumerate(scheme.names) if not name.strip().isdigit()}


def _numbers(table: pd.DataFrame, name: str, source: Path, whole: bool) -> pd.Series[float]:
    text = table[name].str.strip()
    values = pd.to_numeric(text, errors="coerce").astype(float)
    empty_is_fine = ~pd.Series(whole, index=table.index) & (text == "")
    bad = (~np.isfinite(values) | (values % 1 != 0 if whole else False)) & ~empty_is_fine
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = "a whole number" if whole else "a number (leave it empty for a missing point)"
        message = f"{source}: line {table.index[row] + 2}: {name} must be {what}, not {table[name].iloc[row]!r}"
        raise (SchemeError if name == "landmark" else FormatError)(message)
    return values


def _whole_instances(tables: Iterable[pd.DataFrame], size: int) -> Iterator[Part]:
    """Hold rows back until their instance has all its points.

    A file that lists one instance after the other is read in bounded memory.  One in another order, by landmark for
    instance, is held until its instances are whole.
    """
    held: list[pd.DataFrame] = []
    counts: Counter[Any] = Counter()  # rows so far, by instance
    rows = ready = 0
    for table in tables:
        held.append(table)
        rows += len(table)
        for key, count in table.groupby(_INSTANCE, sort=False).size().items():
            before, counts[key] = counts[key], counts[key] + int(count)
            if counts[key] >= size:
                ready += counts[key] if before < size else int(count)
        # Looking through all that is held pays when half of it can go.
        if ready and 2 * ready >= rows:
            together = pd.concat(held)
            whole = together.groupby(_INSTANCE, sort=False)["landmark"].transform("size") >= size
            yield from _parts(together[whole], size)
            held = [together[~whole]]
            counts = Counter(dict(held[0].groupby(_INSTANCE, sort=False).size().items()))
            rows, ready = len(held[0]), 0
    if rows:
        yield from _parts(pd.concat(held), size)  # what never became whole is named where a set is made of it


def _parts(table: pd.DataFrame, size: int) -> Iterator[Part]:
    instance = table.groupby(_INSTANCE, sort=False).ngroup()
    for _, part in table.groupby(instance // max(1, PART_ROWS // size), sort=False):
        yield Part(part.reset_index(drop=True), part.index.to_numpy() + 2)


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one CSV file with all that the format can hold."""
    optional = {name: values for name in _OPTIONAL if (values := column_of(annotations, name)) is not None}
    instances, count = annotations.instances, annotations.landmarks
    step = max(1, PART_ROWS // count)
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, len(instances), step):
            rows = slice(start, start + step)
            table = pd.DataFrame(
                {
                    "image": instances["image"].iloc[rows].repeat(count).to_numpy(),
                    "instance": instances["instance"].iloc[rows].repeat(count).to_numpy(),
                    "landmark": np.tile(np.arange(count), len(instances.iloc[rows])),
                    "x": points[rows, :, 0].reshape(-1),
                    "y": points[rows, :, 1].reshape(-1),
                    **{name: values[rows].reshape(-1) for name, values in optional.items()},
                }
            )
            table.to_csv(file, index=False, header=start == 0, float_format=_text_of, lineterminator="\n")
    return ()


def _text_of(number: Any) -> str:
    return text_of(float(number), decimals=6)


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    with source.open_text(source.path) as file:
        if _separator(file.readline(_LONGEST_HEADER)) != ",":
            raise FormatError(
                f"{source.path}: lmk writes back where commas are between the cells; export the set instead"
            )
    rewritten(source, changes, numbers_of(changes.scheme), target)


CSV = Format(
    name="csv",
    origin=ORIGIN,
    carries=_CARRIES,
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
