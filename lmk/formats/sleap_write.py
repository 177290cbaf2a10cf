"""Writes SLEAP's `.slp`, of the layout that SLEAP 1.3 and later read (format_id 1.2): one list of images, one skeleton.

Names of frames, `video.mp4/000123`, become frames of these videos again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lmk.annotations import AnnotationSet
from lmk.formats.base import Loss, Losses, Trait
from lmk.formats.pixels import Points
from lmk.scheme import LandmarkScheme
from lmk.store import replacing

FORMAT_ID = 1.2
_FRAME = re.compile(r"(.+)/([0-9]{6,9})")
_FRAMES = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"), ("instance_id_start", "u8"),
           ("instance_id_end", "u8")]  # fmt: skip
_INSTANCES = [("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
              ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"),
              ("tracking_score", "f4")]  # fmt: skip
_POINTS = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]


def write(annotations: AnnotationSet, points: Points, target: Path) -> Sequence[Loss]:
    """Write one `.slp` file."""
    instances, size = annotations.instances, annotations.landmarks
    names = instances["image"].tolist()
    images = list(dict.fromkeys(names))
    places = {image: k for k, image in enumerate(images)}
    frame = np.array([places[name] for name in names], np.int64)
    videos, film, at = _videos(images, annotations)
    count = np.bincount(frame, minlength=len(images))
    ends = np.cumsum(count)
    frames = _table(_FRAMES, len(images), frame_id=np.arange(len(images)), video=film, frame_idx=at,
                    instance_id_start=ends - count, instance_id_end=ends)  # fmt: skip
    rows = np.arange(len(names))
    made = _table(_INSTANCES, len(names), instance_id=rows, frame_id=frame, track=-1, from_predicted=-1,
                  point_id_start=rows * size, point_id_end=(rows + 1) * size)  # fmt: skip
    there = np.isfinite(points).all(axis=-1).reshape(-1)
    x, y = points.reshape(-1, 2).T
    dots = _table(_POINTS, len(there), x=x, y=y, visible=there)
    with replacing(target) as temporary, h5py.File(temporary, "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"] = FORMAT_ID
        metadata.attrs["json"] = np.bytes_(json.dumps(_metadata(annotations.scheme)))
        for name, table in (("frames", frames), ("instances", made), ("points", dots)):
            file.create_dataset(name, data=table)
        file.create_dataset("pred_points", data=np.zeros(0, [*_POINTS, ("score", "f8")]))
        file.create_dataset("videos_json", data=[np.bytes_(json.dumps(video)) for video in videos], maxshape=(None,))
        for name in ("tracks_json", "suggestions_json"):
            file.create_dataset(name, data=np.zeros(0, "S1"), maxshape=(None,))
    return list(_lost(annotations, rows - (ends - count)[frame]))


def _table(columns: list[tuple[str, str]], count: int, **given: Any) -> Any:
    table = np.zeros(count, np.dtype(columns))
    for name, column in given.items():
        table[name] = column
    return table


def _videos(images: list[str], annotations: AnnotationSet) -> tuple[list[dict[str, Any]], Any, Any]:
    """The videos of a file, and of each image which it is of and at which frame."""
    matches = [_FRAME.fullmatch(image) for image in images]
    if not all(matches):
        sizes = annotations.instances[["width", "height"]]
        shape = {}
        if len(sizes.drop_duplicates()) == 1 and not sizes.isna().to_numpy().any():
            shape = {"shape": [len(images), int(sizes["height"].iloc[0]), int(sizes["width"].iloc[0]), 3]}
        backend = {"type": "ImageVideo", "filename": images[0], "filenames": images, "grayscale": False, **shape}
        return [{"filename": images, "backend": backend}], 0, np.arange(len(images))
    films = [match[1] for match in matches if match]
    names = list(dict.fromkeys(films))
    videos = []
    for name in names:
        backend = {"type": "MediaVideo", "filename": name, "grayscale": False, "bgr": True}
        videos.append({"filename": name, "backend": backend})
    return videos, [names.index(film) for film in films], [int(match[2]) for match in matches if match]


def _metadata(scheme: LandmarkScheme) -> dict[str, Any]:
    """The skeleton as SLEAP has it in JSON; the first edge of a kind names it, later ones refer to that."""
    pairs = [(pair, 1) for contour in scheme.contours for pair in pairwise(contour)]
    pairs += [(pair, 2) for pair in scheme.mirror]
    links: list[dict[str, Any]] = []
    known: list[int] = []
    for number, ((one, other), kind) in enumerate(dict.fromkeys(pairs)):
        if kind in known:
            said: dict[str, Any] = {"py/id": known.index(kind) + 1}
        else:
            said = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [kind]}]}
            known.append(kind)
        link = {"source": one, "target": other, "key": 0, "type": said}
        links.append({**link, "edge_insert_idx": number} if kind == 1 else link)
    skeleton = {
        "directed": True, "multigraph": True, "graph": {"name": scheme.name, "num_edges_inserted": len(links)},
        "links": links, "nodes": [{"id": k} for k in range(scheme.size)],
    }  # fmt: skip
    return {
        "version": "2.0.0", "skeletons": [skeleton], "nodes": [{"name": name, "weight": 1.0} for name in scheme.names],
        "videos": [], "tracks": [], "suggestions": [], "negative_anchors": {}, "provenance": {},
    }  # fmt: skip


def _lost(annotations: AnnotationSet, numbers: Any) -> Losses:
    losses = Losses()
    instances = annotations.instances
    other = np.flatnonzero(instances["instance"].to_numpy() != numbers)
    if len(other):
        row = instances.iloc[int(other[0])]
        example = f"{row['image']} instance {row['instance']} is instance {numbers[other[0]]} of its image then"
        losses.add(Trait.SEVERAL, len(other), example)
    return losses
