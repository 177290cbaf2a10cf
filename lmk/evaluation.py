"""Predictions or labels against a reference: the tables of numbers that people compare.

Every number is named with what it is divided by.  Points that the truth marks as gross errors of the annotator are left
out of the headline and reported apart: they are to be found, not averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet, check_same_scheme
from lmk.columns import Words
from lmk.config import EvaluationParams
from lmk.errors import DataError, UnknownName
from lmk.kernels.metrics import bounds_side, ced, group_distance, instance_errors, point_errors, summary

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


def error_table(
    points: Floats, reference: AnnotationSet, failure: float, counts: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Errors under each normaliser, in % of it.

    Args:
        points: (N, K, 2), instances in the order of the reference.
        failure: threshold in %, of the failure rate and the AUC.
        counts: (N, K) which points count; all without it.
    """
    errors = point_errors(points, reference.points)
    if counts is not None:
        errors = np.where(counts, errors, np.nan)
    table: dict[str, Any] = {"points": int(np.isfinite(errors).sum()), "threshold": failure}
    for name, unit in normalisers(reference).items():
        if np.isfinite(unit).any():
            table[name] = _rounded(summary(100 * instance_errors(errors, unit), failure))
    return table


def label_table(labels: AnnotationSet, truth: AnnotationSet, failure: float) -> dict[str, Any]:
    """Errors of labels against the truth on the split that is searched; gross errors of the human apart."""
    searched = labels.in_split("train")
    labels, reference = labels.select(searched), aligned_with(truth, labels).select(searched)
    gross = is_gross(reference)
    table = error_table(labels.points, reference, failure, ~gross)
    return {**table, "gross": error_table(labels.points, reference, failure, gross) if gross.any() else None}


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


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six digits: what is beyond them differs between machines and makes a diff unreadable."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}


def label_metrics(
    sets: Mapping[str, AnnotationSet], truth: AnnotationSet | None, params: EvaluationParams
) -> dict[str, Any]:
    """What is known of the labels of every iteration; `labels` is empty without a truth."""
    check_normaliser(params.normaliser, normalisers(next(iter(sets.values()))), next(iter(sets.values())).scheme.name)
    return {
        "headline": {"normaliser": params.normaliser, "failure": params.failure},
        "labels": {name: label_table(labels, truth, params.failure) for name, labels in sets.items()} if truth else {},
    }


def model_tables(
    points: Floats, human: AnnotationSet, truth: AnnotationSet | None, split: str, failure: float
) -> dict[str, Any]:
    """Errors of predictions, (N, K, 2) for all instances, on one split: against the truth and against human labels."""
    chosen = human.in_split(split)
    if not chosen.any():
        return {}
    tables = {"human": error_table(points[chosen], human.select(chosen), failure)}
    if truth is not None:
        tables["truth"] = error_table(points[chosen], aligned_with(truth, human).select(chosen), failure)
    return tables


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """The numbers as a table for a terminal."""
    unit = metrics["headline"]["normaliser"]
    lines = []
    errors = {name: table.get(unit, {}).get("nme") for name, table in metrics["labels"].items()}
    if any(error is not None for error in errors.values()):
        first = errors["i00"]
        lines.append(f"labels of split train against the truth, mean error in % of {unit} (gross errors left out)")
        for name, error in errors.items():
            shown = "      -" if error is None else f"{error:7.3f}"
            change = f"  {100 * (error / first - 1):+6.1f} %" if name != "i00" and error and first else ""
            lines.append(f"  {name}{'  human' if name == 'i00' else '':9s}{shown}{change}")
    for title, kind in (("detectors", "detector"), ("downstream models trained from scratch", "downstream")):
        if rows := metrics.get(kind):
            lines.append(f"{title}, error on split test in % of {unit}")
            lines.extend(_model_lines(rows, unit) if kind == "downstream" else _detector_lines(rows, unit))
    return "\n".join(lines)


def _detector_lines(rows: Mapping[str, Any], unit: str) -> list[str]:
    return [f"  {name:12s}" + _against(tables, unit) for name, tables in rows.items()]


def _model_lines(rows: Mapping[str, Any], unit: str) -> list[str]:
    return [
        f"  {model:12s}trained on {labels:8s} labels" + _against(tables, unit)
        for model, trained in rows.items()
        for labels, tables in trained.items()
    ]


def _against(tables: Mapping[str, Any], unit: str) -> str:
    errors = {name: table.get(unit, {}).get("nme") for name, table in sorted(tables.items(), reverse=True)}
    return "".join(f"   against {name} " + ("     -" if e is None else f"{e:6.3f}") for name, e in errors.items())
