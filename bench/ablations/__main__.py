"""Run the bench, a part of it, or only write its page.

`python -m bench.ablations --work DIR` makes every cell of docs/results/ablations.jsonl that is not there yet: an
experiment, a variant, a seed.  A part can be made alone: `--experiment lambda --seed 11`.  The page is
docs/results/ablations.md.  Faces, human labels and first detectors are those of bench.downstream where DIR is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from bench.ablations import runs
from bench.ablations.numbers import AGAINST, IMAGES, UNITS
from bench.ablations.page import write_page
from bench.ablations.runs import (
    COUNT,
    NOISE,
    Setting,
    Unit,
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
from bench.alternation import PAPER, paper
from bench.cells import RESULTS, Cell, Cells, parsed, parser_of, profile
from bench.downstream import __main__ as downstream
from bench.downstream.comparison import compared
from lmk.models.corrections import OTHERWISE, Correction
from lmk.models.heatmaps import FAR
from lmk.models.shapes import ShapeCorrection
from lmk.models.store import load_model
from lmk.store import digest_of

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


def recipe(experiment: str) -> str:
    """A digest of what changes an experiment's result, in addition to the profile."""
    learnt = {labels: downstream.recipe("hourglass", labels) for labels in ("human", "refined")}
    if experiment == "correction":
        seen = [*IMAGES, *runs.COVERED, runs.COARSE, Correction.coarse, OTHERWISE]
        return digest_of(NOISE, COUNT, runs.LEARNT, seen, learnt)
    if experiment in ("lambda", "template"):
        return digest_of(NOISE, COUNT, PAPER.model_dump(), learnt["human"])
    return digest_of(NOISE, COUNT, PAPER.model_dump(), runs.ROUNDS, runs.EPOCH, runs.SLOWER, FAR)


CELLS = Cells(
    "ablations",
    ("experiment", "variant", "seed"),
    lambda key: {"profile": profile(), "recipe": recipe(key["experiment"])},
)


def make_cell(experiment: str, variant: str, seed: int, work: Path) -> Cell:
    """Run one variant and measure it."""
    here = setting(seed, work)
    out = work / "ablations" / f"{experiment}-{variant.replace(' ', '-')}-{seed}"
    updates: dict[str, Callable[[], Cell]] = {
        "baseline": lambda: alternation(here, out, refiner=runs.KEPT),
        "not updated": lambda: alternation(here, out, refiner=paper(observation="human")),
        "updated": lambda: alternation(here, out),
        "consensus": lambda: alternation(here, out, refiner=here.params.refiners["consensus"].changed(mirror=False)),
        "true": lambda: alternation(here, out, refiner=runs.KEPT, teach_truth=True),
    }
    ways: dict[str, Callable[[], Cell]] = {
        "update": lambda: updates[variant](),
        "lambda": lambda: searched(here, {"prior_weight": float(variant)}, out, work / ".work"),
        "template": lambda: searched(here, {"template": float(variant)}, out, work / ".work"),
        "stop": lambda: alternation(here, out, updates=int(variant)),
        "correction": lambda: _correction(here, variant, work),
    }
    return {"cores": torch.get_num_threads(), **ways[experiment]()}


def _correction(here: Setting, variant: str, work: Path) -> Cell:
    """A detector trained on human or on refined labels, with or without a unit that corrects it."""
    labels, unit, *how = variant.split()
    seed = here.seed
    learnt = here.paths.annotations("i00" if labels == "human" else here.params.refine.last)
    target = work / "models" / f"correction-{variant.replace(' ', '-')}-{seed}"
    if "coarsely" in how:  # a detector that has seen coarse images itself
        detector = work / "models" / f"coarsely-{labels}-{seed}"
        scratch(here, learnt, detector, work / ".work" / "coarsely", coarse=Correction.coarse)
    else:  # from scratch on either, as long, and by bench.downstream: what the paper calls HGs, and HGs + SA
        detector = work / "models" / f"{NOISE}-{COUNT}-hourglass-{labels}-{seed}"
        key = (NOISE, COUNT, "hourglass", labels, seed)
        cell = downstream.make_cell(*key, work)  # trains where it has to
        if not downstream.CELLS.up_to_date(*key):
            downstream.CELLS.keep(key, cell)
    model = load_model(detector, here.tested.scheme)
    if unit != "none" or "longer" in how:
        coarse = 0.0 if "clear" in how else Correction.coarse
        model = corrected(here, Unit(unit, detector, learnt, coarse), target, work / ".work" / " ".join(how))
    if "alike" in how and isinstance(model, ShapeCorrection):
        model = alike(model)
    found: Cell = {
        "by_images": {
            images: errors(here, model, spoilt(here, images) if images != "clean" else None) for images in IMAGES
        }
    }
    if isinstance(model, Correction):
        found["milliseconds"] = milliseconds(here, model)
    return found


def main() -> None:
    """Make what is missing, then the page."""
    parser = parser_of("ablations", __doc__)
    parser.add_argument("--experiment", choices=VARIANTS, action="append", help="only this one (may be repeated)")
    known = "; ".join(f"{name}: {', '.join(variants)}" for name, variants in VARIANTS.items())
    parser.add_argument("--variant", action="append", help=f"only this one (may be repeated); {known}")
    options = parsed(parser)
    there = {variant for experiment in options.experiment or VARIANTS for variant in VARIANTS[experiment]}
    if unknown := sorted(set(options.variant or ()) - there):
        parser.error(f"no variant {unknown[0]!r} in what is to be run; there are: {', '.join(sorted(there))}")
    wanted = [
        (experiment, variant, seed)
        for seed in options.seed
        for experiment in options.experiment or VARIANTS
        for variant in VARIANTS[experiment]
        if variant in (options.variant or there)
    ]
    CELLS.fill(wanted, make_cell, lambda cell: str(cell)[:300], options)
    other = downstream.CELLS.current()
    write_page(CELLS.current(), [row for measured in AGAINST for row in compared(other, measured)], RESULTS)


if __name__ == "__main__":
    main()
