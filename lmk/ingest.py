"""From a folder of foreign annotations to iteration `i00`: read, open every image, draw the crops."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk import __version__
from lmk.annotations import AnnotationSet, default_boxes, make_set
from lmk.config import DataParams
from lmk.errors import DataError
from lmk.formats.base import Format, Loss
from lmk.formats.exchange import format_named, looks_like, read, settled
from lmk.formats.source import Source
from lmk.image_header import turned
from lmk.images import read_with_bytes
from lmk.kernels.symmetry import mirror_partners
from lmk.names import AnyFolder, Folder, as_folder
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.splits import with_splits

SAME = 0.05  # median distance of two instances' points, relative to the box, below which they are one object
_TURNED = "cameras' notes (EXIF) that an image is to be turned; labels are taken to count pixels as they are stored"
SYMMETRY_NEEDS = 30  # instances, for a mean shape that is worth looking at


def ingest(
    source: AnyFolder,
    form: Format | str | None,
    scheme: LandmarkScheme | None,
    box_scale: float,
    with_images: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> AnnotationSet:
    """Read human labels and what the images say about them.

    Every image is decoded once, so that a broken one is found now and not after an hour of training.

    Args:
        source: a folder, or a file of labels.
        form: what it is; None looks at it.
        scheme: what the points mean; None takes what the source says.
        box_scale: side of a box relative to the points' bounds.
        with_images: whether to open the images.
        progress: called with (done, total) instances.
    """
    folder = as_folder(source)
    source = folder.path
    if not isinstance(form, Format):
        form = format_of(source, form)
    form = settled(form, Source(source, folder.links, folder.images))
    reading = read(form, folder, scheme, with_images)
    scheme = reading.scheme
    provenance: dict[str, Any] = {
        "producer": f"lmk {__version__} ingest",
        "format": form.name,
        **({"origin": form.origin} if form.origin != format_named(form.name).origin else {}),
        "box_scale": box_scale,
    }
    annotations = make_set((part.table for part in reading.parts), scheme, provenance, where=str(source))
    for note in reading.notes:
        print(f"{source}: {note}", file=sys.stderr)
    lost = list(reading.losses)  # complete now, when all parts have been read
    for loss in lost:
        print(f"{source}: {loss}", file=sys.stderr)
    if lost:
        provenance = {**provenance, "lost": [asdict(loss) for loss in lost]}
        annotations = replace(annotations, provenance=provenance)
    nothing = np.asarray(~annotations.labelled.any(axis=1))
    if nothing.any():
        row = annotations.instances.iloc[int(np.flatnonzero(nothing)[0])]
        raise DataError(f"{source}: {row['image']} instance {row['instance']} has no labelled point; leave it out")
    extent = np.nanmax(annotations.points, axis=1) - np.nanmin(annotations.points, axis=1)
    dots = np.asarray(extent.max(axis=1) < 1) & np.isnan(annotations.boxes).any(axis=1)
    if with_images and dots.any():
        row = annotations.instances.iloc[int(np.flatnonzero(dots)[0])]
        raise DataError(
            f"{source}: {row['image']} instance {row['instance']} has all its points in one place, so nobody knows how "
            "large the object is; label at least two points of it"
        )
    boxes = annotations.boxes
    missing = np.asarray(np.isnan(boxes).any(axis=1))
    boxes = np.where(missing[:, None], default_boxes(annotations.points, box_scale), boxes)
    if not with_images:
        # A set knows how large all of its images and boxes are, or nothing of them.
        if dots.any() or annotations.instances[["width", "height"]].isna().to_numpy().any():
            return annotations.with_columns(width=None, height=None) if missing.any() else annotations
        return annotations.with_columns(box_x=boxes[:, 0], box_y=boxes[:, 1], box_size=boxes[:, 2])
    looked = _Looked(folder.root, annotations, boxes)
    sizes, pixels = looked.at_all(progress)
    if looked.turned:
        lost.append(Loss(_TURNED, len(looked.turned), next(iter(looked.turned))))
        print(f"{source}: {lost[-1]}", file=sys.stderr)
        provenance = {**provenance, "lost": [asdict(loss) for loss in lost]}
    named = dict(zip(("width", "height", "box_x", "box_y", "box_size"), np.column_stack([sizes, boxes]).T, strict=True))
    filled = annotations.with_columns(**named)
    return replace(filled, scheme=_with_mirror(scheme, annotations, boxes), provenance={**provenance, "images": pixels})


def ingest_data(
    data: DataParams, progress: Callable[[int, int], None] | None = None, images: bool = True
) -> AnnotationSet:
    """Read human labels as parameters say."""
    scheme = load_scheme(data.scheme) if data.scheme else None
    form = format_of(data.folder.path, data.format)
    if data.origin is not None:
        form = replace(form, origin=data.origin, origin_of=None)
    return with_splits(ingest(data.folder, form, scheme, data.box_scale, images, progress), data.split)


def converted(data: DataParams, sized: bool, progress: Callable[[int, int], None] | None = None) -> AnnotationSet:
    """Labels for another format, and how large their images are if it says so; no pixel is decoded."""
    labels = ingest_data(data, images=False)
    unknown = labels.instances["width"].isna()
    if not sized or not unknown.any():
        return labels
    source, names = Source(data.folder.path, data.links, data.folder.images), labels.instances["image"]
    known: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        known[name] = known.get(name) or source.image_size(name)
        if progress is not None:
            progress(number + 1, len(names))
    width, height = np.array([known[name] for name in names]).T
    return labels.with_columns(width=width, height=height)


def format_of(source: Path, name: str | None) -> Format:
    """The format that a user named, else the one that the source looks like."""
    if name is not None:
        form = format_named(name)
        if not source.exists():
            raise DataError(f"{source}: no such file or folder")
        return form
    form, guess = looks_like(source)
    print(f"{source}: read as {form.name}, because {guess.reason}", file=sys.stderr)
    return form


def _with_mirror(scheme: LandmarkScheme, annotations: AnnotationSet, boxes: NDArray[np.float64]) -> LandmarkScheme:
    """The scheme with mirror pairs: those that it names, else those that the mean shape shows."""
    train = annotations.in_split("train")
    if scheme.says_mirror or train.sum() < SYMMETRY_NEEDS:
        return scheme
    places = (annotations.points[train] - boxes[train, None, :2]) / boxes[train, None, 2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that nobody labelled
        shape = np.nanmean(places, axis=0)
    partner = mirror_partners(shape, scheme.contours) if np.isfinite(shape).all() else None
    if partner is None:
        return replace(scheme, mirror=(), says_mirror=True)
    pairs = tuple((k, int(other)) for k, other in enumerate(partner) if k < other)
    print(
        f"scheme {scheme.name} names no mirror pairs, and its points show {len(pairs)}: mirror images are used, too. "
        'If that is wrong, write "mirror": [] into the scheme',
        file=sys.stderr,
    )
    return replace(scheme, mirror=pairs, says_mirror=True)


@dataclass
class _Looked:
    """What the images say, looked at one by one."""

    root: Folder
    annotations: AnnotationSet
    boxes: NDArray[np.float64]
    turned: dict[str, int] = field(default_factory=dict)  # how a camera says that they are to be turned, where it does

    @property
    def names(self) -> pd.Series[str]:
        """(N,) the image of each instance."""
        return self.annotations.instances["image"]

    def at_all(self, progress: Callable[[int, int], None] | None) -> tuple[NDArray[np.int64], str]:
        """Decode all, refuse the same face twice, and return (N, 2) width and height and a digest of all files."""
        sizes: dict[str, tuple[int, int]] = {}
        first_with: dict[bytes, list[int]] = {}
        content: dict[str, bytes] = {}
        for index, name in enumerate(self.names):
            if name not in sizes:
                image, data = read_with_bytes(self.root.file(name))
                sizes[name] = (image.shape[1], image.shape[0])
                content[name] = hashlib.sha256(data).digest()
                if (way := turned(data)) != 1:
                    self.turned[name] = way
            self._check_turned(index, name, sizes[name])
            # The same file under two names is common (one copy a face); the same face in it is a mistake: it counts
            # twice in training and, across splits, leaks the test set.
            same = first_with.setdefault(content[name], [])
            for other in same:
                self._check_twice(index, other)
            same.append(index)
            if progress is not None:
                progress(index + 1, len(self.names))
        total = hashlib.sha256(b"".join(content[name] for name in sorted(content)))
        return np.array([sizes[name] for name in self.names]), total.hexdigest()[:16]

    def _check_twice(self, one: int, other: int) -> None:
        where = self.root.path / self.names[one]
        if self.names[one] != self.names[other]:
            if _overlap(self.boxes[one], self.boxes[other]) > 0.5:
                raise DataError(f"{where}: the same image and object as {self.names[other]}; keep one of the two")
            return
        apart = np.linalg.norm(self.annotations.points[one] - self.annotations.points[other], axis=-1)
        there = np.isfinite(apart)
        if there.any() and np.median(apart[there]) < SAME * self.boxes[one, 2]:
            if self._by_two(one, other):
                return
            numbers = self.annotations.instances["instance"]
            raise DataError(
                f"{where}: instances {numbers[other]} and {numbers[one]} are the same object, labelled twice; keep "
                "one of the two, or say that they are of two annotators"
            )

    def _by_two(self, one: int, other: int) -> bool:
        """Whether two people labelled the same object, each for themselves: both are kept, each in a row of its own."""
        if "annotator" not in self.annotations.instances:
            return False
        mine, theirs = self.annotations.instances["annotator"].iloc[[one, other]]
        if pd.isna(mine) or pd.isna(theirs) or mine == theirs:
            return False
        splits = self.annotations.instances["split"]
        if splits.iloc[one] != splits.iloc[other]:
            raise DataError(f"{self.root.path / self.names[one]}: {mine} and {theirs} labelled it for different splits")
        return True

    def _check_turned(self, row: int, name: str, size: tuple[int, int]) -> None:
        """Refuse labels that fit into the turned image only; from 5 on a note says that sides change places."""
        far = np.nanmax(self.annotations.points[row], axis=0)
        if self.turned.get(name, 1) >= 5 and (far > np.array(size)).any() and (far <= np.array(size[::-1])).all():
            raise DataError(
                f"{self.root.path / name}: a camera's note (EXIF) says that it is to be turned, and its labels are of "
                "the turned image, but lmk counts pixels as they are stored; turn the files themselves, as "
                "`mogrify -auto-orient` does"
            )


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two squares (left, top, side)."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2], other[:2] + other[2])
    both = float(np.prod(np.clip(high - low, 0, None)))
    return both / float(one[2] ** 2 + other[2] ** 2 - both)
