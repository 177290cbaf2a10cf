"""What a cleaning will do, and what came of it, in plain words for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lmk.annotations import AnnotationSet
from lmk.audit.results import Audit
from lmk.config import Params
from lmk.history.sql import asking
from lmk.history.suspects import suspects
from lmk.provenance import Provenance
from lmk.store import read_header
from lmk.workspace import Workspace


def plan(human: AnnotationSet, params: Params, paths: Workspace) -> str:
    """What `lmk clean` is about to do."""
    faces = int(human.in_split("train").sum())
    budget = min(params.training.images, params.training.epochs * faces)
    lines = [
        f"{human.describe()}",
        f"into {paths.root}: a detector learns the human labels of split train, {budget:,} images seen",
    ]
    for name in params.refine.chain()[1:]:
        iteration = params.refine.schedule[name]
        after = (
            f"then the detector trains on, up to {iteration.images:,} images seen"
            if iteration.images
            else "no training"
        )
        lines.append(f"  {name}: labels refined by {params.refiners[iteration.refiner].kind}, {after}")
    return "\n".join(lines)


def summary(paths: Workspace, names: Sequence[str], found: Audit) -> str:
    """What moved, how far, what looks wrong, and what to do next.

    Args:
        paths: of the cleaning.
        names: of its iterations, the human labels first.
        found: the audit of them.
    """
    folder = shlex.quote(str(paths.root))
    lines = [
        f"{gate}: find out why before anything is built on these labels" for gate in found.gates or () if gate.broken
    ]
    lines += [str(gate) for gate in found.gates or () if gate.unjudged]
    if not found.iterations:
        return "\n".join([*lines, "Only the human labels are here; nothing has been refined."])
    lines += [_moved(found), *_stopped(paths, names)]
    with asking(paths, names) as questions:
        doubtful = suspects(questions, names[-1])
    points, steps = sum(len(one.landmarks) for one in doubtful), []
    if points:
        lines.append(f"{points:,} human points, in {len(doubtful):,} places, look like mistakes.")
        steps.append(f"lmk suspects {folder}  # look through them")
    steps.append(f"lmk audit {folder}  # what moved, in numbers")
    steps.append(f"lmk export {shlex.quote(str(paths.labels))} --format pts -o cleaned-pts  # take the labels")
    return "\n".join([*lines, "Next:", *(f"  {step}" for step in steps), f"Report: {paths.report}"])


def _moved(found: Audit) -> str:
    last = found.iterations[-1]
    if not last.points or last.mean is None or last.p95 is None or last.percent is None:
        return "No point was searched."
    moved = round(last.points * (1 - (last.unchanged or 0.0)))
    if not moved:
        return f"{last.points:,} points were searched, and none moved."
    return (
        f"{moved:,} of {last.points:,} searched points moved: on average {last.mean:.2f} px ({last.percent:.1f} % of "
        f"the box), 95 % of them less than {last.p95:.2f} px."
    )


def _stopped(paths: Workspace, names: Sequence[str]) -> list[str]:
    _, _, written = read_header(paths.annotations(names[-1]))
    why = Provenance.of(written).stopped
    return [f"The alternation stopped: {why}."] if why else []
