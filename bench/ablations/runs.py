"""The experiments: searches, alternations of search and training, corrections, degraded images."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bench.ablations.measures import bias, label_errors, shorter
from bench.alternation import PAPER, Round, Start, alternate, paper, search_once
from bench.downstream.__main__ import budget, cleaned
from bench.downstream.data import COUNTS, TESTED, errors_of, part, read, render
from lmk.annotations import AnnotationSet
from lmk.config import Params, RefinerParams, default_profile, load_params
from lmk.console import Progress
from lmk.crops import CropSource, crops_of
from lmk.inference import keep_memory, predict
from lmk.models.base import Detector
from lmk.models.corrections import Correction, CorrectionParams
from lmk.models.hourglass import StackedHourglass
from lmk.models.shapes import ShapeCorrection
from lmk.models.store import CURVE, load_model
from lmk.refine.align import KeepParams
from lmk.store import read_annotations, write_annotations
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from lmk.workspace import Workspace

NOISE, COUNT = "default", 500
ROUNDS = 10  # of one epoch each, after a search; the paper finds ten enough
EPOCH = 3148  # images, as many as the paper's 300W has, though ours are fewer and seen more often
SLOWER = 100  # learning rate of the first training relative to that of the rounds; the paper: 2.5e-4 and 2.5e-6
LEARNT = 40000  # training images of a unit; after 16 000, units that are networks still improve
COVERED = 0.3, 0.5  # least and largest side of the rectangle over a face, relative to the crop's
COARSE = 12  # pixels of the crop's side in images of low resolution
KEPT = KeepParams(kind="keep", mirror=False)
TIMED = 100  # images, one at a time


@dataclass(frozen=True)
class Setting:
    """The faces of one seed: those for training, in a cleaned folder, and those for testing."""

    seed: int
    params: Params
    folder: Path
    paths: Workspace
    test: Path
    tested: AnnotationSet
    truth: AnnotationSet
    crops: CropSource


def setting(seed: int, work: Path) -> Setting:
    """Those of bench.downstream, so that what has been made is not made again."""
    keep_memory()
    params = load_params(default_profile(), ["data.scheme=ibug68"])
    pool = render(NOISE, seed, work, Progress("drawing faces", "faces"))
    folder = part(pool, 0, COUNT, work / f"{NOISE}-{COUNT}-{seed}")
    test = part(pool, max(COUNTS), TESTED, work / f"{NOISE}-test-{seed}")
    paths = cleaned(folder, params)
    tested, truth = read(test, params.data.box_scale)
    crops = crops_of(tested, test / "faces", params.model.input_size)
    return Setting(seed, params, folder, paths, test, tested, truth, crops)


def errors(here: Setting, model: Detector, crops: CropSource | None = None) -> dict[str, float]:
    """Mean error on the test faces in % of the interocular distance, against truth and human labels; and the bias."""
    points = predict(model, here.tested, crops or here.crops, mirror=False)
    found = errors_of(points, here.tested, here.truth)
    return {
        "bias": bias(points, here.truth),
        "shorter": shorter(points, here.truth),
        **{name: round(float(np.nanmean(each)), 4) for name, each in found.items()},
    }


def searched(here: Setting, changed: Mapping[str, float], out: Path, work: Path) -> dict[str, Any]:
    """Search once as the paper does, with the detector trained on human labels, and train another on the result.

    Args:
        here: the faces.
        changed: what differs from the paper's search: `prior_weight` is lambda, and where it is 0 nothing is searched,
            the baseline of Table 5; `template` is the side of what is compared, in pixels of a heatmap of 256.
        out: folder for the labels and the network that is trained on them.
        work: folder for unfinished trainings.

    Returns:
        The error of the labels, and that of the network.
    """
    refiner = paper(**changed)
    human, labels = here.paths.annotations("i00"), out / "labels.parquet"
    if refiner.prior_weight:
        found = search_once(human, here.paths.model("i00"), here.folder / "faces", refiner)
    else:
        found = read_annotations(human)
    write_annotations(found, labels)
    scratch(here, labels, out / "hourglass", work)
    truth = read(here.folder, here.params.data.box_scale)[1]
    return {
        "labels": label_errors(read_annotations(labels), truth),
        "errors": errors(here, load_model(out / "hourglass", here.tested.scheme)),
    }


def scratch(here: Setting, labels: Path, target: Path, work: Path, coarse: float = 0.0) -> None:
    """Train a hourglass as bench.downstream does; `coarse` is its share of low-resolution training images."""
    params = here.params
    training = budget(params, "hourglass").changed(seed=here.seed)
    with showing(StackedHourglass, coarse):
        title = str(target.relative_to(target.parents[1]))
        recipe = Recipe(params.downstream.models["hourglass"], training, params.augmentation)
        fit(recipe, Job(labels, here.folder / "faces", target, work, title))


@contextmanager
def showing(kind: type[StackedHourglass | Correction], coarse: float) -> Iterator[None]:
    """Change the share of low-resolution training images of a kind of network while the block runs."""
    asked, kind.coarse = kind.coarse, coarse
    try:
        yield
    finally:
        kind.coarse = asked


def alternation(
    here: Setting,
    out: Path,
    refiner: RefinerParams = PAPER,
    updates: int = ROUNDS,
    teach_truth: bool = False,
) -> dict[str, list[Any]]:
    """The paper's alternation: from the detector trained on human labels, search and train one epoch, ROUNDS times.

    Args:
        here: the faces.
        out: folder for its iterations.
        refiner: the paper's search, or KEPT for the baseline, which trains on as long.
        updates: how many rounds search; the later ones train on the last labels found.
        teach_truth: start from true labels instead of human ones: the limit.

    Returns:
        For the start and every round: error of the detector against truth and human test labels, and error of its
        training labels; for every round the training loss.
    """
    params = here.params
    human = read_annotations(here.paths.annotations("i00"))
    truth = read(here.folder, params.data.box_scale)[1]
    first = human.moved(truth.points, 0, {}, {"producer": "truth"}) if teach_truth else human
    rate = params.training.learning_rate / SLOWER
    # Another seed every time, or each round would see the very images of the one before.
    rounds = [
        Round(refiner if number <= updates else KEPT, EPOCH, rate, 100 * here.seed + number)
        for number in range(1, ROUNDS + 1)
    ]
    paths = alternate(Start(first, here.paths.model("i00"), here.folder / "faces"), rounds, params, out)
    names = [f"i{number:02d}" for number in range(ROUNDS + 1)]
    models = [paths.model(name) for name in names]
    return {
        "errors": [errors(here, load_model(folder, here.tested.scheme)) for folder in models],
        "loss": [float(pd.read_csv(folder / CURVE)["loss"].iloc[-1]) for folder in models[1:]],
        "labels": [label_errors(read_annotations(paths.annotations(name)), truth) for name in names],
    }


@dataclass(frozen=True)
class Unit:
    """A correction to be trained; the kind `none` is the detector itself, trained on for as long on the same images."""

    kind: str
    detector: Path  # folder of the trained network beneath
    labels: Path  # for training
    coarse: float  # share of low-resolution training images


def corrected(here: Setting, unit: Unit, target: Path, work: Path) -> Detector:
    """Train a unit and keep it in `target`."""
    params = here.params
    beneath = load_model(unit.detector, here.tested.scheme)
    rate = params.downstream.learning_rate
    training = params.training.changed(
        images=LEARNT, epochs=LEARNT // COUNT, learning_rate=rate, held_out=0.0, seed=here.seed
    )
    alone = unit.kind == "none"
    correction = {"kind": unit.kind, "detector": beneath.params}
    with showing(StackedHourglass if alone else Correction, unit.coarse):
        network = beneath.params if alone else CorrectionParams.model_validate(correction)
        job = Job(unit.labels, here.folder / "faces", target, work, target.name, unit.detector)
        fit(Recipe(network, training, params.augmentation), job)
    return load_model(target, here.tested.scheme)


class Alike(ShapeCorrection):
    """A shape model that gives equal weight to all predictions, so that it only filters outliers."""

    def fit(self, read: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
        """The likeliest shapes for predictions, each with the covariance of a perfect heatmap."""
        perfect = self.detector.sigma**2 * torch.eye(2, dtype=covariance.dtype)
        return super().fit(read, perfect.expand_as(covariance))


def alike(model: ShapeCorrection) -> Alike:
    """A trained shape model, fitted with equal weights."""
    made = Alike(model.params, len(model.mean))
    made.load_state_dict(model.state_dict())
    return made.eval()


@dataclass(frozen=True, kw_only=True)
class Held(CropSource):
    """Crops in memory, to be changed."""

    pixels: NDArray[np.uint8]

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(R, size, size, 3) the crops of some instances."""
        return self.pixels[rows]


