"""The commands that write, on a few faces and with networks of a second's training, and what each leaves."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmk.cli import main
from lmk.config import default_profile, load_params
from pipelines.deps import modules
from tests.conftest import SMALL, count_every_peak
from tests.faults.forks import Ended

BUSY = "another process is at work there"
THERE = "and not empty"
SET = [word for setting in [*SMALL, "training.images=32", "refine.last=i01"] for word in ("--set", setting)]
QUESTION = "SELECT iteration, name, count(*) AS n, avg(drift) AS d FROM points GROUP BY ALL ORDER BY ALL"
WHERE = ["--where", "landmark = 7", "--by", "somebody"]


def run(arguments: tuple[str, ...]) -> int:
    """Run `lmk`."""
    return main(list(arguments))


def run_stage(arguments: tuple[str, ...]) -> int:
    """Run a stage of the pipeline."""
    from pipelines.__main__ import main as pipelines

    sys.argv = ["python -m pipelines", *arguments]
    return pipelines()


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        name: of the command.
        arguments: of the command.
        needs: names of the base's files and folders, which the command finds beside it.
        made: patterns of the files that it makes; their bytes are compared with an undisturbed run's.
        before: the same arguments for other content, which the target has before; none where it must be new.
        whole: folders among them that are there as a whole, or not at all.
        program: what runs it.
        adds: whether every run adds a file, so that a second run adds a second one.
        answers: whether what it prints is what it is for.
        kinds: of trials.
        grows: one of the files, which is longer after each step.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    made: tuple[str, ...]
    before: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    program: Callable[[tuple[str, ...]], int] = run
    adds: bool = False
    answers: bool = False
    kinds: tuple[str, ...] = ("kill", "full", "read-only", "two")
    grows: str = ""

    def run(self) -> int:
        """In the folder of the case."""
        return self.program(self.arguments)

    def prepare(self) -> int:
        """The run that makes what the target holds before."""
        return self.program(self.before)

    def mistake(self, ended: Ended) -> str:
        """What it said of a mistake: its one line, or nothing where it is not one line."""
        said = [line for line in ended.err.splitlines() if line.startswith("lmk: ")]
        return said[0] if ended.code == 1 and len(said) == 1 and "Traceback" not in ended.err else ""

    def gave_way(self, ended: Ended) -> bool:
        """Whether it ended because another one was at work, or had been."""
        return any(text in self.mistake(ended) for text in (BUSY, THERE))

    def results(self, folder: Path) -> dict[str, bytes]:
        """The files that the command has made there."""
        found = [path for pattern in self.made for path in folder.glob(pattern) if path.is_file()]
        files = sorted(path for path in found if not path.name.startswith("."))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


CONSENSUS = (
    "--set", "refiners.consensus={kind: consensus, views: 4, mirror: true}",
    "--set", "refiners.align=null", "--set", "alternation.stop=false", "--set", "refine.last=i02",
    "--set", "refine.schedule={i01: {prev: i00, refiner: consensus, images: 16, learning_rate: 1.0e-3},"
    " i02: {prev: i01, refiner: consensus, images: 0, learning_rate: 1.0e-3}}",
)  # fmt: skip
RENDER = ("--count", "8", "--size", "64")
TRAIN = ("train", "labels.parquet", "--images", "faces", "-o", "out/model")
CLEANED = (
    "annotations/*", "models/*/*", "labels.parquet", "audit.json", "metrics.json", "report/index.html",
)  # fmt: skip
COMMANDS = (
    Case("render", ("render", "out/set", *RENDER, "--sheet", "out/sheet.png"), (), ("out/set/**/*", "out/*.png"),
         whole=("out/set",)),
    Case(
        "ingest", ("ingest", "faces", "--format", "pts", "-o", "out/new.parquet"), ("faces",), ("out/new.parquet",),
        ("ingest", "faces", "--format", "pts", "-o", "out/new.parquet", "--no-images"),
    ),
    Case(
        "clean", ("clean", "faces", "--scheme", "ibug68", "--out", "out", *SET), ("faces",),
        tuple(f"out/{pattern}" for pattern in CLEANED),
    ),
    Case(
        "train", (*TRAIN, *SET), ("faces", "labels.parquet"), ("out/model/*",),
        (*TRAIN, *SET, "--set", "training.seed=5", "--set", "training.images=8"), ("out/model",),
    ),
    Case(
        "refine", ("refine", "labels.parquet", "--model", "model", "--images", "faces", "-o", "out/i01.parquet", *SET),
        ("faces", "labels.parquet", "model"), ("out/i01.parquet",),
        ("ingest", "faces", "--format", "pts", "-o", "out/i01.parquet"),
    ),
    Case("export", ("export", "labels.parquet", "--format", "pts", "-o", "out/pts"), ("labels.parquet",),
         ("out/pts/**/*",), whole=("out/pts",)),
    Case(
        "export csv", ("export", "labels.parquet", "--format", "csv", "-o", "out/labels.csv"),
        ("labels.parquet", "moved"), ("out/labels.csv",),
        ("export", "moved/annotations/i01.parquet", "--format", "csv", "-o", "out/labels.csv"),
    ),
    Case("audit", ("audit", "moved", "--by", "contour", "--json", *SET), ("moved",), (), answers=True),
    Case("query", ("query", "moved", QUESTION, "--json"), ("moved",), (), answers=True),
    Case("suspects", ("suspects", "judged", "--json"), ("judged",), (), answers=True),
    Case(
        "ambiguity", ("ambiguity", "judged", "-o", "out/found.json"), ("judged",), ("out/found.json",),
        ("ambiguity", "judged", "-o", "out/found.json", "--iteration", "i01"),
    ),
    Case("revert", ("revert", "moved", *WHERE), ("moved",), ("moved/decisions/*/*.parquet",), adds=True),
    Case("accept", ("accept", "moved", *WHERE), ("moved",), ("moved/decisions/*/*.parquet",), adds=True),
    Case(
        "labels", ("labels", "moved", "-o", "out/held.parquet"), ("moved", "faces"), ("out/held.parquet",),
        ("ingest", "faces", "--format", "pts", "-o", "out/held.parquet"),
    ),
)  # fmt: skip
_PIPELINE = ("params.yaml", "data", "artifacts", "metrics.json")
STAGES = tuple(
    Case(f"stage {name}", (name,), _PIPELINE, made, program=run_stage)
    for name, made in {
        "audit": ("artifacts/audit.json",),
        "evaluate": ("metrics.json", "artifacts/plots/*"),
        "downstream": ("artifacts/downstream/*/*",),
        "report": ("artifacts/report/index.html",),
    }.items()
)


def place(case: Case, base: Path, folder: Path) -> None:
    """Lay out what a case needs in an empty folder."""
    for name in case.needs:
        if (base / name).is_dir():
            shutil.copytree(base / name, folder / name)
        else:
            shutil.copy(base / name, folder / name)
    if case.program is run_stage:  # what it makes is not there yet
        for pattern in case.made:
            for path in list(folder.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def warm() -> None:
    """Import whatever commands and stages import when they run."""
    for name in modules():
        if name.startswith(("lmk", "pipelines")) and not name.endswith("__main__"):
            importlib.import_module(name)
    load_params(default_profile(), SMALL)
    count_every_peak(pytest.MonkeyPatch())


def said_well(ended: Ended) -> bool:
    return ended.code == 0 and "Traceback" not in ended.err
