"""Rendered faces of one seed and one kind of human noise: some for training, others for testing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from bench.label_truth.data import read_truth
from lmk.annotations import AnnotationSet
from lmk.errors import DataError
from lmk.evaluation import normalisers
from lmk.ingest import ingest
from lmk.kernels.metrics import instance_errors, point_errors
from lmk.scheme import load_scheme
from lmk.store import replacing
from lmk.synth.write import render_dataset

NOISES = ("half", "default", "double", "annotators")
COUNTS = (200, 500, 1200)
TESTED = 300
SIDE = 128


def render(noise: str, seed: int, work: Path, progress: Callable[[int, int], None]) -> Path:
    """The faces of a seed; they are the same for every noise."""
    pool = work / f"faces-{noise}-{seed}"
    if not (pool / "truth" / "truth.csv").is_file():
        render_dataset(pool, {"": max(COUNTS) + TESTED}, seed, SIDE, noise, progress)
        return pool
    with TemporaryDirectory() as folder:
        again = Path(folder) / "again"
        render_dataset(again, {"": 1}, seed, SIDE, noise, lambda *_: None)
        for name in ("faces/000000.jpg", "faces/000000.pts"):
            if (pool / name).read_bytes() != (again / name).read_bytes():
                raise DataError(f"{pool}: drawn by another version of lmk; name another folder for --work")
    return pool


def part(pool: Path, start: int, count: int, target: Path) -> Path:
    """Some of the faces as a dataset of their own: a folder with (hard) links to images and labels, and the truth."""
    names = [f"{number:06d}" for number in range(start, start + count)]
    if not target.is_dir():
        with replacing(target) as fresh:
            (fresh / "faces").mkdir(parents=True)
            for name in names:
                for ending in (".jpg", ".pts"):
                    file = f"faces/{name}{ending}"
                    (fresh / file).hardlink_to(pool / file)
            wanted = {f"{name}.jpg" for name in names}
            for table in ("faces/annotators.csv", "truth/truth.csv"):
                if (pool / table).is_file():
                    (fresh / table).parent.mkdir(exist_ok=True)
                    head, *rows = (pool / table).read_text().splitlines(keepends=True)
                    kept = [row for row in rows if row.split(",", 1)[0] in wanted]
                    (fresh / table).write_text("".join([head, *kept]))
    return target


def errors_of(
    points: NDArray[np.float64], human: AnnotationSet, truth: AnnotationSet
) -> dict[str, NDArray[np.float64]]:
    """Errors of every instance in % of the interocular distance, against the truth and against human labels."""
    return {
        name: 100 * instance_errors(point_errors(points, reference.points), normalisers(reference)["interocular"])
        for name, reference in (("truth", truth), ("human", human))
    }


def read(folder: Path, box_scale: float) -> tuple[AnnotationSet, AnnotationSet]:
    """Human labels and truth of a part."""
    human = ingest(folder / "faces", "pts", load_scheme("ibug68"), box_scale)
    return human, read_truth(human, folder)
