"""Predictions or labels against a reference: the numbers that people compare, as records (see lmk/records.py).

Every number is named with what it is divided by.  Points that the truth marks as gross errors of the annotator are left
out of the headline and reported apart: they are to be found, not averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet, check_same_scheme
from lmk.columns import Words
from lmk.config import EvaluationParams
from lmk.errors import DataError, UnknownName
from lmk.kernels.metrics import bounds_side, ced, group_distance, instance_errors, point_errors, summary
from lmk.records import (
    DETECTOR,
    DOWNSTREAM,
    GROSS,
    HUMAN,
    LABELS,
    MEASURED_ON,
    SOUND,
    TRUTH,
    Measure,
    Metrics,
    Subject,
)

Floats = NDArray[np.float64]
ALWAYS = ("box", "image")  # normalisers that need no scheme


def normalisers(reference: AnnotationSet) -> dict[str, Floats]:
    """All units that a set's errors can be stated in, each (N,) in pixels, NaN where an instance lacks the points.

    `box` is the square root of the area of the points' bounds, `image` the width of the image.
    """
    units = {name: group_distance(reference.points, groups) for name, groups in reference.scheme.normalisers}
    units["box"] = bounds_side(reference.points)
    units["image"] = reference.instances["width"].to_numpy(np.float64, na_value=np.nan)
    return units


def check_normaliser(name: str, known: Iterable[str], scheme: str) -> None:
    """Refuse a normaliser that the scheme does not have."""
    if name not in known:
        raise UnknownName(f"normaliser of scheme {scheme}", name, known)


def measure_points(
    points: Floats, reference: AnnotationSet, subject: Subject, failure: float, counts: NDArray[np.bool_] | None = None
) -> list[Measure]:
    """Errors under each normaliser, in % of it.

    Args:
        points: (N, K, 2), instances in the order of the reference.
        reference: where they should be.
        subject: whose points they are.
        failure: threshold in %, of the failure rate and the AUC.
        counts: (N, K) which points count; all without it.
    """
    errors = _errors(points, reference, counts)
    about = asdict(subject)
    found = [Measure(**about, normaliser=None, metric="points", value=int(np.isfinite(errors).sum()), failure=failure)]
    for name, unit in normalisers(reference).items():
        if np.isfinite(unit).any():
            for metric, value in summary(100 * instance_errors(errors, unit), failure).items():
                found.append(Measure(**about, normaliser=name, metric=metric, value=_rounded(value), failure=failure))
    return found


def _errors(points: Floats, reference: AnnotationSet, counts: NDArray[np.bool_] | None) -> Floats:
    errors = point_errors(points, reference.points)
    return errors if counts is None else np.where(counts, errors, np.nan)


def mean_error(points: Floats, reference: AnnotationSet, normaliser: str, counts: NDArray[np.bool_] | None) -> float:
    """The mean error of the points that count in % of a normaliser, to as many digits as in every table."""
    errors = 100 * instance_errors(_errors(points, reference, counts), normalisers(reference)[normaliser])
    return float(_rounded(summary(errors, 100.0)["nme"]))


def measure_labels(name: str, labels: AnnotationSet, truth: AnnotationSet, failure: float) -> list[Measure]:
    """Errors of labels against the truth on the split that is searched; gross errors of the human apart."""
    searched = labels.in_split(MEASURED_ON[LABELS])
    labels, reference = labels.select(searched), aligned_with(truth, labels).select(searched)
    gross = is_gross(reference)
    sound = Subject(LABELS, None, name, MEASURED_ON[LABELS], TRUTH, SOUND)
    found = measure_points(labels.points, reference, sound, failure, ~gross)
    if gross.any():
        found += measure_points(labels.points, reference, replace(sound, subset=GROSS), failure, gross)
    return found


def is_gross(truth: AnnotationSet) -> NDArray[np.bool_]:
    """(N, K) which human points are gross errors, as far as the truth knows."""
    gross = truth.values.get("gross")
    if not isinstance(gross, Words):
        return np.zeros(truth.shape, bool)
    return np.asarray(np.array([*(word != "" for word in gross.words), False])[gross.codes])


def aligned_with(other: AnnotationSet, like: AnnotationSet) -> AnnotationSet:
    """Put a set's instances in the order of another, and take over its image columns."""
    check_same_scheme(other.scheme, like.scheme, "truth and labels")
    keys = ["image", "instance"]
    place = pd.Series(np.arange(len(other.instances)), index=pd.MultiIndex.from_frame(other.instances[keys]))
    wanted = place.reindex(pd.MultiIndex.from_frame(like.instances[keys]))
    if wanted.isna().any():
        image, instance = wanted.index[wanted.isna().to_numpy()][0]
        raise DataError(f"the truth has no instance {instance} of {image}; it wants every instance that is labelled")
    shared = {name: like.instances[name] for name in ("split", "width", "height", "box_x", "box_y", "box_size")}
    return other.select(wanted.to_numpy(np.int64)).with_columns(**shared)


