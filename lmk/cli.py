"""`lmk …`: arguments to functions, nothing else.  Heavy things are imported inside the commands that need them."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lmk import __version__
from lmk.errors import DataError, LmkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lmk.annotations import AnnotationSet
    from lmk.config import Params

CORRECTIONS = ("ghcu", "pca", "shaped", "upright")  # a test holds this to lmk.models.corrections
FORMATS = ("csv", "pts")  # a test holds this to lmk.formats.READERS, which takes a second to import


_HINTS = {
    errno.ENOSPC: "; make room, or name another place",
    errno.EACCES: "; make it yours, or name another place",
    errno.EROFS: "; name a place that you may write to",
    errno.EISDIR: "; name a file",
    errno.ENOTDIR: "; a file is where a folder should be, name another place",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 the user's data, 2 the command line, 3 a gate said no."""
    parsed = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = parsed.command
    return run_cleanly(lambda: command(parsed))


def run_cleanly(work: Callable[[], None]) -> int:
    """Turn a user's mistake, or what the system refuses, into one line and an exit code."""
    try:
        work()
    except LmkError as error:
        print(f"lmk: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left, as `head` does; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UnicodeEncodeError as error:
        print(f"lmk: {error.object!r:.80}: not text in UTF-8", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lmk: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else "writing: "
        hint = _HINTS.get(error.errno or 0, "")
        print(f"lmk: {place}{error.strerror or error}{hint}; nothing was left half written", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="lmk",
        description="Find what a landmark dataset's annotators meant: train a detector on human labels, search around "
        "every label for the position that the whole dataset agrees on, train on, repeat, and show what moved.",
        epilog="Start with: lmk clean PHOTOS --format pts --scheme ibug68 --out cleaned",
    )
    top.add_argument("--version", action="version", version=f"lmk {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], None], help_: str, more: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help_,
            description=f"{help_[0].upper()}{help_[1:]}. {more}",
        )
        sub.set_defaults(command=command)
        return sub

    render = add(
        "render",
        _render,
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
        _ingest,
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
        _clean,
        "clean a dataset from end to end",
        "Leaves OUT/annotations/i00.parquet (the human labels), i01.parquet, … (refined), OUT/models and "
        "OUT/report/index.html. Run the same command again after an interruption and it goes on.",
    )
    _source(clean)
    clean.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder for the results")
    _parameters(clean)

    train = add(
        "train",
        _train,
        "train a detector on an annotation set",
        "Learns from split train, watches val, never sees test; goes on after an interruption.",
    )
    train.add_argument("set", type=Path, metavar="SET.parquet")
    train.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder that image paths start from")
    train.add_argument("--start", type=Path, metavar="MODEL", help="go on from this model instead of from scratch")
    train.add_argument(
        "--correction",
        choices=CORRECTIONS,
        help="leave the detector of --start as it is, and train on top of it: ghcu, the paper's unit from heatmaps to "
        "points; pca, a shape model that is fitted to the heatmaps; shaped, that fit and a network that corrects it; "
        "upright, a detector that sees faces turned upright",
    )
    train.add_argument(
        "--weights", type=Path, metavar="FILE", help="how much each landmark counts, as `lmk ambiguity -o FILE` says"
    )
    train.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="folder of the model")
    _parameters(train)

    refine = add(
        "refine",
        _refine,
        "search better labels with a model",
        "Moves the points of split train to where label and heatmap agree (section `alignment` of the parameters), and "
        "writes them with the evidence for each.",
    )
    refine.add_argument("set", type=Path, metavar="SET.parquet")
    refine.add_argument("--model", type=Path, required=True, metavar="MODEL", help="folder of the model that judges")
    refine.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder that image paths start from")
    refine.add_argument("--human", type=Path, metavar="SET", help="the human labels (default: SET.parquet itself)")
    refine.add_argument(
        "--refiner", default="consensus", help="consensus, align (the search of the paper), or keep: moves nothing"
    )
    refine.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.parquet")
    _parameters(refine)

    evaluate = add(
        "evaluate",
        _evaluate,
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
        _export,
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
        _audit,
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
        _query,
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
            _decide,
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
        decide.set_defaults(action=action)

    labels = add(
        "labels",
        _labels,
        "write the labels that hold",
        "The last iteration's, but for points that somebody has decided on with `lmk accept` or `lmk revert`.",
    )
    _folder(labels)
    labels.add_argument("-o", "--output", type=Path, required=True, metavar="SET.parquet")

    log = add("log", _log, "list the iterations in a folder", "Parent, parameters, counts, mean and p95 drift of each.")
    _folder(log)
    log.add_argument("--json", action="store_true", help="for programs")

    review = add(
        "suspects",
        _suspects,
        "list human points that are likely gross errors",
        "One line for each: a point at its neighbour's place, a contour that is shifted, sides that are swapped. From "
        "the last iteration in a folder; needs the refiner consensus, the default.",
    )
    _folder(review)
    review.add_argument("--json", action="store_true", help="for programs")

    loose = add(
        "ambiguity",
        _ambiguity,
        "say how loosely annotators place each landmark",
        "Standard deviation of the human noise along and across the contour, in % of the box, with intervals; from "
        "what separates human labels and the refined ones of an iteration, and how certain those are. As JSON also "
        "sigmas for COCO's object keypoint similarity, and weights for `lmk train --weights`, less for a looser "
        "landmark.",
    )
    _folder(loose)
    loose.add_argument("--iteration", metavar="iNN", help="whose refined labels (default: the last)")
    loose.add_argument("--json", action="store_true", help="for programs")
    loose.add_argument("-o", "--output", type=Path, metavar="FILE", help="keep the JSON")

    diff = add(
        "diff",
        _diff,
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
        help="change one parameter, as in alignment.prior_weight=0.05; may be repeated",
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


def _load(arguments: argparse.Namespace) -> Params:
    from lmk.config import known_profiles, load_params, profile_path

    named: str = arguments.params or "default"
    path = profile_path(named) if named in known_profiles() else Path(named)
    params = load_params(path, arguments.settings)
    if getattr(arguments, "source", None) is None:
        return params
    given = {"root": str(arguments.source), "format": arguments.format, "scheme": arguments.scheme}
    data = params.data.model_copy(update={name: value for name, value in given.items() if value is not None})
    return params.model_copy(update={"data": data})


def _render(arguments: argparse.Namespace) -> None:
    from lmk.progress import Progress
    from lmk.synth.sheet import contact_sheet
    from lmk.synth.write import render_dataset

    splits = {"": arguments.count}
    if arguments.splits:
        splits = _parse_splits(arguments.splits, arguments.count)
    progress = Progress("rendering", "faces")
    render_dataset(arguments.out, splits, arguments.seed, arguments.size, arguments.noise, progress)
    if arguments.sheet:
        contact_sheet(arguments.sheet, arguments.out, rows=3, columns=6, tile=256)
    print(f"{arguments.out}/faces: images and human labels; {arguments.out}/truth: exact positions")


def _parse_splits(text: str, count: int) -> dict[str, int]:
    from lmk.annotations import SPLITS

    try:
        splits = {name: int(number) for name, number in (part.split("=") for part in text.split(","))}
    except ValueError as cause:
        raise DataError(f"--splits {text}: write it as train=500,val=100,test=100") from cause
    if not splits.keys() <= set(SPLITS) or min(splits.values()) < 1 or sum(splits.values()) != count:
        raise DataError(f"--splits {text}: names are {', '.join(SPLITS)}, and the numbers add up to --count {count}")
    return splits


def _ingest(arguments: argparse.Namespace) -> None:
    from lmk.ingest import ingest
    from lmk.progress import Progress
    from lmk.scheme import load_scheme
    from lmk.store import write_annotations
    from lmk.validation import enforce

    params = _load(arguments)
    scheme = load_scheme(params.data.scheme)
    annotations = ingest(
        arguments.source,
        params.data.format,
        scheme,
        params.data.box_scale,
        not arguments.no_images,
        Progress("reading labels", "images"),
    )
    out: Path = arguments.output
    enforce(annotations, params.validation, name=out.stem, docs=None, rejected=out.parent / "rejected")
    write_annotations(annotations, out)
    print(f"{out}: {annotations.describe()}")


def _clean(arguments: argparse.Namespace) -> None:
    from lmk.audit.drift import format_log, log_rows
    from lmk.clean import clean

    paths = clean(arguments.source, _load(arguments), arguments.out)
    print(format_log(log_rows(paths.read_all())))
    print(f"report: {paths.report}")


def _train(arguments: argparse.Namespace) -> None:
    from lmk.config import CorrectionParams, HourglassParams
    from lmk.fitting import fit
    from lmk.models import load_model
    from lmk.store import remove

    params = _load(arguments)
    out: Path = arguments.output
    network: HourglassParams | CorrectionParams = params.model
    if arguments.correction:
        if arguments.start is None:
            raise DataError("--correction: name the detector that is corrected with --start MODEL")
        beneath = load_model(_existing(arguments.start, "model; `lmk train` makes one"), None).params
        if not isinstance(beneath, HourglassParams):
            raise DataError(f"{arguments.start}: a {beneath.kind} draws no heatmaps to correct; name a hourglass")
        if out.resolve() == arguments.start.resolve():
            raise DataError(f"{out}: is the detector that is corrected, and would be lost; name another folder")
        network = CorrectionParams(kind=arguments.correction, detector=beneath)
    unfinished = fit(
        labels=_existing(arguments.set, "annotation set"),
        images=_existing(arguments.images, "folder of images"),
        network=network,
        training=params.training,
        augmentation=params.augmentation,
        target=out,
        work=out.parent / ".work",
        title="training",
        start=_existing(arguments.start, "model; `lmk train` makes one") if arguments.start else None,
        importance=_read_weights(_existing(arguments.weights, "file of weights")) if arguments.weights else None,
    )
    remove(unfinished)
    with contextlib.suppress(OSError):  # other trainings may be unfinished beside it
        unfinished.parent.rmdir()
    print(f"{out}: trained on {arguments.set}")


def _refine(arguments: argparse.Namespace) -> None:
    from lmk.config import Iteration
    from lmk.refine.iteration import check_refined, search_labels, starts_from_human
    from lmk.store import read_annotations, write_annotations

    params = _load(arguments)
    before = read_annotations(arguments.set)
    number = int(before.table["iteration"].max())
    iteration = Iteration(prev=f"i{number:02d}", refiner=arguments.refiner, images=0, learning_rate=1.0)
    human, out = arguments.human or arguments.set, arguments.output
    refined = search_labels(
        human,
        arguments.set,
        arguments.model,
        _existing(arguments.images, "folder of images"),
        params.training,
        params.alignment,
        iteration,
        f"i{number + 1:02d}",
    )
    start = human if starts_from_human(params.alignment, iteration) else arguments.set
    rejected = out.parent / "rejected"
    check_refined(refined, start, params.alignment, params.validation, out.stem, None, rejected)
    write_annotations(refined, out)
    print(f"{out}: iteration {number + 1}; see what moved: lmk diff {arguments.set} {out}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from lmk.evaluation import aligned_with, label_table, model_tables
    from lmk.store import read_annotations
    from lmk.truth import read_truth

    params = _load(arguments)
    labels = read_annotations(arguments.set)
    truth = read_truth(arguments.truth, labels.scheme)
    if arguments.model is None:
        if truth is None:
            raise DataError("nothing to measure against: name --truth FILE, or a --model and its --images DIR")
        print(json.dumps(label_table(labels, truth, params.evaluation.failure), indent=2))
        return
    if arguments.images is None:
        raise DataError(f"--model {arguments.model}: name the folder of the images too, with --images DIR")
    chosen = labels.select(labels.in_split(arguments.split))
    if not len(chosen.instances):
        raise DataError(f"{arguments.set}: no instances in split {arguments.split}; choose another with --split")
    known = aligned_with(truth, chosen) if truth else None
    points = _predictions(arguments.model, chosen, arguments.images)
    print(json.dumps(model_tables(points, chosen, known, arguments.split, params.evaluation.failure), indent=2))


def _predictions(model: Path, chosen: AnnotationSet, images: Path) -> NDArray[np.float64]:
    from lmk.fitting import cut_crops
    from lmk.inference import predict
    from lmk.models import load_model

    network = load_model(model, chosen.scheme)
    return predict(network, chosen, cut_crops(chosen, images, network.params.input_size), mirror=False)


def _export(arguments: argparse.Namespace) -> None:
    from lmk.errors import UnknownName
    from lmk.formats import WRITERS
    from lmk.store import read_annotations

    if arguments.format not in WRITERS:
        raise UnknownName("format", arguments.format, WRITERS)
    annotations = read_annotations(arguments.set)
    WRITERS[arguments.format](annotations, arguments.output)
    print(f"{arguments.output}: {len(annotations.instances)} instances as {arguments.format}")


def _audit(arguments: argparse.Namespace) -> None:
    from lmk.audit.gates import stop_if_broken
    from lmk.audit.numbers import audited, format_audit
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    gates = {**_load(arguments).audit.gates, **{text: text for text in arguments.fail_on}}
    found, verdicts = audited(paths, list(paths.files()), gates, arguments.by)
    print(json.dumps(found, indent=2) if arguments.json else f"{format_audit(found)}\n")
    stop_if_broken(verdicts)
    if not arguments.json:
        print(f"{len(verdicts)} gates hold")


def _query(arguments: argparse.Namespace) -> None:
    from lmk.audit.sql import asking, rows_of
    from lmk.workspace import Workspace

    with asking(Workspace(arguments.dir)) as questions:
        answer = questions.ask(arguments.question)
    if arguments.json:
        print(json.dumps(rows_of(answer), indent=2, default=str))
    else:
        print(answer.to_string(index=False) if len(answer) else "no rows")


def _decide(arguments: argparse.Namespace) -> None:
    from lmk.audit.deciding import decide, format_decided
    from lmk.workspace import Workspace

    rows, file = decide(
        Workspace(arguments.dir),
        arguments.action,
        arguments.where,
        arguments.iteration,
        arguments.by,
        arguments.reason,
        arguments.dry_run,
    )
    print(format_decided(rows, arguments.action, file))


def _labels(arguments: argparse.Namespace) -> None:
    from lmk.ledger import accepted
    from lmk.store import read_annotations, write_annotations
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    last = list(paths.files().values())[-1]
    _elsewhere(arguments.output, last.parent)
    labels = accepted(read_annotations(last), paths.decisions)
    write_annotations(labels, arguments.output)
    print(f"{arguments.output}: {last.stem}, {labels.provenance['decided']} points as they were decided")


def _log(arguments: argparse.Namespace) -> None:
    from lmk.audit.drift import format_log, log_rows
    from lmk.workspace import Workspace

    rows = log_rows(Workspace(arguments.dir).read_all())
    print(json.dumps(rows, indent=2) if arguments.json else format_log(rows))


def _suspects(arguments: argparse.Namespace) -> None:
    from lmk.audit.sql import asking
    from lmk.audit.suspects import format_suspects, suspects
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    with asking(paths) as questions:
        found = suspects(questions, list(paths.files())[-1])
    print(json.dumps([one.as_json() for one in found], indent=2) if arguments.json else format_suspects(found))


def _ambiguity(arguments: argparse.Namespace) -> None:
    from lmk.audit.ambiguity import as_json, format_ambiguity, of_iteration
    from lmk.store import write_json
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    files = paths.files()
    if arguments.output:
        _elsewhere(arguments.output, next(iter(files.values())).parent)
    name = arguments.iteration or list(files)[-1]
    found = of_iteration(paths, name)
    content = as_json(found, name)
    if arguments.output:
        write_json(content, arguments.output)
    print(json.dumps(content, indent=2) if arguments.json else format_ambiguity(found))


def _read_weights(path: Path) -> dict[str, float]:
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))["weights"]
        return {str(name): float(value) for name, value in weights.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise DataError(f"{path}: no weights of landmarks in it; `lmk ambiguity DIR -o FILE` writes them") from cause


def _diff(arguments: argparse.Namespace) -> None:
    from lmk.audit.drift import compare, format_compare
    from lmk.store import read_annotations

    result = compare(read_annotations(arguments.a), read_annotations(arguments.b))
    print(json.dumps(result, indent=2) if arguments.json else format_compare(result))


def _elsewhere(output: Path, iterations: Path) -> None:
    if output.resolve().parent == iterations.resolve():
        raise DataError(f"{output}: iterations are never changed, nor is anything put beside them; name another folder")


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise DataError(f"{path}: no such {what}")
    return path
