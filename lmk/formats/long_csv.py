"""Long CSV: one row a point, `image,instance,landmark,x,y`, optionally `visibility,split,annotator,source,gross`.

Positions are in our convention (the centre of the top-left pixel is 0, 0); a missing point has empty x and y.  A
landmark is its number or its name in the scheme.  Images are looked up beside the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lmk.annotations import SPLITS, AnnotationSet
from lmk.errors import DataError, FormatError, SchemeError
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

_REQUIRED = ["image", "instance", "landmark", "x", "y"]
_OPTIONAL = ["visibility", "split", "annotator", "source", "gross"]


def read_long_csv(source: Path, scheme: LandmarkScheme, with_images: bool) -> pd.DataFrame:
    """Read one CSV file; whether its images are there is seen when they are opened."""
    if not source.is_file():
        raise DataError(f"{source}: no such file; format csv reads one file with columns {','.join(_REQUIRED)}")
    try:
        # Everything as text first: the file is then free to be wrong, and we to say where.
        table = pd.read_csv(source, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as cause:
        raise FormatError(f"{source}: not a CSV file ({' '.join(str(cause).split())})") from cause
    if missing := [name for name in _REQUIRED if name not in table]:
        raise FormatError(f"{source}: no column {missing[0]!r}; the header names {','.join(_REQUIRED)}")
    if unknown := [name for name in table if name not in _REQUIRED + _OPTIONAL]:
        raise FormatError(f"{source}: unknown column {unknown[0]!r}; known: {','.join(_REQUIRED + _OPTIONAL)}")
    # A name that is a number would be ambiguous: then the number of the point counts.
    numbers = {name: str(number) for number, name in enumerate(scheme.names) if not name.strip().isdigit()}
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
    return table


def _numbers(table: pd.DataFrame, name: str, source: Path, whole: bool) -> pd.Series[float]:
    text = table[name].str.strip()
    values = pd.to_numeric(text, errors="coerce").astype(float)
    empty_is_fine = ~pd.Series(whole, index=table.index) & (text == "")
    bad = (~np.isfinite(values) | (values % 1 != 0 if whole else False)) & ~empty_is_fine
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = "a whole number" if whole else "a number (leave it empty for a missing point)"
        message = f"{source}: line {row + 2}: {name} must be {what}, not {table[name].iloc[row]!r}"
        raise (SchemeError if name == "landmark" else FormatError)(message)
    return values


def write_long_csv(annotations: AnnotationSet, target: Path) -> None:
    """Write one CSV file with all that the format can hold."""
    columns = [name for name in [*_REQUIRED, *_OPTIONAL] if annotations.has(name)]
    with replacing(target) as temporary:
        annotations.frame[columns].to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")
