"""Commands that clean a dataset, at once or step by step: clean, train, refine, evaluate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmk.cli.options import (
    PATH,
    a_set,
    command,
    completes,
    existing,
    images,
    load,
    output,
    parameters,
    source,
    spelt,
)
from lmk.errors import DataError
from lmk.registry import NETWORKS, REFINERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lmk.annotations import AnnotationSet
    from lmk.names import Folder

CORRECTIONS = [name for name, network in NETWORKS.items() if network.corrects]
A_MODEL = "model; `lmk train` makes one"


@command(
    leaves="Leaves OUT/annotations/i00.parquet (the human labels), i01.parquet, … (refined), OUT/labels.parquet (those "
    "to use), OUT/models and OUT/report/index.html.",
    examples=[
        "clean PHOTOS --out cleaned",
        "clean labels.json --images PHOTOS --out cleaned --set training.images=8000",
    ],
)
@source
@click.option("--out", type=PATH, required=True, metavar="OUT", help="Folder for the results.")
@parameters
def clean(
    source: Path,
    form: str | None,
    scheme: str | None,
    pictures: Path | None,
    origin: str | None,
    out: Path,
    profile: str | None,
    settings: Sequence[str],
) -> None:
    """Clean a dataset from end to end.

    Says what it will do and about how long it takes; in the end, what moved and what to do next. Run the same command
    again after an interruption and it goes on.
    """
    from lmk.audit.log import format_log, log_rows
    from lmk.audit.results import read_audit
    from lmk.clean import clean
    from lmk.report.summary import in_words, summarise

    params = load(profile, settings, root=source, format=form, scheme=scheme, images=pictures, origin=origin)
    paths, names = clean(source, params, out), params.refine.chain()
    found = read_audit(paths.audit)
    print(format_log(log_rows(paths, names)), end="\n\n")
    print(in_words(summarise(paths, names, found)))


@command(
    leaves="Leaves the folder MODEL: weights, parameters and the training's curve. Nothing is done where that very "
    "network is there.",
    examples=[
        "train cleaned/annotations/i01.parquet --images PHOTOS -o detector",
        "train cleaned/labels.parquet --images PHOTOS --start detector --correction ghcu -o corrected",
    ],
)
@a_set(what="An annotation set made with images.")
@images
@click.option("--start", type=PATH, metavar="MODEL", help="Go on from this model instead of from scratch.")
@click.option(
    "--correction",
    type=click.Choice(CORRECTIONS),
    help="Leave the detector of --start as it is (section model has no say), and train on top of it "
    f"({spelt(NETWORKS, CORRECTIONS)}).",
)
@click.option(
    "--weights", type=PATH, metavar="FILE", help="How much each landmark counts, as `lmk ambiguity -o FILE` says."
)
@output("MODEL", "Folder of the model.")
@parameters
def train(
    labels: Path,
    images: Path,
    start: Path | None,
    correction: str | None,
    weights: Path | None,
    output: Path,
    profile: str | None,
    settings: Sequence[str],
) -> None:
    """Train a detector on an annotation set.

    Learns from split train, watches val, never sees test; goes on after an interruption.
    """
    from lmk.names import Folder
    from lmk.store import making
    from lmk.training import starting
    from lmk.training.fit import fit
    from lmk.training.recipe import Job, Recipe

    params = load(profile, settings)
    begin = existing(start, A_MODEL) if start else None
    network = starting.correction(correction, begin, output, params.model, settings) if correction else params.model
    known = existing(labels, "annotation set")
    folder = Folder(existing(images, "folder of images"), params.data.links)
    importance = starting.read_weights(existing(weights, "file of weights")) if weights else None

    recipe = Recipe(network, params.training, params.augmentation, importance=importance)
    job = Job(known, folder, output, output.parent / ".work", "training", begin)

    with making(output):
        done = starting.train_once(job, lambda: fit(recipe, job))
    if done:
        print(f"{output}: trained on {labels}")
    else:
        print(f"{output}: was trained on {labels} just so before; if images are others now, name another folder")


@command(
    leaves="Leaves OUT.parquet, the next iteration, with the evidence for each point. A set that is refused lies "
    "beside it, in the folder rejected.",
    examples=["refine labels.parquet --model detector --images PHOTOS -o refined.parquet"],
)
@a_set(what="The set whose points are moved.")
@click.option("--model", type=PATH, required=True, metavar="MODEL", help="Folder of the model that judges.")
@images
@click.option("--human", type=PATH, metavar="SET", help="The human labels. Default: SET.parquet itself.")
@click.option(
    "--refiner",
    metavar="NAME",
    shell_complete=completes(REFINERS),
    help=f"A name in section `refiners`, whose kind is {spelt(REFINERS)}. Default: the first of them.",
)
@output("OUT.parquet", "The new annotation set.")
@parameters
def refine(
    labels: Path,
    model: Path,
    images: Path,
    human: Path | None,
    refiner: str | None,
    output: Path,
    profile: str | None,
    settings: Sequence[str],
) -> None:
    """Search better labels with a model.

    Moves the points of split train to where label and heatmap agree (section `refiners` of the parameters).
    """
    from lmk.names import Folder
    from lmk.refine.single import Files, refine_once
    from lmk.store import making

    params = load(profile, settings)
    folder = Folder(existing(images, "folder of images"), params.data.links)
    files = Files(labels, human or labels, model, folder, output)
    with making(output):
        number = refine_once(files, refiner, params)
    print(f"{output}: iteration {number}; see what moved: lmk diff {labels} {output}")


@command(
    leaves="Leaves everything as it is; prints errors in % of every normaliser as JSON.",
    examples=[
        "evaluate cleaned/annotations/i01.parquet --truth truth.csv",
        "evaluate cleaned/annotations/i00.parquet --model cleaned/models/i01 --images PHOTOS",
    ],
)
@a_set(what="The labels, or the human labels that predictions are held against.")
@click.option("--truth", metavar="FILE", help="Exact positions: long CSV or an annotation set.")
@click.option("--model", type=PATH, metavar="MODEL", help="Measure the predictions of this model.")
@click.option("--images", type=PATH, metavar="DIR", help="With --model: where image paths start from.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    help="With --model: whose images. Default: test.",
)
@click.option(
    "--protocol",
    metavar="NAME",
    help="With --model: SET is this benchmark (300w, 300w-private); prints the model among published numbers.",
)
@parameters
def evaluate(
    labels: Path,
    truth: str | None,
    model: Path | None,
    images: Path | None,
    split: str,
    protocol: str | None,
    profile: str | None,
    settings: Sequence[str],
) -> None:
    """Measure labels, or a model's predictions.

    With --model, its predictions on a split of SET; without, the labels of split train against --truth.
    """
    from lmk.evaluation import aligned_with, measure_labels, measure_network
    from lmk.names import Folder
    from lmk.records import ALL, DETECTOR, HUMAN, Subject, label_table, model_tables
    from lmk.store import read_annotations
    from lmk.truth import read_truth

    params = load(profile, settings)
    known = read_annotations(labels)
    exact = read_truth(truth, known.scheme)
    if model is None:
        if exact is None:
            raise DataError("nothing to measure against: name --truth FILE, or a --model and its --images DIR")
        print(json.dumps(label_table(measure_labels(labels.stem, known, exact, params.evaluation.failure)), indent=2))
        return
    if images is None:
        raise DataError(f"--model {model}: name the folder of the images too, with --images DIR")
    if protocol is not None:
        print(_among_published(protocol, known, model, Folder(images, params.data.links), params.evaluation.failure))
        return
    chosen = known.select(known.in_split(split))
    if not len(chosen.instances):
        raise DataError(f"{labels}: no instances in split {split}; choose another with --split")
    aligned = aligned_with(exact, chosen) if exact else None
    points = _predictions(model, chosen, Folder(images, params.data.links))
    subject = Subject(DETECTOR, None, labels.stem, split, HUMAN, ALL)
    print(
        json.dumps(model_tables(measure_network(points, chosen, aligned, subject, params.evaluation.failure)), indent=2)
    )


def _among_published(protocol: str, known: AnnotationSet, model: Path, images: Folder, failure: float) -> str:
    """A model's errors on the test faces of a benchmark, in the tables of what has been published."""
    from lmk.protocols.board import boards, in_words
    from lmk.protocols.layout import arranged, errors_of, protocol_named

    benchmark = protocol_named(protocol)
    faces, said = arranged(benchmark, known)
    tested = faces.select(faces.in_split("test"))
    if not len(tested.instances):
        raise DataError(f"{protocol}: none of its test faces is in the set")
    errors = errors_of(benchmark, _predictions(model, tested, images), tested, failure)
    lines = [f"{where}: {value:.2f} % of {unit}" for (_, unit, where), value in errors.items()]
    tables = [in_words(boards(benchmark.board, errors))] if benchmark.board else []
    return "\n".join([*said, *lines, *([""] if tables else []), *tables])


def _predictions(model: Path, chosen: AnnotationSet, images: Folder) -> NDArray[np.float64]:
    from lmk.crops import crops_of
    from lmk.inference import predict
    from lmk.models.store import load_model

    network = load_model(model, chosen.scheme)
    return predict(network, chosen, crops_of(chosen, images, network.params.input_size), mirror=False)


@command(
    leaves="Leaves PICTURE, if one is named: the first table, by year, as SVG or PNG.",
    examples=["leaderboard 300w", "leaderboard wflw -o wflw.svg"],
)
@click.argument("protocol", metavar="NAME", help="The benchmark: 300w, 300vw, aflw19, cofw29, wflw.")
@output("PICTURE", "Draw the first table, too.", required=False)
def leaderboard(protocol: str, output: Path | None) -> None:
    """Print what has been published on a benchmark.

    A table for each metric and normaliser, the best at the bottom, doubtful numbers marked.
    """
    from lmk.protocols.board import boards, draw, in_words
    from lmk.store import making

    found = boards(protocol)
    print(in_words(found))
    if output:
        with making(output):
            draw(found[0], output)


COMMANDS = (clean, train, refine, evaluate, leaderboard)
