"""How benchmarks lie on disk, which faces are in which subset, and how many there should be.

The datasets are not ours to ship.  What a user has is read in the benchmark's own format; each image's name says which
subset it is in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lmk.annotations import AnnotationSet
from lmk.errors import DataError, UnknownName
from lmk.evaluation import measure_points
from lmk.records import DETECTOR, HUMAN, Subject


@dataclass(frozen=True)
class Subset:
    """Some of a benchmark's faces."""

    name: str
    split: str
    count: int  # faces that it should have
    pattern: str  # of the names of its images, found anywhere in them
    where: str  # the folder that they lie in, for messages


@dataclass(frozen=True)
class Protocol:
    """One benchmark."""

    name: str
    title: str
    format: str
    scheme: str
    subsets: tuple[Subset, ...]
    units: Mapping[str, str]  # the scheme's normaliser by its name in print
    board: str | None = None  # key of its published numbers
    unions: Mapping[str, tuple[str, ...]] | None = None  # what is reported of several subsets together


_PUPILS_AND_CORNERS = {"inter-ocular": "interocular", "inter-pupil": "interpupil"}
PROTOCOLS = {
    one.name: one
    for one in (
        Protocol(
            "300w", "300W, 68 points", "pts", "ibug68",
            (
                Subset("afw", "train", 337, r"(^|/)afw/", "afw/"),
                Subset("helen train", "train", 2000, r"(^|/)helen/trainset/", "helen/trainset/"),
                Subset("lfpw train", "train", 811, r"(^|/)lfpw/trainset/", "lfpw/trainset/"),
                Subset("helen test", "test", 330, r"(^|/)helen/testset/", "helen/testset/"),
                Subset("lfpw test", "test", 224, r"(^|/)lfpw/testset/", "lfpw/testset/"),
                Subset("challenging", "test", 135, r"(^|/)ibug/", "ibug/"),
            ),
            _PUPILS_AND_CORNERS, "300w",
            {"common": ("helen test", "lfpw test"), "full": ("helen test", "lfpw test", "challenging")},
        ),
        Protocol(
            "300w-private", "300W, private test, 68 points", "pts", "ibug68",
            (
                Subset("indoor", "test", 300, r"(^|/)01_Indoor/", "01_Indoor/"),
                Subset("outdoor", "test", 300, r"(^|/)02_Outdoor/", "02_Outdoor/"),
            ),
            _PUPILS_AND_CORNERS, None, {"full": ("indoor", "outdoor")},
        ),
    )
}  # fmt: skip


def protocol_named(name: str) -> Protocol:
    """The benchmark that a user named."""
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def arranged(protocol: Protocol, annotations: AnnotationSet) -> tuple[AnnotationSet, list[str]]:
    """The faces of a benchmark with their splits, the subset as `source`; and what is missing or too much, in words."""
    subset = _subset_of(protocol, annotations)
    inside = np.asarray(subset >= 0)
    if not inside.any():
        wanted = ", ".join(one.where for one in protocol.subsets)
        first = annotations.instances["image"].iloc[0]
        raise DataError(f"no image lies where {protocol.title} has its own ({wanted}); the first is {first}")
    said = []
    for number, one in enumerate(protocol.subsets):
        found = int((subset == number).sum())
        if found != one.count:
            said.append(f"{one.name}: {found} of {one.count} faces; they lie in {one.where}")
    if not inside.all():
        first = annotations.instances["image"].iloc[int(np.flatnonzero(~inside)[0])]
        said.append(f"{int((~inside).sum())} faces are of no subset and left out, first {first}")
    kept = annotations.select(inside)
    parts = [protocol.subsets[number] for number in subset[inside]]
    names, splits = (np.array([getattr(one, what) for one in parts], object) for what in ("name", "split"))
    return kept.with_columns(split=splits, source=names), said


def _subset_of(protocol: Protocol, annotations: AnnotationSet) -> np.ndarray:
    """(N,) the number of each face's subset, -1 where it is in none."""
    patterns = [re.compile(one.pattern) for one in protocol.subsets]

    def number(image: str) -> int:
        return next((place for place, pattern in enumerate(patterns) if pattern.search(image)), -1)

    known: dict[str, int] = {image: number(image) for image in annotations.instances["image"].unique()}
    return np.array([known[image] for image in annotations.instances["image"]])


def errors_of(
    protocol: Protocol, points: np.ndarray, reference: AnnotationSet, failure: float
) -> dict[tuple[str, str, str], float]:
    """Mean errors of predictions by metric, normaliser and subset, as leaderboards name them.

    Args:
        protocol: the benchmark.
        points: (N, K, 2) predictions.
        reference: the faces, arranged.
        failure: threshold of the failure rate, %.
    """
    source, found = reference.instances["source"].to_numpy(object), {}
    parts = {one.name: (one.name,) for one in protocol.subsets if one.split == "test"} | dict(protocol.unions or {})
    for name, subsets in parts.items():
        chosen = np.isin(source, subsets)
        if not chosen.any():
            continue
        some = reference.select(chosen)
        subject = Subject(DETECTOR, None, protocol.name, "test", HUMAN, name)
        values = {
            (one.metric, one.normaliser): one.value for one in measure_points(points[chosen], some, subject, failure)
        }
        for printed, normaliser in protocol.units.items():
            value = values.get(("nme", normaliser))
            if value is not None:
                found["nme_percent", printed, name] = float(value)
    return found