def ced_rows(name: str, points: Floats, reference: AnnotationSet, normaliser: str, failure: float) -> pd.DataFrame:
    """The CED of one model for a plot: columns model, error, share."""
    units = normalisers(reference)
    check_normaliser(normaliser, units, reference.scheme.name)
    errors = 100 * instance_errors(point_errors(points, reference.points), units[normaliser])
    thresholds = np.linspace(0, failure, 41)
    return pd.DataFrame({"model": name, "error": thresholds, "share": ced(errors, thresholds)})


def _rounded(value: Any) -> Any:
    """Six digits: what is beyond them differs between machines and makes a diff unreadable."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def label_metrics(sets: Mapping[str, AnnotationSet], truth: AnnotationSet | None, params: EvaluationParams) -> Metrics:
    """What is known of the labels of every iteration; no measures without a truth."""
    first = next(iter(sets.values()))
    check_normaliser(params.normaliser, normalisers(first), first.scheme.name)
    found: list[Measure] = []
    if truth is not None:
        for name, labels in sets.items():
            found += measure_labels(name, labels, truth, params.failure)
    return Metrics(params.normaliser, params.failure, tuple(found), networks=False)


def measure_network(
    points: Floats, human: AnnotationSet, truth: AnnotationSet | None, subject: Subject, failure: float
) -> list[Measure]:
    """Errors of predictions, (N, K, 2) for all instances, on the subject's split: against human labels and truth."""
    chosen = human.in_split(subject.split)
    if not chosen.any():
        return []
    found = measure_points(points[chosen], human.select(chosen), replace(subject, against=HUMAN), failure)
    if truth is not None:
        reference = aligned_with(truth, human).select(chosen)
        found += measure_points(points[chosen], reference, replace(subject, against=TRUTH), failure)
    return found


def format_metrics(metrics: Metrics) -> str:
    """The numbers as a table for a terminal."""
    unit = metrics.normaliser
    lines = []
    errors = {
        name: metrics.value("nme", what=LABELS, labels=name, subset=SOUND, normaliser=unit)
        for _, name in metrics.names(LABELS)
    }
    if any(error is not None for error in errors.values()):
        first = errors.get("i00")  # somebody may have left it out
        lines.append(f"labels of split train against the truth, mean error in % of {unit} (gross errors left out)")
        for name, error in errors.items():
            shown = "      -" if error is None else f"{error:7.3f}"
            change = f"  {100 * (error / first - 1):+6.1f} %" if name != "i00" and error and first else ""
            lines.append(f"  {name}{'  human' if name == 'i00' else '':9s}{shown}{change}")
    for title, what in (("detectors", DETECTOR), ("downstream models trained from scratch", DOWNSTREAM)):
        if named := metrics.names(what):
            lines.append(f"{title}, error on split test in % of {unit}")
        for model, labels in named:
            who = f"{labels:12s}" if what == DETECTOR else f"{model:12s}trained on {labels:8s} labels"
            lines.append(f"  {who}" + _against(metrics, what, model, labels))
    return "\n".join(lines)


def _against(metrics: Metrics, what: str, model: str | None, labels: str) -> str:
    about = {"what": what, "model": model, "labels": labels}
    cells = []
    for name in (TRUTH, HUMAN):
        if metrics.value("points", **about, against=name) is not None:
            error = metrics.value("nme", **about, against=name, normaliser=metrics.normaliser)
            cells.append(f"   against {name} " + ("     -" if error is None else f"{error:6.3f}"))
    return "".join(cells)
