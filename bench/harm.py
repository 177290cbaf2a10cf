"""Does cleaning do harm?  `python -m bench.harm --work DIR` measures every case, also those that nobody should have.

A case is a dataset and a training budget: exact labels, half, default and double noise, a careful annotator; 12, 50 and
200 rendered faces; 0.02, 0.1, 0.5 and 1 of the default budget; and images or labels that are wrong in other ways.  Each
is cleaned with the defaults.  Of every iteration the bench keeps the errors and the share of points made worse by more
than 1 % of the box, found with the truth, which cleaning never sees; and the gates that are broken.

A part can be measured alone: `--case exact-200-1 --seed 11`.  The cells are docs/results/harm.jsonl, the page is
docs/results/harm.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.cells import RESULTS, Cell, Cells, parsed, parser_of, profile
from lmk.annotations import AnnotationSet, make_set
from lmk.audit.results import Audit
from lmk.clean import clean
from lmk.config import Params, default_profile, load_params
from lmk.console import Progress
from lmk.errors import LmkError
from lmk.evaluation import aligned_with
from lmk.formats.exchange import format_named, write
from lmk.formats.long_csv import read_long_csv
from lmk.ingest import ingest
from lmk.scheme import load_scheme
from lmk.store import read_annotations, write_text
from lmk.synth.backdrop import draw_backdrop
from lmk.synth.write import render_dataset

Array = NDArray[np.float64]
NOISES = {"exact": "none", "careful": "careful", "half": "half", "default": "default", "double": "double"}
FACES = (12, 50, 200)
BUDGETS = (0.02, 0.1, 0.5, 1)  # relative to the default profile's
SIZE = 128  # pixels of an image
WORSE = 1.0  # % of the box; a point that is further from the truth by more is made worse
CHANGED = 3  # one in so many images or instances is changed, where a case changes some
NOSE, CHIN = 30, 8  # in ibug68


@dataclass(frozen=True)
class Case:
    """One way of using `lmk clean`."""

    noise: str  # of the renderer
    faces: int
    budget: float = 1.0
    images: Callable[[Path, int], None] | None = None  # changes an image, given its path and number
    labels: Callable[[AnnotationSet], AnnotationSet] | None = None  # changes the human labels
    landmarks: tuple[int, ...] | None = None  # only these are labelled and known


def _grey(path: Path, number: int) -> None:
    cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 100 + number, np.uint8))


def _other_objects(path: Path, number: int) -> None:
    if number % CHANGED == 0:
        picture = draw_backdrop(10_000 + number, SIZE) ** (1 / 2.2) * 255
        cv2.imwrite(str(path), picture.clip(0, 255).round().astype(np.uint8))


def _placed(human: AnnotationSet, points: Array) -> AnnotationSet:
    return human.with_columns(x=points[..., 0], y=points[..., 1])


def _random_nose(human: AnnotationSet) -> AnnotationSet:
    points = human.points.copy()
    points[:, NOSE] = np.random.default_rng(7).uniform(0, SIZE - 1, (len(points), 2))
    return _placed(human, points)


def _no_nose(human: AnnotationSet) -> AnnotationSet:
    gone = np.zeros(human.labelled.shape, bool)
    gone[:, NOSE] = True
    return human.without(gone)


def _in_one_place(human: AnnotationSet) -> AnnotationSet:
    points = human.points.copy()
    points[0] = points[0].mean(0)
    return _placed(human, points)


CASES = {
    **{
        f"{noise}-{faces}-{budget:g}": Case(NOISES[noise], faces, budget)
        for noise in NOISES
        for faces in FACES
        for budget in BUDGETS
    },
    "grey-images": Case("default", 50, images=_grey),
    "other-objects": Case("default", 200, images=_other_objects),
    "random-landmark": Case("default", 200, labels=_random_nose),
    "landmark-never-labelled": Case("default", 200, labels=_no_nose),
    "one-landmark": Case("default", 200, landmarks=(CHIN,)),
    "two-landmarks": Case("default", 200, landmarks=(CHIN, NOSE)),
    "one-place": Case("default", 50, labels=_in_one_place),
}
CELLS = Cells("harm", ("case", "seed"), lambda _: {"profile": profile()})


def params_of(case: Case, scheme: Path | str) -> Params:
    """The default profile with the case's share of its budgets."""
    params = load_params(default_profile())
    budgets = {"training.images": params.training.images}
    budgets |= {f"refine.schedule.{name}.images": row.images for name, row in params.refine.schedule.items()}
    settings = [f"{name}={round(images * case.budget)}" for name, images in budgets.items()]
    return load_params(default_profile(), [f"data.scheme={scheme}", "data.format=csv", *settings])


def make(case: Case, seed: int, folder: Path) -> Path:
    """Draw the images, write labels.csv beside them and truth.csv apart; returns the scheme's file."""
    scheme_file = folder / "scheme.json"
    if scheme_file.is_file():
        return scheme_file
    drawn = folder / "drawn"
    if not drawn.is_dir():
        render_dataset(drawn, {"": case.faces}, seed, SIZE, case.noise, Progress("drawing faces", "faces"))
    scheme = load_scheme("ibug68")
    human = ingest(drawn / "faces", "pts", scheme, 1.25, with_images=False)
    truth = make_set(
        read_long_csv(drawn / "truth" / "truth.csv", scheme, with_images=False), scheme, {"producer": "truth"}, "truth"
    )
    if case.images is not None:
        for number, path in enumerate(sorted((drawn / "faces").glob("*.jpg"))):
            case.images(path, number)
    if case.labels is not None:
        human = case.labels(human)
    if case.landmarks is not None:
        human, truth = (_only(one, case.landmarks) for one in (human, truth))
    for path in (drawn / "faces").glob("*.pts"):
        path.unlink()
    write(format_named("csv"), human, drawn / "faces" / "labels.csv")
    write(format_named("csv"), truth, folder / "truth.csv")
    scheme_file.write_text(json.dumps(human.scheme.to_json()), encoding="utf-8")
    return scheme_file


