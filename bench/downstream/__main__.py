"""Run the bench, a part of it, or only write its page.

`python -m bench.downstream --work DIR` makes every cell of docs/results/downstream.jsonl that is not there yet: a kind
of noise, a number of faces, a network, the labels that it is trained on, a seed.  A part can be made alone: `--noise
double --count 200 --seed 11`.  The page is docs/results/downstream.md.

All networks of a row are trained from scratch with one budget; refined labels are those of `lmk clean` with its
defaults on the same faces.  Test faces are others, rendered with the same seed.  Nothing is tuned on them, except the
weight of the STAR loss.
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

import numpy as np
import torch

from bench.cells import RESULTS, Cell, Cells, parsed, parser_of, plain, profile
from bench.downstream.data import COUNTS, NOISES, TESTED, errors_of, part, read, render
from bench.downstream.page import write_page
from lmk.audit.ambiguity import of_iteration
from lmk.clean import clean
from lmk.config import NetworkParams, Params, TrainingParams, default_profile, load_params
from lmk.console import Progress
from lmk.crops import crops_of
from lmk.inference import keep_memory, predict
from lmk.kernels.heatmap import STAR_WIDTH
from lmk.models.heatmaps import FAR
from lmk.models.store import load_model
from lmk.store import digest_of, write_annotations
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from lmk.workspace import Workspace

IMAGES = 16000  # training budget in images, but at most the profile's number of epochs
MODELS = ("hourglass", "resnet", "wide")
# wide: the profile's detector with the budget of `lmk train`; more than twice the time, so for these datasets alone.
WIDE = (("default", 500), ("double", 500))
# star: a hourglass trained on human labels with the STAR loss; weighted: human labels, with the landmarks' weights that
# `lmk ambiguity` suggests.
LABELS = ("human", "true", "refined", "star", "weighted")


def asked_for(place: tuple[str, int, str, str]) -> bool:
    """Whether a cell is part of the bench: noise, faces, labels, network."""
    noise, count, labels, model = place
    if model == "wide":
        return (noise, count) in WIDE and labels in ("human", "true", "refined")
    return labels != "star" or model == "hourglass"  # the loss needs heatmaps


def recipe(model: str, labels: str) -> str:
    """A digest of a network, its budget, and how positions are decoded from its heatmaps."""
    params = load_params(default_profile(), ["data.scheme=ibug68"])
    asked = network(params, model, labels)
    return digest_of(asked.model_dump(), plain(budget(params, model)), FAR, STAR_WIDTH if labels == "star" else 0)


CELLS = Cells(
    "downstream",
    ("noise", "count", "model", "labels", "seed"),
    lambda key: {"profile": profile(), "recipe": recipe(key["model"], key["labels"])},
)


def budget(params: Params, model: str) -> TrainingParams:
    """The training of a network: the profile's, short enough to be run a few hundred times on two cores."""
    if model == "wide":
        return params.training.changed(held_out=0.0)
    rate = params.downstream.learning_rate
    return params.training.changed(images=IMAGES, learning_rate=rate, held_out=0.0)


def network(params: Params, model: str, labels: str) -> NetworkParams:
    """One of the profile's downstream models."""
    found = params.model if model == "wide" else params.downstream.models[model]
    return found.changed(loss="star") if labels == "star" else found


def make_cell(noise: str, count: int, model: str, labels: str, seed: int, work: Path) -> Cell:
    """Train one network and measure it on the faces that are kept for that."""
    params = load_params(default_profile(), ["data.scheme=ibug68"])
    scale = params.data.box_scale
    pool = render(noise, seed, work, Progress("drawing faces", "faces"))
    folder = part(pool, 0, count, work / f"{noise}-{count}-{seed}")
    tested = part(pool, max(COUNTS), TESTED, work / f"{noise}-test-{seed}")
    target = work / "models" / f"{noise}-{count}-{model}-{labels}-{seed}"
    training = budget(params, model)
    started = time.monotonic()
    importance = _weights(folder, params) if labels == "weighted" else None
    recipe = Recipe(
        network(params, model, labels), training.changed(seed=seed), params.augmentation, importance=importance
    )
    title = f"{noise} {count} {model} on {labels}"
    fit(recipe, Job(_labels(labels, folder, params), folder / "faces", target, work / ".work", title))
    seconds = time.monotonic() - started
    keep_memory()
    human, truth = read(tested, scale)
    trained = load_model(target, human.scheme)
    points = predict(trained, human, crops_of(human, tested / "faces", trained.params.input_size), mirror=False)
    return {
        "images": min(training.images, training.epochs * count),
        "seconds": round(seconds, 1),
        "cores": torch.get_num_threads(),
        "errors": {name: np.round(each, 3).tolist() for name, each in errors_of(points, human, truth).items()},
    }


def cleaned(folder: Path, params: Params) -> Workspace:
    """The output of `lmk clean` for a part, made once for all networks."""
    paths, made_with = Workspace(folder / "cleaned"), folder / "cleaned.profile"
    if not (made_with.is_file() and made_with.read_text() == profile()):
        clean(folder / "faces", params, paths.root)
        made_with.write_text(profile())
    return paths


def _weights(folder: Path, params: Params) -> dict[str, float]:
    paths = cleaned(folder, params)
    return {row.name: row.weight for row in of_iteration(paths, params.refine.last)}


def _labels(labels: str, folder: Path, params: Params) -> Path:
    """The file of the training labels; STAR and weighted landmarks use human labels."""
    if labels == "refined":
        return cleaned(folder, params).annotations(params.refine.last)
    human, truth = read(folder, params.data.box_scale)
    taught = human.moved(truth.points, 0, {}, {"producer": "truth"}) if labels == "true" else human
    target = folder / ("true.parquet" if labels == "true" else "human.parquet")
    write_annotations(taught, target)
    return target


def main() -> None:
    """Make what is missing, then the page."""
    parser = parser_of("downstream", __doc__)
    parser.add_argument("--noise", choices=NOISES, action="append", help="only this one (may be repeated)")
    parser.add_argument(
        "--count", type=int, choices=COUNTS, action="append", help="only so many faces (may be repeated)"
    )
    parser.add_argument("--model", choices=MODELS, action="append", help="only this network (may be repeated)")
    parser.add_argument("--labels", choices=LABELS, action="append", help="only these labels (may be repeated)")
    options = parsed(parser)
    wanted = [
        (noise, count, model, labels)
        for noise, count, labels, model in product(
            options.noise or NOISES, options.count or COUNTS, options.labels or LABELS, options.model or MODELS
        )
        if asked_for((noise, count, labels, model))
    ]
    if not wanted:
        parser.error("no such cells: star is for hourglass, wide for 500 faces of default or double noise")
    CELLS.fill(
        [(*place, seed) for seed in options.seed for place in wanted],
        make_cell,
        lambda cell: f"{np.nanmean(cell['errors']['truth']):.3f} % of interocular",
        options,
    )
    write_page(CELLS.current(), RESULTS)


if __name__ == "__main__":
    main()
