"""Clean a dataset from end to end, in one process; each step is what the pipeline's stage of that name does."""

from __future__ import annotations

import sys
from pathlib import Path

from lmk.annotations import AnnotationSet
from lmk.audit.numbers import audited
from lmk.config import Params
from lmk.console import Progress, warn
from lmk.errors import DataError
from lmk.evaluation import label_metrics
from lmk.history.ledger import accepted
from lmk.ingest import ingest_data
from lmk.names import Folder
from lmk.plan import about, in_words, plan, seconds, speed_of
from lmk.refine.iteration import Method, run_iteration
from lmk.report.page import write_report
from lmk.store import alone, remove, write_annotations, write_json
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from lmk.truth import read_truth
from lmk.validation import Place, enforce
from lmk.workspace import Workspace


def clean(source: Path, params: Params, out: Path) -> Workspace:
    """Read human labels, train, refine as often as the schedule says, and write the report.

    Run it again after a kill, and it goes on: a network that is there and was trained on these very labels with these
    very parameters is not trained again.
    """
    data = params.data.changed(root=str(source))
    human = ingest_data(data, Progress("reading labels", "images"))
    print(f"{source}: {human.describe()}", file=sys.stderr)
    truth = read_truth(data.truth, human.scheme)
    if truth is not None:  # now, and not after an hour of training
        label_metrics({"i00": human}, truth, params.evaluation)
    with alone(out):
        return _clean(human, data.pictures, truth, params, out)


def _clean(human: AnnotationSet, images: Folder, truth: AnnotationSet | None, params: Params, out: Path) -> Workspace:
    paths = Workspace(out)
    verdict = enforce(human, params.validation, Place("i00", paths.rejected, paths.data_docs("i00")))
    _keep(human, paths)
    write_json(verdict.as_json(), paths.verdict("i00"))
    _announce(human, images, params, paths)
    recipe = Recipe(params.model, params.training, params.augmentation)
    remove(fit(recipe, Job(paths.annotations("i00"), images, paths.model("i00"), paths.work, "baseline")))
    for name in params.refine.chain()[1:]:
        iteration = params.refine.schedule[name]
        run_iteration(name, iteration, images, Method.of(params, iteration), paths)
    paths.forget_others(params.refine)
    sets = paths.read_chain(params.refine)
    metrics = label_metrics(sets, truth, params.evaluation) if truth is not None else None
    remove(paths.metrics)
    if metrics is not None:
        write_json(metrics.as_json(), paths.metrics)
    write_annotations(accepted(sets[params.refine.last], paths.decisions), paths.labels)
    found = audited(paths, params.refine.chain(), params.audit.gates, seconds=params.audit.seconds)
    write_json(found.as_json(), paths.audit)
    for gate in found.gates or ():
        if gate.broken or gate.unjudged:
            warn(f"{gate}; `lmk audit {out}` says more")
    write_report(paths, params.refine.chain(), found, images, metrics, params.audit.seconds)
    remove(paths.crops)
    return paths


def _announce(human: AnnotationSet, images: Folder, params: Params, paths: Workspace) -> None:
    """Say what will be done, and about how long it takes."""
    planned = plan(params, human, images, paths)
    print(in_words(planned), file=sys.stderr)
    if planned.works:
        time = about(seconds(planned, speed_of(params, human, images)))
        print(f"  training and searching take at most {time} on this machine", file=sys.stderr)


def _keep(human: AnnotationSet, paths: Workspace) -> None:
    """Write the human labels; refuse a folder that holds what was made of others."""
    target = paths.annotations("i00")
    if not target.is_file():
        write_annotations(human, target)
        return
    again = paths.work / "i00.parquet"
    write_annotations(human, again)
    same = again.read_bytes() == target.read_bytes()
    remove(again)
    if not same:
        raise DataError(f"{paths.root}: holds what was made of other labels or images; name another --out")
