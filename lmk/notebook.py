"""What a notebook wants of `lmk`, under the package's own name: `import lmk; lmk.read(…)`.

docs/python.md shows each of these; a test runs that page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmk.annotations import AnnotationSet
from lmk.audit.drift import Comparison
from lmk.audit.drift import compare as compare_sets
from lmk.audit.numbers import audited
from lmk.audit.results import Audit
from lmk.clean import clean as clean_dataset
from lmk.config import Params, known_profiles, load_params, profile_path
from lmk.errors import DataError
from lmk.formats import exchange
from lmk.ingest import ingest_data
from lmk.registry import FORMATS
from lmk.scheme import LandmarkScheme, known_schemes, load_scheme
from lmk.store import read_annotations, write_annotations
from lmk.workspace import Workspace

Place = str | Path
__all__ = ["AnnotationSet", "audit", "clean", "compare", "read", "schemes", "write"]


def read(
    source: Place,
    scheme: str | None = None,
    format: str | None = None,  # noqa: A002 (what everybody calls it)
    images: bool = True,
    params: str = "default",
) -> AnnotationSet:
    """An annotation set from its Parquet file, or from other people's labels.

    Args:
        source: a set's file, or a folder or file of labels.
        scheme: what the points mean, for labels: a name in `schemes()`, or the path of a JSON file; without it, what
            the labels say themselves.
        format: of labels: a name in `lmk.registry.FORMATS`; without it the only one that the source looks like.
        images: whether to open the images, too; without them a set is good for comparing and writing.
        params: a profile or a parameter file, for how large a box is drawn around the points.
    """
    path = Path(source)
    if path.suffix == ".parquet":
        return read_annotations(path)
    data = _params(params).data
    return ingest_data(data.changed(root=str(path), format=format, scheme=scheme), images=images)


def write(annotations: AnnotationSet, target: Place, format: str | None = None) -> list[str]:  # noqa: A002
    """Write a set: as Parquet where the target ends so, else in a format; returns what was lost, in words.

    Args:
        annotations: the set.
        target: a new file, or a new folder.
        format: a name in `lmk.registry.FORMATS`.
    """
    path = Path(target)
    if path.suffix == ".parquet":
        write_annotations(annotations, path)
        return []
    if format is None:
        raise DataError(f"{path}: say in which format with format=, one of {', '.join(FORMATS)}, or write .parquet")
    return [str(loss) for loss in exchange.write(exchange.format_named(format), annotations, path)]


def clean(source: Place, out: Place, params: str = "default", **settings: Any) -> Workspace:
    """Clean a dataset, as `lmk clean` does; run it again after an interruption and it goes on.

    Args:
        source: folder of images and labels, or one file of labels.
        out: folder for the results.
        params: a profile or a parameter file.
        settings: changes of it, with two underscores for each dot: `data__scheme="wflw98"`.
    """
    said = [f"{name.replace('__', '.')}={json.dumps(value)}" for name, value in settings.items()]
    return clean_dataset(Path(source), _params(params, [f"data.root={json.dumps(str(source))}", *said]), Path(out))


def audit(folder: Place, by: str | None = None, gates: dict[str, str] | None = None) -> Audit:
    """What happened to the labels of a folder that `clean` left.

    Args:
        folder: with the iterations.
        by: also the last iteration's numbers by landmark, contour, split, annotator, source, image or reason.
        gates: alarms in SQL by their names; those of the default profile without it.
    """
    paths = Workspace(Path(folder))
    params = _params("default").audit
    return audited(paths, list(paths.files()), params.gates if gates is None else gates, by, params.seconds)


def compare(one: AnnotationSet, other: AnnotationSet) -> Comparison:
    """Two sets, point by point: how far they lie apart, along contours and across."""
    return compare_sets(one, other)


def schemes() -> dict[str, LandmarkScheme]:
    """The schemes that come with lmk."""
    return {name: load_scheme(name) for name in known_schemes()}


def _params(named: str, settings: list[str] | None = None) -> Params:
    path = profile_path(named) if named in known_profiles() else Path(named)
    return load_params(path, settings or [])
