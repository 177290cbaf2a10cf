"""The exact positions of rendered images.  Read by evaluation alone: never by training, never by refinement."""

from __future__ import annotations

from pathlib import Path

from lmk.annotations import AnnotationSet, make_set
from lmk.formats.long_csv import read_long_csv
from lmk.scheme import LandmarkScheme
from lmk.store import read_annotations


def read_truth(path: str | None, scheme: LandmarkScheme) -> AnnotationSet | None:
    """Read long CSV (or an annotation set) of true positions; None where there is none."""
    if path is None:
        return None
    source = Path(path)
    if source.suffix == ".parquet":
        return read_annotations(source)
    return make_set(read_long_csv(source, scheme, with_images=False), scheme, {"producer": "truth"}, where=path)
