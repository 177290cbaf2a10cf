"""Run the bench, a part of it, or only write its page.

`python -m bench.label_truth --work DIR` makes every cell (bench, rival, seed) of docs/results/label_truth.jsonl that is
not there yet, or was made with another default profile.  A part can be made alone: `--bench A --rival ours --seed 11`.
The page is docs/results/label_truth.md.  What takes long (datasets, networks) is kept in DIR.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.cells import RESULTS, Cell, Cells, parsed, parser_of, profile
from bench.label_truth import rivals
from bench.label_truth.data import BENCHES, PHOTOGRAPHS, Bench, make, more_annotators, read_truth, with_shared_habit
from bench.label_truth.measures import calibration, damaged, label_errors, suspicion_table
from bench.label_truth.page import write_page
from lmk.annotations import AnnotationSet
from lmk.config import Params
from lmk.errors import LmkError
from lmk.evaluation import is_gross
from lmk.ingest import ingest
from lmk.scheme import load_scheme
from lmk.store import read_annotations
from lmk.workspace import Workspace

ALL = (
    "ours", "human", "2 annotators", "3 annotators", "5 annotators", "shape projection", "prediction", "paper once",
    "paper updated", "paper not updated",
)  # fmt: skip
WITH_NETWORK = ("prediction", "paper once", "paper updated", "paper not updated")  # they use that of `ours`
CELLS = Cells("label_truth", ("bench", "rival", "seed"), lambda _: {"profile": profile()})


@dataclass(frozen=True)
class Case:
    """One dataset of one seed: human labels, the truth, and the folder that all rivals work in."""

    bench: Bench
    seed: int
    folder: Path
    params: Params
    human: AnnotationSet
    truth: AnnotationSet

    @property
    def faces(self) -> Path:
        """Images and human labels."""
        return self.folder / "data" / "faces"

    @property
    def cleaned(self) -> Path:
        """What `lmk clean` makes of them."""
        return self.folder / "ours"


def case(name: str, seed: int, work: Path) -> Case:
    """Make the data where they are not there yet, and read them."""
    bench, folder = BENCHES[name], work / f"{name}-{seed}"
    make(bench, seed, folder / "data")
    params = rivals.parameters(bench.scheme())
    human = ingest(folder / "data" / "faces", "pts", load_scheme(bench.scheme()), params.data.box_scale)
    return Case(bench, seed, folder, params, human, read_truth(human, folder / "data"))


def make_cell(name: str, rival: str, seed: int, work: Path) -> Cell:
    """Measure one rival."""
    if rival in WITH_NETWORK and not CELLS.up_to_date(name, "ours", seed):
        raise LmkError(f"{name} {seed}: {rival} needs the network of ours; make that cell first")
    here = case(name, seed, work)
    resumed = rival == "ours" and (here.cleaned / "models").exists()  # after a kill the time is not known
    started = time.monotonic()
    steps = labels_of(rival, here)
    seconds = time.monotonic() - started
    human, truth, normaliser = here.human, here.truth, here.bench.normaliser
    width = human.instances["width"].to_numpy(np.float64) if here.bench.noise else human.boxes[:, 2]
    cell: Cell = {
        "errors": [label_errors(points, truth, normaliser) for points in steps],
        "damaged": damaged(steps[-1], human, truth, width),
        "seconds": None if resumed else round(seconds, 1),
        "cores": torch.get_num_threads(),
    }
    return cell | (_only_ours(here) if rival == "ours" else {})


def _only_ours(here: Case) -> Cell:
    """What is measured for our labels alone: the limit set by offsets that all annotators share, and suspicions."""
    truth = here.truth
    last = read_annotations(Workspace(here.cleaned).annotations(here.params.refine.last))
    floor = with_shared_habit(here.bench, here.human, truth, here.seed)
    suspicion = np.nan_to_num(last.column("suspicion").astype(np.float64))
    cell: Cell = {
        "shared_habit": None if floor is None else label_errors(floor, truth, here.bench.normaliser)["clean"],
        "stopped": last.provenance["stopped"],
        "calibration": calibration(suspicion, here.human, truth),
        "suspected": 100 * float((suspicion >= 0.5)[~is_gross(truth)].mean()),
    }
    if here.bench.noise and is_gross(truth).any():
        cell["suspicion"] = suspicion_table(suspicion, last.column("reason"), here.human, truth, here.bench.noise)
    return cell


def labels_of(rival: str, here: Case) -> list[Any]:
    """The labels of a rival, of every step where it has several; the last ones count."""
    faces, params, cleaned, out = here.faces, here.params, here.cleaned, here.folder / "paper"
    ways: dict[str, Callable[[], list[Any]]] = {
        "ours": lambda: rivals.ours(faces, params, cleaned),
        "human": lambda: [here.human.points],
        "shape projection": lambda: [rivals.shape_projection(here.human)],
        "prediction": lambda: [rivals.prediction(faces, params, cleaned)],
        "paper once": lambda: [rivals.paper_once(faces, params, cleaned)],
        "paper updated": lambda: rivals.alternation(faces, params, cleaned, "updated", out),
        "paper not updated": lambda: rivals.alternation(faces, params, cleaned, "human", out),
    }
    if rival in ways:
        return ways[rival]()
    return [more_annotators(here.bench, here.human, here.truth, here.seed, int(rival.split()[0]))]


def main() -> None:
    """Make what is missing, then the page."""
    parser = parser_of("label_truth", __doc__)
    parser.add_argument("--bench", choices=BENCHES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--rival", choices=ALL, action="append", help="only this one (may be repeated)")
    options = parsed(parser)
    benches = options.bench or list(BENCHES)
    if "B" in benches and not options.page and not PHOTOGRAPHS.is_dir():
        print(f"B is left out: no {PHOTOGRAPHS}", file=sys.stderr)
        benches = [name for name in benches if name != "B"]
    rivals_in_order = [rival for rival in ALL if rival in (options.rival or ALL)]  # ours first, others need its network
    wanted = [(bench, rival, seed) for seed in options.seed for bench in benches for rival in rivals_in_order]
    CELLS.fill(wanted, make_cell, lambda cell: str(cell["errors"][-1]), options)
    write_page(CELLS.current(), RESULTS)


if __name__ == "__main__":
    main()
