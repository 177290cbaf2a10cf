"""The datasets of the bench: human labels to clean, and apart from them the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet, make_set
from lmk.console import Progress
from lmk.evaluation import aligned_with
from lmk.formats.long_csv import read_long_csv
from lmk.formats.pts import write_pts
from lmk.ingest import ingest
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.store import write_csv
from lmk.synth.noise import ANNOTATORS, NOISES, annotate, annotator_name, habit, slides
from lmk.synth.write import render_dataset

Array = NDArray[np.float64]
PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "frl-london"
ALONG, ACROSS = 0.02, 0.005  # noise on the photographs: standard deviations relative to the crop's width
TAILS = 5  # its degrees of freedom; more gives fewer large errors


@dataclass(frozen=True)
class Bench:
    """One dataset: where its labels come from, and what its errors are divided by."""

    title: str
    normaliser: str
    count: int
    noise: str | None  # of the renderer; None for photographs

    def scheme(self) -> str:
        """What `lmk clean --scheme` is given."""
        return "ibug68" if self.noise else str(PHOTOGRAPHS / "scheme.json")


BENCHES = {
    "A": Bench("1200 rendered faces, no gross errors", "interocular", 1200, "default-clean"),
    "A-gross": Bench("1200 rendered faces, 3 % gross errors", "interocular", 1200, "default"),
    "A-annotators": Bench("1200 rendered faces, 8 offset annotators, 3 % gross", "interocular", 1200, "annotators"),
    "B": Bench("102 photographs, 189 points, noise injected", "interpupil", 102, None),
    "C": Bench("200 rendered faces, 3 % gross errors", "interocular", 200, "default"),
}  # fmt: skip


def make(bench: Bench, seed: int, out: Path) -> None:
    """Write OUT/faces (images and human labels) and OUT/truth/truth.csv."""
    if (out / "truth" / "truth.csv").is_file():
        return
    if bench.noise:
        render_dataset(out, {"": bench.count}, seed, 128, bench.noise, Progress("drawing faces", "faces"))
    else:
        _disturb_photographs(seed, out)


def _disturb_photographs(seed: int, out: Path) -> None:
    scheme = load_scheme(str(PHOTOGRAPHS / "scheme.json"))
    truth = ingest(PHOTOGRAPHS, "pts", scheme, 1.25)
    random = np.random.default_rng([seed, 500])
    (out / "faces").mkdir(parents=True, exist_ok=True)
    for name, box, points in zip(truth.instances["image"], truth.boxes, truth.points, strict=True):
        link = out / "faces" / name
        link.unlink(missing_ok=True)
        shutil.copyfile(PHOTOGRAPHS / name, link)  # ingest refuses a link that leads out
        write_pts(link.with_suffix(".pts"), points + scatter(points, float(box[2]), scheme, random), decimals=3)
    (out / "truth").mkdir(exist_ok=True)
    table = truth.frame[["image", "instance", "landmark", "x", "y", "visibility"]]
    write_csv(table, out / "truth" / "truth.csv")


def scatter(points: Array, width: float, scheme: LandmarkScheme, random: np.random.Generator) -> Array:
    """(K, 2) noise of one human: Student-t along and across each contour, the lesser one where there is none."""
    along = scheme.tangents(points)
    on_contour = np.asarray(np.isfinite(along).all(-1))
    along = np.where(on_contour[:, None], along, [1.0, 0.0])
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    drawn = random.standard_t(TAILS, (len(points), 2)) / np.sqrt(TAILS / (TAILS - 2))
    size = np.where(on_contour, ALONG, ACROSS) * width
    return np.asarray(drawn[:, :1] * size[:, None] * along + drawn[:, 1:] * ACROSS * width * across)


def with_shared_habit(bench: Bench, human: AnnotationSet, truth: AnnotationSet, seed: int) -> Array | None:
    """The truth plus the mean offset of all annotators, which no method can tell from the labels."""
    law = NOISES[bench.noise] if bench.noise else None
    if law is None or not law.slide:
        return None
    names = human.instances["annotator"].to_numpy()
    share = np.array([(names == annotator_name(number)).mean() for number in range(ANNOTATORS)])
    shared = share @ slides(human.scheme, seed, law.slide)
    width = human.instances["width"].to_numpy(np.float64)[:, None, None]
    moved = [habit(points, human.scheme, shared) for points in truth.points]
    return np.asarray(truth.points + width * np.stack(moved))


def read_truth(human: AnnotationSet, folder: Path) -> AnnotationSet:
    """The true points, in the order of the labels."""
    rows = read_long_csv(folder / "truth" / "truth.csv", human.scheme, with_images=False)
    return aligned_with(make_set(rows, human.scheme, {"producer": "truth"}, "truth"), human)


def more_annotators(bench: Bench, human: AnnotationSet, truth: AnnotationSet, seed: int, count: int) -> Array:
    """(N, K, 2) the mean of `count` humans who annotate the same images afresh."""
    size = human.instances["width"].to_numpy(np.float64)
    draw: Callable[[int, int], Array]
    if bench.noise:
        noise = bench.noise

        def draw(index: int, which: int) -> Array:
            clicks = annotate(
                truth.points[index], int(size[index]), human.scheme, noise, 1_000_000 * which + seed, index
            )
            return clicks.points
    else:

        def draw(index: int, which: int) -> Array:
            random = np.random.default_rng([seed, 501, which, index])
            points = truth.points[index]
            return np.asarray(points + scatter(points, float(human.boxes[index, 2]), human.scheme, random))

    return np.stack([np.mean([draw(i, which) for which in range(1, count + 1)], axis=0) for i in range(len(size))])
