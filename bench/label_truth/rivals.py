"""The methods that are compared: each makes labels from images and human labels, without the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.alternation import Round, Start, alternate, paper, search_once
from lmk.annotations import AnnotationSet
from lmk.clean import clean
from lmk.config import Params, default_profile, load_params
from lmk.crops import crops_of
from lmk.inference import keep_memory, predict
from lmk.kernels.shape import shape_space
from lmk.models.store import load_model
from lmk.store import read_annotations
from lmk.workspace import Workspace

Array = NDArray[np.float64]
ROUNDS, EPOCHS, RATE = 6, 2, 1e-3  # of the alternation: rounds, epochs a round, learning rate; the paper has 10 and 1
SPREAD_KEPT = 0.95  # share of the shapes' variance that the components explain; more keeps more noise


def parameters(scheme: str) -> Params:
    """The default profile, as `lmk clean --scheme` uses it."""
    return load_params(default_profile(), [f"data.scheme={scheme}"])


def ours(faces: Path, params: Params, work: Path) -> list[Array]:
    """`lmk clean` with its defaults: the labels of all iterations."""
    paths = clean(faces, params, work)
    return [labels.points for labels in paths.read_chain(params.refine).values()]


def last_judge(params: Params, work: Path) -> Path:
    """The network that our last labels come from; the methods below use it too, so they differ only in how."""
    return Workspace(work).model(params.refine.schedule[params.refine.last].prev)


def prediction(faces: Path, params: Params, work: Path) -> Array:
    """The network's own prediction instead of the label."""
    keep_memory()
    human = read_annotations(Workspace(work).annotations("i00"))
    model = load_model(last_judge(params, work), human.scheme)
    return predict(model, human, crops_of(human, faces, params.model.input_size), mirror=True)


def paper_once(faces: Path, params: Params, work: Path) -> Array:
    """The paper's search, once."""
    human, judge = Workspace(work).annotations("i00"), last_judge(params, work)
    return search_once(human, judge, faces, paper()).points


def alternation(faces: Path, params: Params, work: Path, observation: str, out: Path) -> list[Array]:
    """The paper's alternation of searching and training on what was found, after each of ROUNDS rounds."""
    human = read_annotations(Workspace(work).annotations("i00"))
    images = EPOCHS * len(human.instances)
    trained = Round(paper(observation=observation), images, RATE, params.training.seed)
    rounds = [trained] * (ROUNDS - 1) + [replace(trained, images=0)]
    start = Start(human, last_judge(params, work), faces)
    paths = alternate(start, rounds, params, out)
    return [read_annotations(paths.annotations(f"i{number:02d}")).points for number in range(ROUNDS + 1)]


def shape_projection(human: AnnotationSet) -> Array:
    """Each human shape projected on the point distribution model of all of them: their mean and main directions."""
    points = human.points
    space = shape_space(points, SPREAD_KEPT)
    shapes = points[..., 0] + 1j * points[..., 1]
    centre, mean = shapes.mean(1, keepdims=True), space.mean - space.mean.mean()
    # The turn and size that lay each shape on the mean best, as one complex factor.
    turn = ((shapes - centre).conj() * mean).sum(1, keepdims=True) / (abs(shapes - centre) ** 2).sum(1, keepdims=True)
    apart = (shapes - centre) * turn - mean
    flat = np.concatenate([apart.real, apart.imag], 1)
    real, imaginary = np.split(flat @ space.directions.T @ space.directions, 2, axis=1)
    projected = (mean + real + 1j * imaginary) / turn + centre
    return np.stack([projected.real, projected.imag], -1)
