"""What may be said to `lmk …`: commands, their arguments, and what `--help` says of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmk import __version__
from lmk.registry import FORMATS

CORRECTIONS = ("ghcu", "pca", "shaped", "upright")  # a test holds this to lmk.models.corrections


def parser() -> argparse.ArgumentParser:
    """The whole command line; `command` says which one was named."""
    top = argparse.ArgumentParser(
        prog="lmk",
        description="Find what a landmark dataset's annotators meant: train a detector on human labels, search around "
        "every label for the position that the whole dataset agrees on, train on, repeat, and show what moved.",
        epilog="Start with: lmk clean PHOTOS --format pts --scheme ibug68 --out cleaned",
    )
    top.add_argument("--version", action="version", version=f"lmk {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)

    def add(name: str, help_: str, more: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}. {more}")

    render = add(
        "render",
        "draw faces with exact landmarks and noisy human labels",
        "OUT/faces holds images with .pts labels, as an annotator would hand them over; OUT/truth/truth.csv the exact "
        "positions, for evaluation only.",
    )
    render.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    render.add_argument("--count", type=_positive, required=True, help="how many faces")
    render.add_argument("--seed", type=_natural, default=0, help="another seed, other faces (default 0)")
    render.add_argument("--size", type=_positive, default=128, help="pixels of the square images (default 128)")
    render.add_argument("--noise", default="default", help="default, annotators, none, … (default: default)")
    render.add_argument("--splits", help="put the faces into splits: train=500,val=100,test=100 (sums up to COUNT)")
    render.add_argument("--sheet", type=Path, help="also draw a contact sheet of labels against truth, as PNG")

    ingest = add(
        "ingest",
        "read images and human labels into an annotation set",
        "Every image is opened and every label checked. A set is one Parquet file: what was labelled, where, in which "
        "split, and by whom.",
    )
    _source(ingest)
    ingest.add_argument("--no-images", action="store_true", help="labels alone, for `lmk diff` and for converting")
    ingest.add_argument("-o", "--output", type=Path, required=True, metavar="SET.parquet")
    _parameters(ingest)

    clean = add(
        "clean",
        "clean a dataset from end to end",
        "Leaves OUT/annotations/i00.parquet (the human labels), i01.parquet, … (refined), OUT/models and "
        "OUT/report/index.html. Run the same command again after an interruption and it goes on.",
    )
    _source(clean)
    clean.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for the results")
    _parameters(clean)

    train = add(
        "train",
        "train a detector on an annotation set",
        "Learns from split train, watches val, never sees test; goes on after an interruption.",
    )
    train.add_argument("set", type=Path, metavar="SET.parquet")
    train.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder that image paths start from")
    train.add_argument("--start", type=Path, metavar="MODEL", help="go on from this model instead of from scratch")
    train.add_argument(
        "--correction",
        choices=CORRECTIONS,
        help="leave the detector of --start as it is (section model has no say), and train on top of it: ghcu, the "
        "paper's unit from heatmaps to points; pca, a shape model that is fitted to the heatmaps; shaped, that fit "
        "and a network that corrects it; "
        "upright, a detector that sees faces turned upright",
    )
    train.add_argument(
        "--weights", type=Path, metavar="FILE", help="how much each landmark counts, as `lmk ambiguity -o FILE` says"
    )
    train.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="folder of the model")
    _parameters(train)

    refine = add(
        "refine",
        "search better labels with a model",
        "Moves the points of split train to where label and heatmap agree (section `refiners` of the parameters), and "
        "writes them with the evidence for each.",
    )
    refine.add_argument("set", type=Path, metavar="SET.parquet")
    refine.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder of the model that judges")
    refine.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder that image paths start from")
    refine.add_argument("--human", type=Path, metavar="SET", help="the human labels (default: SET.parquet itself)")
    refine.add_argument(
        "--refiner", metavar="NAME", help="one of section `refiners` of the parameters (default: the first)"
    )
    refine.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.parquet")
    _parameters(refine)

    evaluate = add(
        "evaluate",
        "measure labels, or a model's predictions",
        "Prints errors in % of every normaliser as JSON. With --model, its predictions on a split of SET; without, the "
        "labels of split train against --truth.",
    )
    evaluate.add_argument("set", type=Path, metavar="SET.parquet")
    evaluate.add_argument("--truth", metavar="FILE", help="exact positions: long CSV or an annotation set")
    evaluate.add_argument("--model", type=Path, metavar="MODEL", help="measure the predictions of this model")
    evaluate.add_argument("--images", type=Path, metavar="DIR", help="with --model: where image paths start from")
    evaluate.add_argument(
        "--split", default="test", choices=["train", "val", "test"], help="with --model (default test)"
    )
    _parameters(evaluate)

    export = add(
        "export",
        "write a set for other people's tools",
        "The labels alone: .pts files in a new folder, or one long CSV, whose image paths start from the dataset's "
        "folder: put it there to ingest it again. Evidence and provenance stay in the Parquet file.",
    )
    export.add_argument("set", type=Path, metavar="SET.parquet", help="an annotation set, refined or not")
    export.add_argument("--format", default="pts", help=f"what to write: {', '.join(FORMATS)} (default pts)")
    export.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TARGET", help="a new folder, or a file for csv"
    )

    audit = add(
        "audit",
        "say what moved, what moved as a whole, and whether it may stay",
        "Drift of every iteration in DIR against the human labels, along and across contours; what moved together: a "
        "landmark, a contour, one split or annotator; and the gates: conditions in SQL that the last iteration must "
        "not meet. Exits with 3 when a gate is broken. docs/audit.md explains every number.",
    )
    _folder(audit)
    audit.add_argument(
        "--by", help="also the last iteration's numbers by landmark, contour, split, annotator, source, …"
    )
    audit.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="SQL",
        help="one more gate, as in 'percent > 25' or 'avg(drift) > 3'; may be repeated",
    )
    audit.add_argument("--json", action="store_true", help="for programs")
    _parameters(audit)

    query = add(
        "query",
        "ask the iterations a question in SQL",
        "Table `points` has one row for each labelled point in each iteration, `instances` one for each instance; "
        "`findings`, `decisions` and `labels` (what holds of each point) are there too. docs/audit.md has the columns. "
        "Example: lmk query DIR \"SELECT name, avg(drift) FROM points WHERE iteration = 'i01' GROUP BY name\"",
    )
    _folder(query)
    query.add_argument("question", metavar="SQL", help="one SELECT")
    query.add_argument("--json", action="store_true", help="for programs")

    for action, what, more in (
        (
            "accept",
            "accept what an iteration says of points, whatever later ones say",
            "Accepted points stay where they are now, and later iterations take them as certain.",
        ),
        (
            "revert",
            "take points back to the human label, whatever later iterations say",
            "They are the human's again, to the last bit, and later iterations take them as certain.",
        ),
    ):
        decide = add(
            action,
            what,
            f"{more} Decisions are small files in DIR/decisions, none of which is ever changed; to take one back, "
            "decide again. Columns for --where are those of `points` in docs/audit.md.",
        )
        _folder(decide)
        decide.add_argument("--where", required=True, metavar="SQL", help="which points, as in 'across > 8'")
        decide.add_argument("--iteration", metavar="iNN", help="whose values are judged (default: the last)")
        decide.add_argument("--reason", metavar="TEXT", help="kept with the decision")
        decide.add_argument("--by", metavar="NAME", help="who decides (default: who is logged in)")
        decide.add_argument("--dry-run", action="store_true", help="only say which points it would be")

    labels = add(
        "labels",
        "write the labels that hold",
        "The last iteration's, but for points that somebody has decided on with `lmk accept` or `lmk revert`.",
    )
    _folder(labels)
    labels.add_argument("-o", "--output", type=Path, required=True, metavar="SET.parquet")

    log = add("log", "list the iterations in a folder", "Parent, parameters, counts, mean and p95 drift of each.")
    _folder(log)
    log.add_argument("--json", action="store_true", help="for programs")

    review = add(
        "suspects",
        "list human points that are likely gross errors",
        "One line for each: a point at its neighbour's place, a contour that is shifted, sides that are swapped. From "
        "the last iteration in a folder; needs the refiner consensus, the default.",
    )
    _folder(review)
    review.add_argument("--json", action="store_true", help="for programs")

    loose = add(
        "ambiguity",
        "say how loosely annotators place each landmark",
        "Standard deviation of the human noise along and across the contour (to the right and down, off contours), in "
        "% of the box, with intervals; from what separates human labels and the refined ones of an iteration, and how "
        "certain those are. As JSON also "
        "sigmas for COCO's object keypoint similarity, and weights for `lmk train --weights`, less for a looser "
        "landmark.",
    )
    _folder(loose)
    loose.add_argument("--iteration", metavar="iNN", help="whose refined labels (default: the last)")
    loose.add_argument("--json", action="store_true", help="for programs")
    loose.add_argument("-o", "--output", type=Path, metavar="FILE", help="keep the JSON")

    diff = add(
        "diff",
        "compare two sets point by point",
        "Distances in pixels, and their parts along and across the contour at each point of A.",
    )
    diff.add_argument("a", type=Path, metavar="A.parquet")
    diff.add_argument("b", type=Path, metavar="B.parquet")
    diff.add_argument("--json", action="store_true", help="for programs")
    return top


def _source(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", type=Path, metavar="SRC", help="folder of images and labels, or one file of labels")
    sub.add_argument("--format", help=f"what SRC is: {', '.join(FORMATS)} (default: as the parameters say, pts)")
    sub.add_argument("--scheme", help="what the points mean: a name such as ibug68, or your own .json file")


def _folder(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "dir",
        type=_root,
        metavar="DIR",
        help="what `lmk clean` wrote, or artifacts/ of a pipeline; its folder annotations will do, too",
    )


def _parameters(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--params",
        metavar="FILE|PROFILE",
        help="parameters: a YAML file, or a profile that lmk comes with, such as 300w, the paper's (default: default)",
    )
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="SECTION.FIELD=VALUE",
        help="change one parameter, as in refiners.consensus.views=32; may be repeated",
    )


def _root(text: str) -> Path:
    """The folder that has a folder `annotations`, of either."""
    path = Path(text)
    return path.parent if path.name == "annotations" and not (path / "annotations").exists() else path


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
