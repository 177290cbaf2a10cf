"""Foreign formats: one file each, a reader and, where it makes sense, a writer.

A reader turns a folder or file into a table with at least the columns image (relative to the dataset's root, with
`/`), instance, landmark, x and y in our pixel convention; missing points have no x and y.  To add a format, write its
file and its line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pandas as pd

from lmk.annotations import AnnotationSet
from lmk.formats.long_csv import read_long_csv, write_long_csv
from lmk.formats.pts import read_pts_folder, write_pts_folder
from lmk.scheme import LandmarkScheme


class Reader(Protocol):
    """Read all annotations at `source`; with `with_images`, every image has to be there too."""

    def __call__(self, source: Path, scheme: LandmarkScheme, with_images: bool) -> pd.DataFrame: ...


class Writer(Protocol):
    """Write a set for other people's tools."""

    def __call__(self, annotations: AnnotationSet, target: Path) -> None: ...


READERS: dict[str, Reader] = {"pts": read_pts_folder, "csv": read_long_csv}
WRITERS: dict[str, Writer] = {"pts": write_pts_folder, "csv": write_long_csv}
