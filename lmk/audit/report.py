"""The report: one HTML file that shows what moved, why, and whether it helped.

It needs nothing but itself: style, drawings and pictures are in it, it runs no script, and its content security policy
forbids every request.  Numbers come from `drift`, geometry from `charts`, pictures from `crops`; the template puts them
on the page and escapes what comes from data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.audit.charts import LineChart, line_chart, shape_map
from lmk.audit.crops import PER_INSTANCE, largest_moves
from lmk.audit.drift import by_landmark, evidence_of, log_rows, paired, searched, statistics
from lmk.audit.measures import cards, measures, signed
from lmk.audit.shape import mean_shape
from lmk.audit.suspects import suspects
from lmk.store import replacing

_NOTHING = "–"  # noqa: RUF001 (a dash as wide as a digit)
_SUSPECTS = 40  # that the page lists; `lmk suspects` lists all
_MEAN_OF = 2000  # instances that the mean shape is drawn from; more do not change it


def write_report(
    sets: Mapping[str, AnnotationSet], images: Path, metrics: Mapping[str, Any], target: Path, links: Mapping[str, str]
) -> None:
    """Write the report of a cleaning.

    Args:
        sets: by the name of the iteration, human labels first.
        images: the folder that image names start from.
        metrics: what `evaluate` found; any part may be missing.
        target: the file.
        links: title to relative URL of further pages.
    """
    page = _environment().get_template("report.html.j2").render(_content(sets, images, metrics, links))
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lmk.audit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["num"] = number
    environment.filters["change"] = signed
    environment.filters["count"] = lambda value: _NOTHING if value is None else f"{value:,}"
    return environment


def number(value: float | None, digits: int = 2) -> str:
    """A number for a reader; a dash where there is none."""
    return _NOTHING if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _content(
    sets: Mapping[str, AnnotationSet], images: Path, metrics: Mapping[str, Any], links: Mapping[str, str]
) -> dict[str, Any]:
    human, last = [*sets.values()][0], [*sets.values()][-1]  # noqa: RUF015 (the pair reads better)
    measured = measures(metrics)
    content: dict[str, Any] = {
        "names": list(sets),
        "scheme": human.scheme,
        "instances": len(human.instances),
        "points": int(human.labelled.sum()),
        "links": links,
        "measures": measured,
        "log": log_rows(sets),
        "provenance": {name: json.dumps(labels.provenance, indent=2, sort_keys=True) for name, labels in sets.items()},
        "per_instance": PER_INSTANCE,
    }
    if len(sets) == 1:
        return {**content, "overall": None, "cards": cards(None, measured)}
    pairs = paired(human, last)
    counts = searched(last)[pairs.others] & np.isfinite(pairs.px)
    overall = statistics(*(np.where(counts, part, np.nan) for part in (pairs.px, pairs.along, pairs.across)))
    overall["instances"] = int(counts.any(axis=1).sum())
    overall["box"] = content["log"][-1]["percent_of_box"]
    landmarks = by_landmark(pairs, counts)
    drift = [_drift(name, sets) for name in list(sets)[1:]]
    mean = mean_shape(human.points[:: -(-len(human.points) // _MEAN_OF)])
    return {
        **content,
        "overall": overall,
        "cards": cards(overall, measured),
        "drift": drift,
        "charts": _charts(drift, measured),
        "landmarks": landmarks,
        "largest": max((row["px"]["mean"] for row in landmarks), default=0.0),
        "map": shape_map(mean, human.scheme, landmarks),
        "suspects": suspects(human, last),
        "suspects_shown": _SUSPECTS,
        **_gallery(sets, counts, images),
    }


def _drift(name: str, sets: Mapping[str, AnnotationSet]) -> dict[str, Any]:
    """How far one iteration's searched points lie from the human's and from those of the iteration before."""
    names = list(sets)
    labels, before = sets[name], names[names.index(name) - 1]
    edge = evidence_of(labels, "at_edge")
    row: dict[str, Any] = {"name": name, "before": before, "edge": None}
    if np.isfinite(edge).any():
        row["edge"] = 100 * float(np.nanmean(edge))
    for title, other in (("human", names[0]), ("step", before)):
        pairs = paired(sets[other], labels)
        counts = searched(labels)[pairs.others]
        row[title] = statistics(*(np.where(counts, part, np.nan) for part in (pairs.px, pairs.along, pairs.across)))
        row[title]["share"] = 100 * row[title]["moved"] / max(row[title]["points"], 1)
    return row


def _charts(drift: list[dict[str, Any]], measured: Mapping[str, Any]) -> list[LineChart]:
    names = [row["name"] for row in drift]
    charts = []
    top = max((row[kind]["px"]["p95"] for row in drift for kind in ("human", "step") if row[kind]["px"]), default=1.0)
    for title, kind in (("Distance to the human label, px", "human"), ("Distance to the iteration before, px", "step")):
        series = {
            what: [row[kind]["px"] and row[kind]["px"][what] for row in drift] for what in ("p95", "mean", "median")
        }
        charts.append(line_chart(title, names, series, "px", top))
    if rows := [row for row in measured["labels"] if row["nme"] is not None]:
        unit = f"% of {measured['normaliser']}"
        errors = {"error": [row["nme"] for row in rows]}
        title = f"Label error, {unit}"
        charts.append(line_chart(title, [row["name"] for row in rows], errors, unit, max(row["nme"] for row in rows)))
    return charts


def _gallery(sets: Mapping[str, AnnotationSet], counts: NDArray[np.bool_], images: Path) -> dict[str, Any]:
    """Pictures of the largest moves, or the reason why there are none."""
    if next(iter(sets.values())).instances["width"].isna().any():
        return {"pictures": [], "no_pictures": "The set was made without images, so there is nothing to show moves on."}
    pictures = largest_moves(sets, counts, images)
    return {"pictures": pictures, "no_pictures": None if pictures else "No point moved."}
