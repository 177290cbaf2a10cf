"""What the cases need, made once: faces, sets, networks, folders that were cleaned, pipelines.

Whatever computes is done in a fork: this process has to go on forking, and threads that compute do not survive that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lmk.config import load_params
from lmk.store import read_annotations, write_annotations
from lmk.workspace import Workspace
from tests.conftest import ROOT, SMALL, copy_pipeline
from tests.faults.cases import CONSENSUS, SET, run, run_stage
from tests.faults.forks import start
from tests.flows.projects import STAGES, environment

# What a thing is made from.
AFTER = {
    "faces": ("set",),
    "data": ("set",),
    "labels.parquet": ("faces",),
    "model": ("labels.parquet",),
    "moved": ("labels.parquet",),
    "judged": ("faces",),
    "artifacts": ("data", "params.yaml"),
    "metrics.json": ("artifacts",),
    "project": ("data", "params.yaml"),
}
RUNS: dict[str, tuple[str, ...]] = {
    "set": ("render", "set", "--count", "20", "--size", "64", "--splits", "train=12,val=4,test=4"),
    "labels.parquet": ("ingest", "faces", "--format", "pts", "-o", "labels.parquet"),
    "model": ("train", "labels.parquet", "--images", "faces", "-o", "model", *SET),
    "judged": ("clean", "faces", "--out", "judged", *SET, *CONSENSUS),
}
IN_ORDER = ("ingest", "validate", "baseline", "refine i01", "audit", "labels", "downstream", "evaluate", "report")


def make_base(base: Path, names: Iterable[str]) -> None:
    """Make what has these names, and what that is made from."""
    base.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (base / name).exists():
            make_base(base, AFTER.get(name, ()))
            _make(base, name)


def _make(base: Path, name: str) -> None:
    if name in RUNS:
        _do(base, name, partial(run, RUNS[name]))
        shutil.rmtree(base / name / ".work", ignore_errors=True)
    elif name == "moved":
        _do(base, name, partial(_move, base))
    elif name == "faces":
        shutil.copytree(base / "set" / "faces", base / "faces")
    elif name == "data":
        shutil.copytree(base / "set", base / "data")
    elif name == "params.yaml":
        params = load_params(ROOT / "params.yaml", [*SMALL, "training.images=32", "refine.last=i01"]).model_dump()
        params["refine"]["schedule"].pop("i02")
        (base / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    elif name == "artifacts":
        for stage in IN_ORDER:
            _do(base, stage, partial(run_stage, tuple(stage.split())))
        shutil.rmtree(base / "artifacts" / ".work")
    elif name == "project":
        _project(base)
    elif name == "repo":
        _repo(base)


def _move(base: Path) -> int:
    """A folder as `lmk clean` leaves it, of two iterations, the second as if something had been refined."""
    human = read_annotations(base / "labels.parquet")
    moved = human.points + np.random.default_rng(0).normal(0, 1, human.points.shape)
    for number, points in enumerate((human.points, moved)):
        labels = human.moved(points, number, {}, human.provenance)
        write_annotations(labels, Workspace(base / "moved").annotations(f"i{number:02d}"))
    return 0


def _do(base: Path, name: str, work: Callable[[], Any]) -> None:
    ended = start(work, base, base / ".log").wait()
    if ended.code:
        raise RuntimeError(f"{name} of the base: {ended.err}{ended.out}")


def _project(base: Path) -> None:
    """A small copy of the pipeline, nothing of which has run."""
    project = base / "project"
    copy_pipeline(project, base / "data", (base / "params.yaml").read_text())
    _dvc(project)
    shutil.copytree(ROOT / ".dvc" / "plots", project / ".dvc" / "plots")


def _repo(base: Path) -> None:
    """A project whose stages are `cat`, in which nothing has run."""
    repo = base / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "data" / "a").write_text("1\n")
    (repo / "data.dvc").write_text("outs:\n- path: data\n  cache: false\n")
    (repo / "params.yaml").write_text("schedule:\n  i01: {prev: i00}\n  i02: {prev: i01}\n")
    (repo / "dvc.yaml").write_text(STAGES)
    (repo / "report.py").write_text("import shutil\nopen('metrics.json', 'w').write('{\"error\": 1.625}')\n")
    _dvc(repo)


def _dvc(project: Path) -> None:
    for command in (
        ["git", "init", "-q"],
        ["-m", "dvc", "init", "-q"],
        ["-m", "dvc", "commit", "-q", "-f", "data.dvc"],
    ):
        program = [] if command[0] == "git" else [sys.executable]
        subprocess.run([*program, *command], cwd=project, env=environment(project.parent), check=True)