def _only(whole: AnnotationSet, kept: tuple[int, ...]) -> AnnotationSet:
    """A set of some of the landmarks, which are on no contour and have no partner."""
    names = tuple(whole.scheme.names[k] for k in kept)
    scheme = replace(whole.scheme, name="few", names=names, contours=(), mirror=(), normalisers=())
    frame = whole.frame[whole.frame["landmark"].isin(kept)]
    place = {k: number for number, k in enumerate(kept)}
    return make_set(frame.assign(landmark=frame["landmark"].map(place)), scheme, whole.provenance, "few")


def measure(name: str, seed: int, work: Path) -> Cell:
    """Clean one dataset, and hold every iteration against the truth."""
    case, folder = CASES[name], work / f"{name}-{seed}"
    scheme_file = make(case, seed, folder)
    params = params_of(case, scheme_file)
    started = time.monotonic()
    try:
        paths = clean(folder / "drawn" / "faces" / "labels.csv", params, folder / "cleaned")
    except LmkError as refused:
        return {"refused": str(refused).replace(str(folder), "")}
    seconds = time.monotonic() - started
    human = read_annotations(paths.annotations("i00"))
    rows = read_long_csv(folder / "truth.csv", human.scheme, with_images=False)
    truth = aligned_with(make_set(rows, human.scheme, {"producer": "truth"}, "truth"), human)
    found = Audit.of(json.loads(paths.audit.read_text(encoding="utf-8")))
    steps = [read_annotations(paths.annotations(step)) for step in params.refine.chain()]
    return {
        "steps": [_held_against(step, human, truth) for step in steps],
        "broken": [gate.name for gate in found.gates or () if gate.broken],
        "seconds": round(seconds, 1),
    }


def _held_against(labels: AnnotationSet, human: AnnotationSet, truth: AnnotationSet) -> dict[str, Any]:
    """Errors and moves of one iteration in % of the box, and which share of points is worse than the human label."""
    side = human.boxes[:, 2:]
    before, after, moved = (
        100 * np.linalg.norm(one - other, axis=-1) / side
        for one, other in ((human.points, truth.points), (labels.points, truth.points), (labels.points, human.points))
    )
    known = np.isfinite(before)
    return {
        "before": round(float(before[known].mean()), 4),
        "error": round(float(after[known].mean()), 4),
        "moved": round(float(moved[known].mean()), 4),
        "worse": round(100 * float((after > before + WORSE)[known].mean()), 3),
    }


def page(cells: list[Cell]) -> str:
    """The results in words and as a table."""
    measured = [cell for cell in cells if "steps" in cell]
    worse = [cell for cell in measured if cell["steps"][-1]["error"] > cell["steps"][-1]["before"]]
    silent = [cell for cell in worse if not cell["broken"]]
    exact = [cell["steps"][-1]["moved"] for cell in measured if cell["case"].startswith("exact")]
    lines = [
        "# Does cleaning do harm?",
        "",
        f"In {len(worse)} of {len(measured)} cases labels are further from the truth after cleaning than before, in "
        f"{len(silent)} of them with all gates holding.  "
        + (f"Exact labels moved by {max(exact):.2f} % of the box at most.  " if exact else "")
        + f"{len(cells) - len(measured)} datasets were refused.",
        "",
        "By `python -m bench.harm`, which says what the cases are: noise, rendered faces, and the part of the default "
        "training budget; then data that are wrong in other ways.  Errors are mean distances from the truth in % of "
        "the box, gross errors included.  *Worse*: points that end up further from the truth by more than 1 % of the "
        "box.",
        "",
        "| case | seed | before | after each search | moved at last | worse | gates broken |",
        "|---|---|---|---|---|---|---|",
        *map(_row, sorted(cells, key=lambda cell: (list(CASES).index(cell["case"]), cell["seed"]))),
    ]
    return "\n".join(lines) + "\n"


def _row(cell: Cell) -> str:
    if "steps" not in cell:
        return f"| {cell['case']} | {cell['seed']} | refused: {cell['refused'].rpartition(': ')[2]} | | | | |"
    first, *steps = cell["steps"]
    errors = ", ".join(f"{step['error']:.2f}" for step in steps)
    last = steps[-1]
    return (
        f"| {cell['case']} | {cell['seed']} | {first['before']:.2f} | {errors} | {last['moved']:.2f} "
        f"| {last['worse']:.1f} % | {', '.join(cell['broken']) or '-'} |"
    )


def main() -> None:
    """Make what is missing, then the page."""
    parser = parser_of("harm", __doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="only this one (may be repeated)")
    options = parsed(parser)
    wanted = [(case, seed) for seed in options.seed for case in options.case or CASES]
    CELLS.fill(wanted, measure, _row, options)
    write_text(page(CELLS.current()), RESULTS / "harm.md")


if __name__ == "__main__":
    main()