def spoilt(here: Setting, how: str) -> CropSource:
    """The test faces occluded by a rectangle, at low resolution, or both."""
    images = crops_of(here.tested, here.test / "faces", here.params.model.input_size)
    random = np.random.default_rng(0)
    images = Held(**vars(images), pixels=images.read(np.arange(len(images))))
    for pixels in images.pixels:
        if how in ("occluded", "both"):
            side = np.round(random.uniform(*COVERED, 2) * images.size / images.margin).astype(int)
            corner = np.round(random.uniform(0.15, 0.85, 2) * images.size - side / 2).astype(int).clip(0)
            pixels[corner[1] : corner[1] + side[1], corner[0] : corner[0] + side[0]] = random.integers(0, 256, 3)
        if how in ("coarse", "both"):
            size = math.ceil(COARSE * images.margin)
            small = functional.interpolate(_batch(pixels), size=(size, size), mode="area")
            large = functional.interpolate(small, size=pixels.shape[:2], mode="bicubic").clamp(0, 255)
            pixels[:] = large[0].permute(1, 2, 0).round().byte().numpy()
    return images


def _batch(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()


def milliseconds(here: Setting, model: Correction) -> float:
    """CPU time that a correction adds to its detector for one image on one core: difference of medians."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    size = model.params.input_size
    alone, all_of_it = [], []
    pixels = here.crops.read(np.arange(min(TIMED, len(here.crops))))
    with torch.inference_mode():
        for index in range(TIMED):
            image = functional.interpolate(_batch(pixels[index % len(pixels)]) / 64 - 2, size=(size, size))
            started = time.thread_time()
            model.detector.decode(model.detector.log_heatmaps(image))
            between = time.thread_time()
            model.locate(image)
            alone.append(between - started)
            all_of_it.append(time.thread_time() - between)
    torch.set_num_threads(threads)
    return round(1000 * float(np.median(all_of_it) - np.median(alone)), 3)
