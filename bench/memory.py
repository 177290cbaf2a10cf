"""Peak memory and seconds of one search on a large simulated set: `python -m bench.memory [--instances 20000]`.

Two refiners are measured, each in a process of its own: `align`, which looks at one instance at a time, and
`consensus`, which looks at the whole set.  Prints one JSON line each: what ran, instances, peak MiB of resident memory
(torch and the annotation set included; `before_mib` is the peak until the search began) and seconds of the search.

Nothing is trained and no image is on disk.  Shapes are a mean shape with smooth deformations, human labels have the
noise of `lmk render`.  Each crop is drawn when it is asked for, and its pixels spell out the instance's shape; the
stand-in detector reads that shape from the pixels, adds an error of its own and draws one Gaussian a landmark.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.alternation import paper
from lmk.annotations import AnnotationSet, make_set
from lmk.config import Params, RefinerParams, default_profile, load_params
from lmk.crops import MARGIN, CropSource
from lmk.inference import keep_memory
from lmk.models.hourglass import HourglassParams, StackedHourglass
from lmk.refine.labels import Search, refine_labels
from lmk.scheme import LandmarkScheme, load_scheme
from lmk.synth.noise import annotate

Array = NDArray[np.float64]
REFINERS = ("align", "consensus")
INSTANCES = 20_000
SIDE = 256  # pixels of an image, and about those of a box
INPUT, HEATMAP = 64, 32  # pixels of crop and heatmap; small, so that a run takes minutes
GRID = 4  # cells a side; the blue of each cell spells the coefficient of one deformation
DEFORMATION = 0.02  # standard deviation of each deformation at a typical landmark; half a crop is 1
# Of the detector, half a crop is 1: the error that is the same in every view of an image, and the one that is not.
ERROR, WOBBLE = 0.02, 0.01
LOW, HIGH = 32, 223  # red and green rise from LOW to HIGH along x and y of a crop


def main() -> None:
    """Measure each refiner in a fresh process, or one in this process."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=INSTANCES, help=f"of 68 points (default {INSTANCES:,})")
    parser.add_argument("--refiner", choices=REFINERS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--here", choices=REFINERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.here, options.instances)), flush=True)
        return
    for refiner in options.refiner or REFINERS:
        command = [sys.executable, "-m", "bench.memory", "--here", refiner, "--instances", str(options.instances)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="", flush=True)


def measure(refiner: str, count: int) -> dict[str, Any]:
    """Simulate a set, refine it, and say what that took."""
    keep_memory()
    params = load_params(default_profile(), ["data.scheme=ibug68"])
    coefficients = draw_coefficients(count)
    human = simulated(coefficients, load_scheme("ibug68"))
    before = peak_mib()
    started = time.monotonic()
    found = refined(human, coefficients, refiner, params)
    seconds = time.monotonic() - started
    assert len(found.instances) == count
    return {
        "what": refiner, "instances": count, "peak_mib": peak_mib(), "before_mib": before, "seconds": round(seconds, 1),
    }  # fmt: skip


def refined(human: AnnotationSet, coefficients: NDArray[np.uint8], refiner: str, params: Params) -> AnnotationSet:
    """One search, as an iteration of `lmk clean` makes it, with the stand-in for its network."""
    judge, crops = StandIn(human.scheme), DrawnCrops(coefficients)
    search = Search(judge, human, human, cast(CropSource, crops))
    return refine_labels(search, parameters(refiner, params), 1, {"producer": "bench"})


def parameters(refiner: str, params: Params) -> RefinerParams:
    """Those of the profile for our refiner, and as wide a window as it has for the paper's."""
    return params.refiners["consensus"] if refiner == "consensus" else paper(window=49.0, mirror=True)


def peak_mib() -> int:
    """Largest resident memory of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def draw_coefficients(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """(N, 16) coefficients of the deformations as bytes: 128 is none, 32 is one standard deviation."""
    drawn = np.random.default_rng(seed).normal(128, 32, (count, GRID**2))
    return drawn.round().clip(0, 255).astype(np.uint8)


def mean_shape() -> Array:
    """(68, 2) a face in crop coordinates, -1 to 1: each contour of ibug68 is an arc or a line."""

    def arc(centre: tuple[float, float], radii: tuple[float, float], angles: tuple[float, float], count: int) -> Array:
        turn = np.radians(np.linspace(*angles, count))
        return np.asarray(centre) + np.stack([np.cos(turn), np.sin(turn)], -1) * radii

    def line(start: tuple[float, float], end: tuple[float, float], count: int) -> Array:
        return np.linspace(start, end, count)

    return np.concatenate(
        [
            arc((0, -0.2), (0.75, 0.95), (180, 0), 17),  # jaw
            arc((-0.38, -0.42), (0.24, 0.12), (195, 345), 5),  # brows
            arc((0.38, -0.42), (0.24, 0.12), (195, 345), 5),
            line((0, -0.25), (0, 0.12), 4),  # nose
            arc((0, 0.17), (0.16, 0.07), (170, 10), 5),
            arc((-0.35, -0.25), (0.15, 0.06), (180, 480), 6),  # eyes
            arc((0.35, -0.25), (0.15, 0.06), (180, 480), 6),
            arc((0, 0.42), (0.28, 0.13), (180, 510), 12),  # lips
            arc((0, 0.42), (0.2, 0.05), (180, 495), 8),
        ]
    )


def deformations(shape: Array) -> Array:
    """(16, K, 2) smooth fields of displacement: eight low polynomials of the place, along x and along y."""
    x, y = shape.T
    fields = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2, x**2 * y, x * y**2])
    fields *= DEFORMATION / np.sqrt((fields**2).mean(1, keepdims=True))
    nothing = np.zeros_like(fields)
    return np.concatenate([np.stack([fields, nothing], -1), np.stack([nothing, fields], -1)])


def true_points(coefficients: NDArray[np.uint8]) -> Array:
    """(N, K, 2) in the pixels of each image; the box is the whole image."""
    shape = mean_shape()
    true = shape + np.einsum("nc,ckj->nkj", (coefficients / 128.0 - 1) * 4, deformations(shape))
    return np.asarray((true + 1) / 2 * SIDE - 0.5)


def simulated(coefficients: NDArray[np.uint8], scheme: LandmarkScheme) -> AnnotationSet:
    """Human labels of one face an image, all of them to learn from."""
    count = len(coefficients)
    points = true_points(coefficients)
    for index in range(count):
        points[index] = annotate(points[index], SIDE, scheme, "default", 0, index).points
    table = pd.DataFrame(
        {
            "image": np.repeat([f"{index:08d}.jpg" for index in range(count)], scheme.size),
            "instance": 0,
            "landmark": np.tile(np.arange(scheme.size), count),
            "x": points[..., 0].ravel(),
            "y": points[..., 1].ravel(),
            "visibility": 2,
            "split": "train",
            "iteration": 0,
            "width": SIDE,
            "height": SIDE,
            "box_x": -0.5,
            "box_y": -0.5,
            "box_size": float(SIDE),
        }
    )
    return make_set(table, scheme, {"producer": "bench"}, "bench")


class DrawnCrops:
    """Crops that are drawn when they are asked for: red and green say the place, blue says the shape."""

    def __init__(self, coefficients: NDArray[np.uint8]):
        self.size = round(INPUT * MARGIN / 2) * 2
        self.margin = self.size / INPUT
        self.coefficients = coefficients
        place = (np.arange(self.size) + 0.5) / self.size
        self.ramp = (LOW + (HIGH - LOW) * place).round().astype(np.uint8)
        inside = ((place - 0.5) * self.margin + 0.5) * GRID  # cells fill the box; the margin repeats the outer ones
        self.cell = np.clip(np.floor(inside), 0, GRID - 1).astype(np.int64)

    def select(self, chosen: NDArray[np.bool_]) -> DrawnCrops:
        """The crops of the chosen instances."""
        some = copy.copy(self)
        some.coefficients = self.coefficients[chosen]
        return some

    def __len__(self) -> int:
        return len(self.coefficients)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(R, size, size, 3) the crops of some instances."""
        codes = self.coefficients[rows]
        pixels = np.empty((*codes.shape[:-1], self.size, self.size, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = self.ramp, self.ramp[:, None]
        pixels[..., 2] = codes.reshape(*codes.shape[:-1], GRID, GRID)[..., self.cell[:, None], self.cell]
        return pixels


class StandIn(StackedHourglass):
    """A detector that reads place and shape from the pixels of `DrawnCrops` and draws Gaussians there."""

    def __init__(self, scheme: LandmarkScheme):
        # The network beneath is never asked; these are about the smallest sizes that it can have.
        params = HourglassParams(
            kind="hourglass", stacks=1, width=1, depth=1, input_size=INPUT, heatmap_size=HEATMAP, sigma=6.0,
            loss="cross_entropy",
        )  # fmt: skip
        super().__init__(params, scheme.size)
        shape, random = mean_shape(), np.random.default_rng(1)
        self.shape = torch.from_numpy(shape).float()
        self.ways = torch.from_numpy(deformations(shape)).float()
        self.flip = torch.from_numpy(scheme.flip)
        # Phases of sines: of the shape for the error that stays, of the view for the error that changes.
        self.of_shape = torch.from_numpy(random.normal(0, 3, (2, GRID**2, 2 * scheme.size))).float()
        self.of_view = torch.from_numpy(random.normal(0, 60, (6, 2 * scheme.size))).float()
        span = torch.arange(INPUT // 4, 3 * INPUT // 4)  # nothing but real pixels, however the view is turned
        y, x = torch.meshgrid(span, span, indexing="ij")
        self.seen = y.flatten() * INPUT + x.flatten()
        place = (torch.stack([x.flatten(), y.flatten(), torch.zeros_like(self.seen)], -1) + 0.5) * 2 / INPUT - 1
        place[:, 2] = 1
        self.solve = torch.linalg.pinv(place)  # (3, P) from values at the seen pixels to a plane through them
        centres = (torch.arange(GRID) + 0.5) * 2 / GRID - 1
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        self.cells = torch.stack([columns.flatten(), rows.flatten()], -1)  # (16, 2) in the crop's coordinates

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to log-probabilities, (B, K, H, H)."""
        with torch.autocast(images.device.type, enabled=False):
            place = self.to_heatmap(self.read(images.float()))
            pixels = torch.arange(HEATMAP, dtype=torch.float32)
            along = -((pixels - place[..., None]) ** 2) / (2 * self.sigma**2)  # (B, K, 2, H)
            along = along.log_softmax(-1)
            return along[:, :, 1, :, None] + along[:, :, 0, None, :]

    def read(self, images: Tensor) -> Tensor:
        """(B, K, 2) where the landmarks of these views are, with the detector's error; -1 to 1."""
        matrix = self.view_of(images)
        linear, shift = matrix[:, :, :2], matrix[:, :, 2]
        back = torch.linalg.inv(linear)
        at = (self.cells - shift[:, None]) @ back.transpose(1, 2)
        blue = functional.grid_sample(images[:, 2:], at[:, None], padding_mode="border", align_corners=False)
        code = ((blue[:, 0, 0] + 2) * 64 / 128 - 1) * 4  # in standard deviations
        steady, view = torch.sin(code @ self.of_shape[0]), torch.sin(code @ self.of_shape[1] + self._phase(matrix))
        # A detector's errors are correlated over a face: half of each is a deformation, half is the landmark's own.
        own = math.sqrt(0.5) * (ERROR * steady + WOBBLE * view).view(len(images), -1, 2)
        together = (ERROR * steady + WOBBLE * view)[:, : GRID**2] / DEFORMATION / math.sqrt(0.5 * GRID**2)
        points = self.shape + torch.einsum("bc,ckj->bkj", code + together, self.ways) + own
        mirrored = torch.linalg.det(linear) < 0
        points = torch.where(mirrored[:, None, None], points[:, self.flip], points)
        there: Tensor = (points - shift[:, None]) @ back.transpose(1, 2)
        return there

    def _phase(self, matrix: Tensor) -> Tensor:
        return matrix.flatten(1) @ self.of_view

    def view_of(self, images: Tensor) -> Tensor:
        """(B, 2, 3) from a place in the view to its place in the crop, as red and green say."""
        ramps = (images[:, :2].flatten(2)[..., self.seen] + 2) * 64  # (B, 2, P)
        place = ((ramps - LOW) / (HIGH - LOW) * 2 - 1) * MARGIN
        matrix: Tensor = place @ self.solve.T
        return matrix


if __name__ == "__main__":
    main()
