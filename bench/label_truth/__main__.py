"""Run the bench, a part of it, or only write its page.

`python -m bench.label_truth --work DIR` makes every cell (bench, rival, seed) that is not there yet; each is a small
JSON file in docs/results/label_truth/, so that a killed run goes on and a part can be made alone:
`--bench A --rival ours --seed 11`.  A cell that was made with another default profile is made again.  The page is
docs/results/label_truth.md.  What takes long (datasets, networks) is kept in DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.label_truth import rivals
from bench.label_truth.data import BENCHES, PHOTOGRAPHS, Bench, make, more_annotators, read_truth, with_shared_habit
from bench.label_truth.measures import damaged, label_errors, suspicion_table
from bench.label_truth.page import write_page
from lmk.annotations import AnnotationSet
from lmk.config import default_profile, load_params
from lmk.errors import LmkError
from lmk.evaluation import is_gross
from lmk.ingest import ingest
from lmk.scheme import load_scheme
from lmk.store import digest_of, read_annotations, write_json
from lmk.workspace import Workspace

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SEEDS = (11, 12, 13)
ALL = (
    "ours", "human", "2 annotators", "3 annotators", "5 annotators", "shape projection", "prediction", "paper once",
    "paper updated", "paper not updated",
)  # fmt: skip


def cell_path(bench: str, rival: str, seed: int) -> Path:
    """Where a result is kept."""
    return RESULTS / "label_truth" / f"{bench}_{rival.replace(' ', '-')}_{seed}.json"


def profile() -> str:
    """A short name for what of the default profile has a say in labels."""
    params = load_params(default_profile())
    sections = ("model", "training", "augmentation", "alignment", "refine")
    return digest_of(params.data.box_scale, {name: getattr(params, name).model_dump() for name in sections})


def up_to_date(path: Path) -> bool:
    """Whether a cell is there and was made with this profile."""
    return path.is_file() and json.loads(path.read_text())["profile"] == profile()


def make_cell(name: str, rival: str, seed: int, work: Path) -> dict[str, Any]:
    """Measure one rival."""
    bench = BENCHES[name]
    folder = work / f"{name}-{seed}"
    make(bench, seed, folder / "data")
    faces, cleaned = folder / "data" / "faces", folder / "ours"
    params = rivals.parameters(bench.scheme())
    human = ingest(faces, "pts", load_scheme(bench.scheme()), params.data.box_scale)
    truth = read_truth(human, folder / "data")
    if (
        rival not in ("ours", "human", "shape projection")
        and "annotators" not in rival
        and not up_to_date(cell_path(name, "ours", seed))
    ):
        raise LmkError(f"{name} {seed}: {rival} needs the network of ours; make that cell first")  # fmt: skip
    gone_on = rival == "ours" and (cleaned / "models").exists()  # after a kill: then nobody knows how long it takes
    started = time.monotonic()
    steps = labels_of(rival, bench, seed, faces, cleaned, folder, params, human, truth)
    seconds = time.monotonic() - started
    width = human.instances["width"].to_numpy(np.float64) if bench.noise else human.boxes[:, 2]
    cell: dict[str, Any] = {
        "bench": name,
        "rival": rival,
        "seed": seed,
        "profile": profile(),
        "errors": [label_errors(points, truth, bench.normaliser) for points in steps],
        "damaged": damaged(steps[-1], human, truth, width),
        "seconds": None if gone_on else round(seconds, 1),
        "cores": torch.get_num_threads(),
    }
    if rival == "ours":
        last = read_annotations(Workspace(cleaned).annotations(params.refine.last))
        floor = with_shared_habit(bench, human, truth, seed)
        cell["shared_habit"] = None if floor is None else label_errors(floor, truth, bench.normaliser)["clean"]
        cell["stopped"] = last.provenance["stopped"]
        suspicion = np.nan_to_num(last.column("suspicion").astype(np.float64))
        cell["suspected"] = 100 * float((suspicion >= 0.5)[~is_gross(truth)].mean())
        if bench.noise and is_gross(truth).any():
            cell["suspicion"] = suspicion_table(suspicion, last.column("reason"), human, truth, bench.noise)
    return cell


def labels_of(
    rival: str,
    bench: Bench,
    seed: int,
    faces: Path,
    cleaned: Path,
    folder: Path,
    params: Any,
    human: AnnotationSet,
    truth: AnnotationSet,
) -> list[Any]:
    """The labels of a rival, of every step where it has several; the last ones count."""
    ways: dict[str, Callable[[], list[Any]]] = {
        "ours": lambda: rivals.ours(faces, params, cleaned),
        "human": lambda: [human.points],
        "shape projection": lambda: [rivals.shape_projection(human)],
        "prediction": lambda: [rivals.prediction(faces, params, cleaned)],
        "paper once": lambda: [rivals.paper_once(faces, params, cleaned)],
        "paper updated": lambda: rivals.alternation(faces, params, cleaned, "updated", folder / "paper"),
        "paper not updated": lambda: rivals.alternation(faces, params, cleaned, "human", folder / "paper"),
    }
    if rival in ways:
        return ways[rival]()
    return [more_annotators(bench, human, truth, seed, int(rival.split()[0]))]


def main() -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.label_truth", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for datasets and networks")
    parser.add_argument("--bench", choices=BENCHES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--rival", choices=ALL, action="append", help="only this one (may be repeated)")
    parser.add_argument("--seed", type=int, action="append", help=f"only this one (default: {SEEDS})")
    parser.add_argument("--again", action="store_true", help="make cells again that are there")
    parser.add_argument("--page", action="store_true", help="make no cells, only write the page")
    options = parser.parse_args()
    if not options.page and options.work is None:
        parser.error("name a folder for datasets and networks with --work")
    for seed in [] if options.page else options.seed or SEEDS:
        for bench in options.bench or BENCHES:
            if bench == "B" and not PHOTOGRAPHS.is_dir():
                print(f"B is left out: no {PHOTOGRAPHS}", file=sys.stderr)
                continue
            for rival in [one for one in ALL if one in (options.rival or ALL)]:
                path = cell_path(bench, rival, seed)
                if options.again or not up_to_date(path):
                    write_json(make_cell(bench, rival, seed, options.work), path)
                    print(f"{bench} {rival} {seed}: {json.loads(path.read_text())['errors'][-1]}", flush=True)
    cells = [json.loads(path.read_text()) for path in sorted((RESULTS / "label_truth").glob("*.json"))]
    write_page([cell for cell in cells if cell["profile"] == profile()], RESULTS)


if __name__ == "__main__":
    main()
