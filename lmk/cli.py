"""`lmk …`: arguments to functions, nothing else.  Heavy things are imported inside the commands that need them."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lmk.arguments import parser
from lmk.console import run_cleanly
from lmk.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lmk.annotations import AnnotationSet
    from lmk.config import Params


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 the user's data, 2 the command line, 3 a gate said no."""
    parsed = parser().parse_args(arguments)
    return run_cleanly(lambda: COMMANDS[parsed.command](parsed))


def _load(arguments: argparse.Namespace) -> Params:
    from lmk.config import known_profiles, load_params, profile_path

    named: str = arguments.params or "default"
    path = profile_path(named) if named in known_profiles() else Path(named)
    params = load_params(path, arguments.settings)
    if getattr(arguments, "source", None) is None:
        return params
    given = {"root": str(arguments.source), "format": arguments.format, "scheme": arguments.scheme}
    data = params.data.changed(**{name: value for name, value in given.items() if value is not None})
    return params.changed(data=data)


def _render(arguments: argparse.Namespace) -> None:
    from lmk.console import Progress
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
    from lmk.console import Progress
    from lmk.ingest import ingest
    from lmk.scheme import load_scheme
    from lmk.store import write_annotations
    from lmk.validation import Place, enforce

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
    enforce(annotations, params.validation, Place(out.stem, out.parent / "rejected"))
    write_annotations(annotations, out)
    print(f"{out}: {annotations.describe()}")


def _clean(arguments: argparse.Namespace) -> None:
    from lmk.audit.log import format_log, log_rows
    from lmk.clean import clean

    paths = clean(arguments.source, _load(arguments), arguments.out)
    print(format_log(log_rows(paths)))
    print(f"report: {paths.report}")


def _train(arguments: argparse.Namespace) -> None:
    from lmk.config import HeatmapParams, NetworkParams, parse_section
    from lmk.models.store import CONFIG, load_model
    from lmk.registry import NETWORKS
    from lmk.store import remove
    from lmk.training.fit import fit
    from lmk.training.recipe import Job, Recipe

    params = _load(arguments)
    out: Path = arguments.output
    network: NetworkParams = params.model
    if arguments.correction:
        if arguments.start is None:
            raise DataError("--correction: name the detector that is corrected with --start MODEL")
        beneath = load_model(_existing(arguments.start, "model; `lmk train` makes one"), None).params
        if not isinstance(beneath, HeatmapParams):
            raise DataError(f"{arguments.start}: a {beneath.kind} draws no heatmaps to correct; name a hourglass")
        if arguments.start.resolve() in (out.resolve(), *out.resolve().parents):
            raise DataError(f"{out}: holds the detector that is corrected, or lies in it; name another folder")
        own = [setting for setting in arguments.settings if setting.startswith("model.")]
        if own and params.model != beneath:
            raise DataError(f"--set {' '.join(own)}: no say with --correction, which takes {arguments.start} as it is")
        kind = NETWORKS[arguments.correction].load().Params
        network = parse_section(kind, {"kind": arguments.correction, "detector": beneath}, "--correction")
    before = _written_at(out / CONFIG)
    importance = _read_weights(_existing(arguments.weights, "file of weights")) if arguments.weights else None
    recipe = Recipe(network, params.training, params.augmentation, importance=importance)
    job = Job(
        labels=_existing(arguments.set, "annotation set"),
        images=_existing(arguments.images, "folder of images"),
        target=out,
        work=out.parent / ".work",
        title="training",
        start=_existing(arguments.start, "model; `lmk train` makes one") if arguments.start else None,
    )
    unfinished = fit(recipe, job)
    remove(unfinished)
    remove(job.work / "crops")
    with contextlib.suppress(OSError):  # other trainings may be unfinished beside it
        unfinished.parent.rmdir()
    if before is not None and before == _written_at(out / CONFIG):
        print(f"{out}: was trained on {arguments.set} just so before; if images are others now, name another folder")
    else:
        print(f"{out}: trained on {arguments.set}")


