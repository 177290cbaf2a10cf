"""Small sets to compare, and folders of iterations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmk.annotations import AnnotationSet, make_set
from lmk.scheme import parse_scheme
from lmk.store import write_annotations
from lmk.workspace import Workspace

# An open contour, a closed one that starts at a point of the first, and a point on none.
SCHEME = parse_scheme('{"name": "odd", "points": 8, "contours": [[0, 1, 2, 3], [3, 4, 5, 6, 3]]}', "odd")


def make(images, points, scheme=SCHEME, instances=None, **columns) -> AnnotationSet:
    """A set of one instance an image (or as numbered), points (N, K, 2)."""
    count = scheme.size
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array(images, dtype=object), count),
            "instance": np.repeat(instances if instances is not None else np.zeros(len(images), int), count),
            "landmark": np.tile(np.arange(count), len(images)),
            "x": points[..., 0].reshape(-1),
            "y": points[..., 1].reshape(-1),
        }
    )
    return make_set(table.assign(**columns), scheme, {"producer": "test"}, "here")


def scattered(count, seed, scheme=SCHEME):
    return np.random.default_rng(seed).uniform(0, 200, (count, scheme.size, 2))


def faces_like(scheme, count, seed, side=100.0):
    """(N, K, 2) one shape, a little different in each of N images, about so many pixels large."""
    random = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, scheme.size, endpoint=False)
    shape = np.stack([np.cos(turn), np.sin(turn)], -1) * side / 2 + side
    return shape + random.normal(0, 0.02 * side, (count, 1, 2)) + random.normal(0, 0.01 * side, (count, scheme.size, 2))


def folder(tmp_path, *sets):
    """What `lmk clean` leaves of some sets."""
    paths = Workspace(tmp_path / "cleaned")
    for number, labels in enumerate(sets):
        write_annotations(labels.with_columns(iteration=number), paths.annotations(f"i{number:02d}"))
    return paths
