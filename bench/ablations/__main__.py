"""Run the bench, a part of it, or only write its page.

`python -m bench.ablations --work DIR` makes every cell that is not there yet: an experiment, a variant, a seed.  Each
is a small JSON file in docs/results/ablations/, so that a killed run goes on and a part can be made alone:
`--experiment lambda --seed 11`.  The page is docs/results/ablations.md.  Faces, human labels and first detectors are
those of bench.downstream where DIR is the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from bench.ablations import runs
from bench.ablations.numbers import IMAGES, UNITS
from bench.ablations.page import write_page
from bench.ablations.runs import (
    COUNT,
    NOISE,
    Setting,
    alike,
    alternation,
    corrected,
    errors,
    milliseconds,
    scratch,
    searched,
    setting,
    spoilt,
)
from bench.downstream import __main__ as downstream
from bench.downstream.__main__ import RESULTS, SEEDS
from bench.label_truth import rivals
from bench.label_truth.__main__ import profile
from lmk.models.corrections import OTHERWISE, Correction
from lmk.models.heatmaps import FAR
from lmk.models.shapes import ShapeCorrection
from lmk.models.store import load_model
from lmk.store import digest_of, write_json

WEIGHTS = (0, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0)  # Table 5; 0 is the baseline there
TEMPLATES = (1, 11, 25)  # Table 6; 19 is in Table 5, and 7 and 15 are 1 and 11 in whole pixels of our heatmaps
STOPS = (2, 4, 6, 8)  # Figure 8; 0 is the baseline, 10 the alternation itself
VARIANTS = {
    "lambda": tuple(str(weight) for weight in WEIGHTS),
    "template": tuple(str(size) for size in TEMPLATES),
    "update": ("baseline", "not updated", "updated", "consensus", "true"),
    "stop": tuple(str(rounds) for rounds in STOPS),
    "correction": tuple(f"{labels} {unit}" for labels, unit in UNITS),
}


def cell_path(experiment: str, variant: str, seed: int) -> Path:
    """Where a result is kept."""
    return RESULTS / "ablations" / f"{experiment}_{variant.replace(' ', '-')}_{seed}.json"


def valid(cell: dict[str, Any]) -> bool:
    """Whether a cell was made with this profile and these budgets."""
    return bool(cell["profile"] == profile() and cell.get("recipe") == recipe(cell["experiment"]))


def recipe(experiment: str) -> str:
    """A short name for what has a say in an experiment beside the profile."""
    learnt = {labels: downstream.recipe("hourglass", labels) for labels in ("human", "refined")}
    if experiment == "correction":
        seen = [*IMAGES, *runs.COVERED, runs.COARSE, Correction.coarse, OTHERWISE]
        return digest_of(NOISE, COUNT, runs.LEARNT, seen, learnt)
    if experiment in ("lambda", "template"):
        return digest_of(NOISE, COUNT, rivals.PAPER, learnt["human"])
    return digest_of(NOISE, COUNT, rivals.PAPER, runs.ROUNDS, runs.EPOCH, runs.SLOWER, FAR)


def make_cell(experiment: str, variant: str, seed: int, work: Path) -> dict[str, Any]:
    """Run one variant and measure it."""
    here = setting(seed, work)
    out = work / "ablations" / f"{experiment}-{variant.replace(' ', '-')}-{seed}"
    ways: dict[str, Any] = {
        "update": lambda: {
            "baseline": lambda: alternation(here, out, refiner="keep"),
            "not updated": lambda: alternation(here, out, observation="human"),
            "updated": lambda: alternation(here, out),
            "consensus": lambda: alternation(here, out, refiner="consensus"),
            "true": lambda: alternation(here, out, refiner="keep", teach_truth=True),
        }[variant](),
        "lambda": lambda: searched(here, float(variant), rivals.PAPER["template"], out, work / ".work"),
        "template": lambda: searched(here, rivals.PAPER["prior_weight"], float(variant), out, work / ".work"),
        "stop": lambda: alternation(here, out, updates=int(variant)),
        "correction": lambda: _correction(here, variant, seed, work),
    }
    cell = {"experiment": experiment, "variant": variant, "seed": seed, "profile": profile()}
    cell["recipe"] = recipe(experiment)
    return {**cell, "cores": torch.get_num_threads(), **ways[experiment]()}


def _correction(here: Setting, variant: str, seed: int, work: Path) -> dict[str, Any]:
    """A detector that learnt human labels, or one that learnt refined ones, with and without a unit on top."""
    labels, unit, *how = variant.split()
    learnt = here.paths.annotations("i00" if labels == "human" else here.params.refine.last)
    target = work / "models" / f"correction-{variant.replace(' ', '-')}-{seed}"
    if "coarsely" in how:  # a detector that has seen coarse images itself
        detector = work / "models" / f"coarsely-{labels}-{seed}"
        scratch(here, learnt, detector, work / ".work" / "coarsely", coarse=Correction.coarse)
    else:  # from scratch on either, as long, and by bench.downstream: what the paper calls HGs, and HGs + SA
        detector = work / "models" / f"{NOISE}-{COUNT}-hourglass-{labels}-{seed}"
        cell = downstream.make_cell(NOISE, COUNT, "hourglass", labels, seed, work)  # trains where it has to
        if not downstream.up_to_date(path := downstream.cell_path(NOISE, COUNT, "hourglass", labels, seed)):
            write_json(cell, path)
    model = load_model(detector, here.tested.scheme)
    if unit != "none" or "longer" in how:
        coarse = 0.0 if "clear" in how else Correction.coarse
        model = corrected(here, unit, detector, learnt, target, work / ".work" / " ".join(how), coarse)
    if "alike" in how and isinstance(model, ShapeCorrection):
        model = alike(model)
    found: dict[str, Any] = {
        "by_images": {
            images: errors(here, model, spoilt(here, images) if images != "clean" else None) for images in IMAGES
        }
    }
    if isinstance(model, Correction):
        found["milliseconds"] = milliseconds(here, model)
    return found


def main() -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for datasets and networks")
    parser.add_argument("--experiment", choices=VARIANTS, action="append", help="only this one (may be repeated)")
    known = "; ".join(f"{name}: {', '.join(variants)}" for name, variants in VARIANTS.items())
    parser.add_argument("--variant", action="append", help=f"only this one (may be repeated); {known}")
    parser.add_argument("--seed", type=int, action="append", help=f"only this one (default: {SEEDS})")
    parser.add_argument("--page", action="store_true", help="make no cells, only write the page")
    options = parser.parse_args()
    if not options.page and options.work is None:
        parser.error("name a folder for datasets and networks with --work")
    there = {variant for experiment in options.experiment or VARIANTS for variant in VARIANTS[experiment]}
    if unknown := sorted(set(options.variant or ()) - there):
        parser.error(f"no variant {unknown[0]!r} in what is to be run; there are: {', '.join(sorted(there))}")
    for seed in [] if options.page else options.seed or SEEDS:
        for experiment in options.experiment or VARIANTS:
            for variant in [one for one in VARIANTS[experiment] if one in (options.variant or VARIANTS[experiment])]:
                path = cell_path(experiment, variant, seed)
                if not (path.is_file() and valid(json.loads(path.read_text()))):
                    write_json(make_cell(experiment, variant, seed, options.work), path)
                    print(f"{path.stem}: {path.read_text()[:300]}", flush=True)
    cells = [json.loads(path.read_text()) for path in sorted((RESULTS / "ablations").glob("*.json"))]
    write_page([cell for cell in cells if valid(cell)], RESULTS)


if __name__ == "__main__":
    main()
