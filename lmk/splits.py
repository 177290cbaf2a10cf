"""Which images teach, which are watched, which are for the test: by folder, by a list, at random, by group."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from lmk.annotations import SPLITS, AnnotationSet
from lmk.config import AtRandom, ByFolder, ByGroup, ByList
from lmk.errors import ConfigError, DataError, FormatError
from lmk.limits import LIST_BYTES
from lmk.reading import read_text

How = ByFolder | ByList | AtRandom | ByGroup
_LONGEST = 200  # characters of a pattern; more is no pattern, and could take for ever


def with_splits(annotations: AnnotationSet, how: How | None) -> AnnotationSet:
    """The set with its images split; all instances of an image are on the same side."""
    if how is None:
        return annotations
    images = list(dict.fromkeys(annotations.instances["image"]))
    if isinstance(how, ByFolder):
        chosen = {image: _by_folder(image) for image in images}
    elif isinstance(how, ByList):
        chosen = _listed(Path(how.file), images)
    else:
        groups = _groups(images, how.pattern) if isinstance(how, ByGroup) else dict(zip(images, images, strict=True))
        chosen = _drawn(groups, how)
    return annotations.with_columns(split=np.array([chosen[image] for image in annotations.instances["image"]], object))


def _by_folder(image: str) -> str:
    found = next((part for part in PurePosixPath(image).parts[:-1] if part in SPLITS), None)
    if found is None:
        raise DataError(f"data.split: {image} lies in no folder called {', '.join(SPLITS)}; split by list or at random")
    return found


def _listed(file: Path, images: list[str]) -> dict[str, str]:
    rows = [row for row in csv.reader(io.StringIO(read_text(file, LIST_BYTES), newline="")) if row]
    if not rows or rows[0] != ["image", "split"]:
        raise FormatError(f"{file}: the header must be image,split, not {','.join(rows[0]) if rows else 'nothing':.60}")
    if bad := [row for row in rows[1:] if len(row) != 2 or row[1] not in SPLITS]:
        raise FormatError(f"{file}: want an image and one of {', '.join(SPLITS)}, not {','.join(bad[0])!r:.60}")
    found = dict(rows[1:])
    if missing := [image for image in images if image not in found]:
        raise DataError(f"{file}: no line for {missing[0]}; list every image")
    return found


def _groups(images: list[str], pattern: str) -> dict[str, str]:
    """The group of each image."""
    try:
        wanted = re.compile(pattern[:_LONGEST])
    except re.error as cause:
        raise ConfigError(f"data.split.pattern: {pattern!r:.60} is not a regular expression ({cause})") from cause
    if wanted.groups < 1 or len(pattern) > _LONGEST:
        raise ConfigError(f"data.split.pattern: {pattern!r:.60} has no group (…) that says what belongs together")
    found = {}
    for image in images:
        match = wanted.search(image)
        if match is None or match[1] is None:
            raise DataError(f"data.split.pattern: {pattern!r:.60} does not match {image}")
        found[image] = match[1]
    return found


def _drawn(groups: Mapping[str, str], how: AtRandom | ByGroup) -> dict[str, str]:
    """Groups in an order that only their names and the seed decide, until each split has its share of the images."""
    if how.val + how.test >= 1:
        raise ConfigError(f"data.split: val and test are {how.val + how.test:g} of the images; leave some to train on")
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes[group] = sizes.get(group, 0) + 1
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{how.seed} {group}".encode()).digest())
    side, wanted = {}, {"test": how.test * len(groups), "val": how.val * len(groups)}
    for group in order:
        split = next((name for name, left in wanted.items() if left >= sizes[group] / 2), "train")
        side[group] = split
        if split in wanted:
            wanted[split] -= sizes[group]
    return {image: side[group] for image, group in groups.items()}
