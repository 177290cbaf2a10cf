"""DeepLabCut: a table of labels beside the images of each video, as CSV and as H5, and a project's `config.yaml`.

A row is an image; three rows of header say scorer, body part and coordinate, a fourth the individual.  Positions are
ours: a pixel's centre is a whole number.  Where both files are there the H5 counts, as it does for DeepLabCut.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from lmk.annotations import AnnotationSet
from lmk.errors import FormatError
from lmk.formats.base import PART_ROWS, Format, Guess, Loss, Losses, Part, Reading, Trait
from lmk.formats.changes import Changes
from lmk.formats.dlc_back import Back
from lmk.formats.dlc_files import HEADER, csv_rows, h5_rows, image_of, points_of
from lmk.formats.dlc_project import Project, individuals
from lmk.formats.edges import edges_of
from lmk.formats.folders import check_new, put
from lmk.formats.landmarks import named
from lmk.formats.pixels import Points, text_of
from lmk.formats.rows import Counted, Rows, says_nothing
from lmk.formats.source import Source
from lmk.limits import DLC_BYTES
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

ORIGIN: Origin = "centre"
NOBODY = "lmk"  # the scorer of a set that names no annotator, or several
_UNIQUE = "points that are there once for all individuals"


def _sniff(path: Path, head: bytes) -> Guess | None:
    lines = [line.partition(",")[0].strip('"') for line in head.decode("utf-8-sig", "replace").splitlines()[:8]]
    if lines[:1] == ["scorer"] and {"bodyparts", "coords"} <= set(lines):
        return Guess(1.0, "its first rows are scorer, bodyparts and coords, as in DeepLabCut's tables")
    if path.suffix.lower() == ".h5" and path.name.startswith("CollectedData") and head.startswith(b"\x89HDF"):
        return Guess(0.9, "it is an H5 file called CollectedData, as DeepLabCut's labels are")
    try:
        for pattern in ("CollectedData*", "*/CollectedData*", "*/*/CollectedData*"):
            for file in sorted(path.glob(pattern) if path.is_dir() else ()):
                if file.suffix.lower() in (".csv", ".h5"):
                    return Guess(1.0, f"there is {file.name} in it, as DeepLabCut calls its labels")
    except (OSError, ValueError):  # a path that no file can have
        return None
    return None


def _read(source: Source, asked: LandmarkScheme | None, with_images: bool) -> Reading:
    project = Project(source)
    brought = project.brought
    scheme, order = named(asked, brought, str(source.path), project.notes)
    numbers = {name: int(order[place]) for place, name in enumerate(brought.names)}
    if any(columns.likelihood for columns in project.columns):
        project.notes.append("a network predicted these labels: they have likelihoods, and no person set them")
    return Reading(_parts(project, scheme, numbers), scheme, project.losses, project.notes)


def _parts(project: Project, scheme: LandmarkScheme, numbers: dict[str, int]) -> Iterator[Part]:
    rows, losses = Rows(scheme.size, PART_ROWS), project.losses
    for (h5, table), columns in zip(project.tables, project.columns, strict=True):
        file = h5 or table
        assert file is not None  # of each pair one is there
        who = individuals(columns, scheme, numbers)
        used = {column for one in who for column, _ in one}
        unique = [column for column in range(len(columns.landmarks)) if column not in used]
        for _, line, path, values in h5_rows(h5) if h5 is not None else csv_rows(project.source, file):
            place = f"{file}: line {line}" if h5 is None else f"{file}: row {line}"
            if path.isdecimal():
                raise FormatError(f"{place}: {path} is a frame of a video, and no image; lmk reads labels of images")
            image, points = image_of(path, file, project.root), points_of(values, columns, place)
            if columns.likelihood:
                losses.add("likelihoods", int(np.isfinite(points[:, 0]).sum()), place)
            halves = np.isnan(values[columns.x]) != np.isnan(values[columns.y])
            if halves.any():
                losses.add("coordinates without the other one", int(halves.sum()), place)
            if unique and (there := np.isfinite(points[unique, 0])).any():
                losses.add(_UNIQUE, int(there.sum()), place)
            empty = Losses()
            added = False
            for number, one in enumerate(who):
                held = np.full((scheme.size, 2), np.nan)
                held[[landmark for _, landmark in one]] = points[[column for column, _ in one]]
                if not says_nothing(held, empty, place):
                    annotator = None if columns.scorer == NOBODY else columns.scorer
                    rows.add(held, place, image=image, instance=number, annotator=annotator)
                    added = True
                if rows.full:
                    yield rows.part()
            if not added:
                losses.add("images without a labelled point", 1, image)
    if rows:
        yield rows.part()


def _write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write a project: `config.yaml`, and a CSV beside where the images of each folder go.

    No H5: nobody could tell whether PyTables would read it.  `deeplabcut.convertcsv2h5` makes it.
    """
    check_new(target)
    instances, scheme = annotations.instances, annotations.scheme
    who = set(instances["annotator"].dropna()) if "annotator" in instances else set()
    alone = len(who) == 1 and bool(instances["annotator"].notna().all()) and "annotator" not in annotations.values
    scorer = str(who.pop()) if alone else NOBODY
    if any(mark in scorer for mark in "/\\\0\n\r"):
        scorer = NOBODY
    counted = Counted()
    rows: dict[str, dict[str, dict[int, int]]] = {}
    for row, image in enumerate(instances["image"]):
        folder = str(PurePosixPath(image).parent)
        rows.setdefault(folder, {}).setdefault(image, {})[counted.next(image)] = row
    most = max((max(ones) + 1 for images in rows.values() for ones in images.values()), default=1)
    files = {"config.yaml": _config(scheme, scorer, most)}
    for folder, images in rows.items():
        name = f"CollectedData_{scorer}.csv"
        files[name if folder == "." else f"{folder}/{name}"] = _table(images, points, scheme, scorer, most)
    with replacing(target) as temporary:
        temporary.mkdir()
        for name, text in files.items():
            put(temporary, name, text.encode())
    return ()


