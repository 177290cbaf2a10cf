"""Reports of small sets, with names that are meant to hurt."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lmk.annotations import EVIDENCE, AnnotationSet, default_boxes, make_set
from lmk.audit.numbers import audited
from lmk.history.decisions import Wish, decide
from lmk.records import Metrics
from lmk.report.page import write_report
from lmk.scheme import load_scheme
from lmk.store import write_annotations
from lmk.workspace import Workspace

# A legal path: a folder `<script>alert(1)<` with a file in it.
HOSTILE = ["<script>alert(1)</script>.png", 'train/"><img src=x onerror=alert(2)>.png', "train/a&amp;b {{ 7*7 }}.jpg"]
SIZE = 160
TABLE = {"interocular": {"nme": 5.5, "auc": 0.4, "failure_rate": 0.1}, "box": {"nme": 3.1}, "points": 900}
BETTER = {"interocular": {"nme": 2.2, "auc": 0.7, "failure_rate": 0.0}, "box": {"nme": 1.2}, "points": 900}
METRICS = {
    "headline": {"normaliser": "interocular", "failure": 8.0},
    "labels": {
        "i00": {**TABLE, "gross": {**TABLE, "points": 12}},
        "i01": {**BETTER, "gross": BETTER},
        "i02": {**TABLE, "gross": None},
    },
    "detector": {"i00": {"truth": TABLE, "human": TABLE}, "i01": {"human": BETTER}},
    "downstream": {
        "hourglass": {"human": {"truth": TABLE, "human": TABLE}, "refined": {"truth": BETTER, "human": TABLE}},
        "resnet": {"human": {"human": TABLE}, "refined": {"human": TABLE}},
    },
}
REASON = "<img src=x onerror=alert(3)> beards"
GATES = {"never": "drift < 0", "<b>far</b>": "percent > 4", "all": "avg(drift) > 0"}


def oval_faces(count, seed):
    """(count, 68, 2): something face-like, with every contour where it belongs."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = np.column_stack([np.cos(angle) * (1 + np.arange(68) % 5 / 10), np.sin(angle)])
    random = np.random.default_rng(seed)
    return SIZE / 2 + shape * random.uniform(40, 55, (count, 1, 1)) + random.normal(0, 1, (count, 68, 2))


def make(folder: Path | None, names=HOSTILE, scheme=None, points=None) -> AnnotationSet:
    """Human labels of one instance an image, with noise for pixels; all train but the last."""
    scheme = scheme or load_scheme("ibug68")
    points = oval_faces(len(names), 1) if points is None else points
    table = pd.DataFrame(
        {
            "image": np.repeat(np.array(names, dtype=object), scheme.size),
            "instance": 0,
            "landmark": np.tile(np.arange(scheme.size), len(names)),
            "split": np.repeat(["train"] * (len(names) - 1) + ["test"], scheme.size),
            "x": points[..., 0].reshape(-1),
            "y": points[..., 1].reshape(-1),
        }
    )
    if folder is not None:
        for number, name in enumerate(names):
            pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
        boxes = np.repeat(default_boxes(points, 1.25), scheme.size, axis=0)
        table = table.assign(width=SIZE, height=SIZE, box_x=boxes[:, 0], box_y=boxes[:, 1], box_size=boxes[:, 2])
    return make_set(table, scheme, {"producer": "test <b>ingest</b>"}, "here")


def search(before: AnnotationSet, number: int) -> AnnotationSet:
    """The next iteration: points of train moved at random, with evidence."""
    random = np.random.default_rng(number)
    chosen = before.in_split("train")[:, None]
    points = before.points + np.where(chosen[..., None], random.normal(0, 3 / number, before.points.shape), 0)
    evidence = {name: np.where(chosen, random.uniform(0, 1, points.shape[:2]), np.nan) for name in EVIDENCE}
    evidence["at_edge"] = np.where(chosen, evidence["at_edge"] > 0.8, np.nan)
    return before.moved(points, number, evidence, {"producer": "test refine", "parameters": {"window": 17.0}})


def chain(human: AnnotationSet, length=2) -> dict[str, AnnotationSet]:
    sets = {"i00": human}
    for number in range(1, length + 1):
        sets[f"i{number:02d}"] = search(sets[f"i{number - 1:02d}"], number)
    return sets


def write(folder: Path, sets, images: Path, metrics, gates=None, reason=None) -> Path:
    """The page of some sets, written as `lmk clean` does; with a reason, landmark 30 is accepted for it."""
    paths = Workspace(folder)
    for name, labels in sets.items():
        write_annotations(labels, paths.annotations(name))
    if reason:
        decide(paths, Wish("accept", "landmark = 30", None, "<u>me</u>", reason))
    found = audited(paths, list(sets), gates or {})
    write_report(paths, list(sets), found, images, Metrics.of(metrics) if metrics else None)
    return paths.report


def embedded(page: str, name: str):
    """One of the page's two blocks of JSON."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def hostile(folder):
    """The report of three faces with such names, moved twice."""
    return write(folder / "out", chain(make(folder / "images")), folder / "images", METRICS, GATES, REASON)
