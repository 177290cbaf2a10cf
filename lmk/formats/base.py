"""What a format is: one frozen `Format`, whatever the files look like.

Readers give parts of a bounded size, with numbers as they stand in the file; `pixels` turns them into our convention.
What a file or a format cannot say is a `Loss`, and is never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.formats.changes import Changes
from lmk.formats.pixels import Points
from lmk.formats.source import Source
from lmk.registry import Origin
from lmk.scheme import LandmarkScheme

PART_ROWS = 1 << 16  # points in one part; larger parts need more memory and are no faster


EMPTY = "instances without a labelled point"  # what most formats have no use for, and ingesting refuses


class Trait(StrEnum):
    """Something that a set may say and a format may be able to carry.

    Boxes are not among them as long as no format brings any: those of a set are drawn around its points.  Evidence and
    provenance are not labels; they stay in the Parquet file.
    """

    MISSING = "missing points"
    OCCLUSION = "occlusion"
    SEVERAL = "instances that share an image"
    NAMES = "names of landmarks"
    SPLIT = "splits"
    ANNOTATOR = "annotators"
    SOURCE = "sources"
    GROSS = "kinds of gross errors"
    SUBPIXEL = "positions between pixels"


@dataclass(frozen=True)
class Loss:
    """Something that was there and did not come through."""

    kind: str  # a trait, or what else it is, in words
    count: int  # how often
    example: str  # the first of them

    def __str__(self) -> str:
        return f"lost: {self.kind} ({self.count}; the first: {self.example})"


class Losses:
    """What has been lost so far, one `Loss` a kind; filled while a source is read."""

    def __init__(self) -> None:
        self._found: dict[str, Loss] = {}

    def add(self, kind: str, count: int, example: str) -> None:
        """Count more of a kind; the example that came first stays."""
        before = self._found.get(kind, Loss(kind, 0, example))
        self._found[kind] = Loss(kind, before.count + count, before.example)

    def __iter__(self) -> Iterator[Loss]:
        return iter(self._found.values())


class Guess(NamedTuple):
    """That something may be of a format."""

    confidence: float  # 0 to 1; 1 where no other format is possible
    reason: str  # in words


@dataclass(frozen=True)
class Part:
    """Some whole instances.

    Attributes:
        table: a row a point, at most some `PART_ROWS`; columns image (relative to the dataset's folder, with `/`),
            instance, landmark, x, y (NaN where missing), and any other of an annotation set; width and height where
            the source has them, and always where its origin needs them.
        places: (rows,) where each row comes from, for messages: a file, a line, an id; None where that is not cheap.
    """

    table: pd.DataFrame
    places: NDArray[Any] | None = None


@dataclass(frozen=True)
class Reading:
    """What a reader gives."""

    parts: Iterator[Part]
    scheme: LandmarkScheme  # of the parts' landmarks: the user's, else what the source says, else a shipped one
    losses: Losses  # complete when all parts have been taken
    notes: list[str] = field(default_factory=list)  # how it was read, where that is not the usual way; complete then


@dataclass(frozen=True)
class Format:
    """One format; what it cannot do is None.

    Attributes:
        name: its key in the registry.
        origin: where its positions count from.
        carries: what its writer can say.
        origin_of: where positions of one source count from, if versions of the format differ; `origin` is the writer's.
        sized: whether its writer says how large images are; it must where its origin needs that.
        sizes: numbers of landmarks that its writer can write; None for any.
        sniff: (path, its first 64 KiB, empty for a folder) to a guess, or None; never raises.
        apart: whether its images may lie elsewhere, in a folder that the user names; else they lie beside the labels.
        read: (source, scheme or None, whether every image has to be there) to parts in numbers of the file.  Without
            a scheme `landmarks.chosen` takes the one that the file brings, or a shipped one.
        write: (set, its points in numbers of the file (N, K, 2), a target) to losses that `carries` does not tell.
        write_back: (source, changes in numbers of the file, a target): the source's label files, with new numbers in
            place of the old ones, every other byte as it was.
    """

    name: str
    origin: Origin
    carries: frozenset[Trait]
    sized: bool = False
    sizes: frozenset[int] | None = None
    origin_of: Callable[[Source], Origin] | None = None
    sniff: Callable[[Path, bytes], Guess | None] | None = None
    apart: bool = True
    read: Callable[[Source, LandmarkScheme | None, bool], Reading] | None = None
    write: Callable[[AnnotationSet, Points, Path], Sequence[Loss]] | None = None
    write_back: Callable[[Source, Changes, Path], None] | None = None


def column_of(annotations: AnnotationSet, name: str) -> NDArray[Any] | None:
    """(N, K) one column of a set, None where it does not have it."""
    try:
        return annotations.column(name)
    except KeyError:
        return None