def _refine(arguments: argparse.Namespace) -> None:
    from lmk.errors import UnknownName
    from lmk.refine.iteration import Round, held_against, search_labels
    from lmk.store import read_annotations, write_annotations
    from lmk.validation import Place, enforce

    params = _load(arguments)
    before = read_annotations(arguments.set)
    name = arguments.refiner or next(iter(params.refiners), "")
    if name not in params.refiners:
        raise UnknownName("refiner of the parameters", name, params.refiners)
    refiner, number = params.refiners[name], int(before.instances["iteration"].max())
    images = _existing(arguments.images, "folder of images")
    human, out = arguments.human or arguments.set, arguments.output
    this = Round(f"i{number + 1:02d}", f"i{number:02d}", human, arguments.set, arguments.model, images)
    refined = search_labels(this, refiner, params.alternation)
    enforce(refined, params.validation, Place(out.stem, out.parent / "rejected"), held_against(refined, refiner, this))
    write_annotations(refined, out)
    print(f"{out}: iteration {number + 1}; see what moved: lmk diff {arguments.set} {out}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from lmk.evaluation import aligned_with, measure_labels, measure_network
    from lmk.records import ALL, DETECTOR, HUMAN, Subject, label_table, model_tables
    from lmk.store import read_annotations
    from lmk.truth import read_truth

    params = _load(arguments)
    labels = read_annotations(arguments.set)
    truth = read_truth(arguments.truth, labels.scheme)
    if arguments.model is None:
        if truth is None:
            raise DataError("nothing to measure against: name --truth FILE, or a --model and its --images DIR")
        found = measure_labels(arguments.set.stem, labels, truth, params.evaluation.failure)
        print(json.dumps(label_table(found), indent=2))
        return
    if arguments.images is None:
        raise DataError(f"--model {arguments.model}: name the folder of the images too, with --images DIR")
    chosen = labels.select(labels.in_split(arguments.split))
    if not len(chosen.instances):
        raise DataError(f"{arguments.set}: no instances in split {arguments.split}; choose another with --split")
    known = aligned_with(truth, chosen) if truth else None
    points = _predictions(arguments.model, chosen, arguments.images)
    subject = Subject(DETECTOR, None, arguments.set.stem, arguments.split, HUMAN, ALL)
    found = measure_network(points, chosen, known, subject, params.evaluation.failure)
    print(json.dumps(model_tables(found), indent=2))


def _predictions(model: Path, chosen: AnnotationSet, images: Path) -> NDArray[np.float64]:
    from lmk.crops import crops_of
    from lmk.inference import predict
    from lmk.models.store import load_model

    network = load_model(model, chosen.scheme)
    return predict(network, chosen, crops_of(chosen, images, network.params.input_size), mirror=False)


def _export(arguments: argparse.Namespace) -> None:
    from lmk.formats.exchange import format_named, write
    from lmk.store import read_annotations

    form = format_named(arguments.format)
    annotations = read_annotations(arguments.set)
    for loss in write(form, annotations, arguments.output):
        print(f"{arguments.output}: {loss}", file=sys.stderr)
    print(f"{arguments.output}: {len(annotations.instances)} instances as {arguments.format}")


def _audit(arguments: argparse.Namespace) -> None:
    from lmk.audit.numbers import audited, format_audit
    from lmk.console import warn
    from lmk.history.gates import counted, stop_if_broken
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    gates = {**_load(arguments).audit.gates, **{text: text for text in arguments.fail_on}}
    found = audited(paths, list(paths.files()), gates, arguments.by)
    verdicts = found.gates or ()
    print(json.dumps(found.as_json(), indent=2) if arguments.json else f"{format_audit(found)}\n")
    for verdict in verdicts:
        if verdict.unjudged:
            warn(str(verdict))
    stop_if_broken(verdicts)
    if not arguments.json:
        print(counted(verdicts))


def _query(arguments: argparse.Namespace) -> None:
    from lmk.history.sql import asking, rows_of
    from lmk.workspace import Workspace

    with asking(Workspace(arguments.dir)) as questions:
        answer = questions.ask(arguments.question)
    if arguments.json:
        print(json.dumps(rows_of(answer), indent=2, default=str))
    else:
        print(answer.to_string(index=False) if len(answer) else "no rows")


def _decide(arguments: argparse.Namespace) -> None:
    from lmk.history.decisions import decide, format_decided
    from lmk.workspace import Workspace

    rows, file = decide(
        Workspace(arguments.dir),
        arguments.command,
        arguments.where,
        arguments.iteration,
        arguments.by,
        arguments.reason,
        arguments.dry_run,
    )
    print(format_decided(rows, arguments.command, file))


def _labels(arguments: argparse.Namespace) -> None:
    from lmk.history.ledger import accepted
    from lmk.store import read_annotations, write_annotations
    from lmk.workspace import Workspace

    paths = Workspace(arguments.dir)
    last = list(paths.files().values())[-1]
    _elsewhere(arguments.output, last.parent)
    labels = accepted(read_annotations(last), paths.decisions)
    write_annotations(labels, arguments.output)
    print(f"{arguments.output}: {last.stem}, {labels.provenance['decided']} points as they were decided")


def _log(arguments: argparse.Namespace) -> None:
    from lmk.audit.log import format_log, log_rows
    from lmk.workspace import Workspace

    rows = log_rows(Workspace(arguments.dir))
    print(json.dumps([row.as_json() for row in rows], indent=2) if arguments.json else format_log(rows))


def _suspects(arguments: argparse.Namespace) -> None:
    from lmk.history.sql import asking
    from lmk.history.suspects import format_suspects, suspects
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
        weights = dict(json.loads(path.read_text(encoding="utf-8"))["weights"])
    except (ValueError, KeyError, TypeError) as cause:
        raise DataError(f"{path}: no weights of landmarks in it; `lmk ambiguity DIR -o FILE` writes them") from cause
    for name, value in weights.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise DataError(f"{path}: the weight of {name!r} is {json.dumps(value)}; want a number")
    return {str(name): float(value) for name, value in weights.items()}


def _written_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None


def _diff(arguments: argparse.Namespace) -> None:
    from lmk.audit.drift import compare, format_compare
    from lmk.store import read_annotations

    result = compare(read_annotations(arguments.a), read_annotations(arguments.b))
    print(json.dumps(result.as_json(), indent=2) if arguments.json else format_compare(result))


def _elsewhere(output: Path, iterations: Path) -> None:
    if output.resolve().parent == iterations.resolve():
        raise DataError(f"{output}: iterations are never changed, nor is anything put beside them; name another folder")


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise DataError(f"{path}: no such {what}")
    return path


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "render": _render,
    "ingest": _ingest,
    "clean": _clean,
    "train": _train,
    "refine": _refine,
    "evaluate": _evaluate,
    "export": _export,
    "audit": _audit,
    "query": _query,
    "accept": _decide,
    "revert": _decide,
    "labels": _labels,
    "log": _log,
    "suspects": _suspects,
    "ambiguity": _ambiguity,
    "diff": _diff,
}