def _table(images: dict[str, dict[int, int]], points: Points, scheme: LandmarkScheme, scorer: str, most: int) -> str:
    """One CSV."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    wide = 2 * scheme.size * most
    writer.writerow([HEADER[0], *[scorer] * wide])
    if most > 1:
        writer.writerow([HEADER[1], *(f"individual{one + 1}" for one in range(most) for _ in range(2 * scheme.size))])
    writer.writerow([HEADER[2], *[name for name in scheme.names for _ in range(2)] * most])
    writer.writerow([HEADER[3], *["x", "y"] * (scheme.size * most)])
    nothing = [""] * (2 * scheme.size)
    for image, ones in images.items():
        cells = [image]
        for one in range(most):
            numbers = points[ones[one]].reshape(-1).tolist() if one in ones else None
            cells += nothing if numbers is None else ["" if math.isnan(k) else text_of(k, 6) for k in numbers]
        writer.writerow(cells)
    return stream.getvalue()


def _config(scheme: LandmarkScheme, scorer: str, most: int) -> str:
    """What DeepLabCut has to know of a project's labels."""
    names = json.dumps(list(scheme.names), ensure_ascii=False)
    edges = json.dumps([[scheme.names[k] for k in edge] for edge in edges_of(scheme.contours)], ensure_ascii=False)
    parts = [f"bodyparts: {names}"]
    if most > 1:
        whose = json.dumps([f"individual{one + 1}" for one in range(most)])
        parts = [f"individuals: {whose}", "uniquebodyparts: []", f"multianimalbodyparts: {names}",
                 "bodyparts: MULTI!"]  # fmt: skip
    told = (json.dumps(word, ensure_ascii=False) for word in (scheme.name, scorer))
    lines = [*(f"{key}: {word}" for key, word in zip(("Task", "scorer"), told, strict=True)),
             f"multianimalproject: {str(most > 1).lower()}", *parts, f"skeleton: {edges}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _write_back(source: Source, changes: Changes, target: Path) -> None:
    """Write every table again, CSV and H5, into a new folder; and `config.yaml`."""
    check_new(target)
    project = Project(source)
    order = named(changes.scheme, project.brought, str(source.path), [])[1]
    numbers = {name: int(order[place]) for place, name in enumerate(project.brought.names)}
    with replacing(target) as temporary:
        temporary.mkdir()
        if project.config:
            put(temporary, "config.yaml", source.data(source.path / "config.yaml", DLC_BYTES))
        for (h5, table), columns in zip(project.tables, project.columns, strict=True):
            back = Back(project, individuals(columns, changes.scheme, numbers), columns)
            for file, again in ((h5, False), (table, h5 is not None)):
                if file is None:
                    continue
                name = file.relative_to(project.root).as_posix()
                put(temporary, name, source.data(file, DLC_BYTES) if file == h5 else b"")
                (back.h5 if file == h5 else back.csv)(file, temporary / name, changes.again() if again else changes)
        changes.check_all_seen(str(source.path))


DEEPLABCUT = Format(
    name="deeplabcut",
    origin=ORIGIN,
    carries=frozenset({Trait.MISSING, Trait.SEVERAL, Trait.NAMES, Trait.SUBPIXEL}),
    sniff=_sniff,
    read=_read,
    write=_write,
    write_back=_write_back,
)
