"""The report: one HTML file that shows what moved, why, and whether it may stay.

It needs nothing but itself: style, charts, pictures and scripts are in it.  Its content security policy forbids every
request, and every script but its own two.  Numbers come from `numbers`, charts from `charts`, pictures from `gallery`;
the template puts them on the page and escapes what comes from data.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from lmk.audit.numbers import by_part, sentence
from lmk.audit.results import Audit, Numbers
from lmk.history.gates import points_of
from lmk.history.sql import SECONDS, Questions, asking
from lmk.history.suspects import Suspect, suspects
from lmk.names import AnyFolder
from lmk.provenance import Provenance
from lmk.records import Metrics
from lmk.report.charts import charts
from lmk.report.gallery import gallery, rule
from lmk.report.measures import cards, measures, signed
from lmk.report.summary import JUDGE, WEAK
from lmk.scheme import LandmarkScheme
from lmk.store import making, read_header, write_text
from lmk.workspace import Workspace

_NOTHING = "–"  # noqa: RUF001 (a dash as wide as a digit)
_SUSPECTS = 40  # that the page lists; `lmk suspects` lists all
_FINDINGS = 12  # the same
_EDGE = 0.2  # part of the points at the edge of their windows from which these look too small


def write_report(
    paths: Workspace,
    names: Sequence[str],
    found: Audit,
    images: AnyFolder,
    metrics: Metrics | None,
    seconds: float = SECONDS,
) -> None:
    """Write the report of a cleaning.

    Args:
        paths: where its iterations are, and where it goes.
        names: of the iterations, the human labels first.
        found: what the audit found.
        images: the folder that image names start from.
        metrics: what was measured, if anything was.
        seconds: that a gate may take when it is asked for its points.
    """
    with making(paths.report):
        headers = {name: read_header(paths.annotations(name)) for name in names}
        _, scheme, _ = headers[names[0]]
        provenance = {name: Provenance.of(header[2]) for name, header in headers.items()}
        with asking(paths, names, seconds) as questions:
            content = _content(questions, scheme, names, found, images, metrics)
        content |= {
            "folder": str(paths.root),
            "log": [_made(name, known) for name, known in provenance.items()],
            "links": paths.data_docs_links(names),
            "next": _advice(content, found, provenance[names[-1]], str(paths.root)),
        }
        page = _environment().get_template("report.html.j2").render(content)
        write_text(page, paths.report)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lmk.report", "."),
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
    questions: Questions,
    scheme: LandmarkScheme,
    names: Sequence[str],
    found: Audit,
    images: AnyFolder,
    metrics: Metrics | None,
) -> dict[str, Any]:
    measured = measures(metrics)
    last = names[-1]
    [(instances, points)] = questions.rows(
        "SELECT count(*), sum(points)::BIGINT FROM instances WHERE iteration = 'i00'"
    )
    overall = found.iterations[-1] if found.iterations else None
    errors = measured.errors
    drawn = charts(questions, scheme, found.iterations, errors if len(errors) > 1 else [])
    shown, reason = _gallery(questions, scheme, names, found, images)
    scripts = _scripts(bool(drawn))
    return {
        "names": names,
        "scheme": scheme,
        "instances": instances,
        "points": points,
        "measures": measured,
        "overall": overall,
        "cards": cards(overall, measured),
        "iterations": found.iterations,
        "windows": any(row.at_edge is not None for row in found.iterations),
        "shapes": found.shapes,
        "findings": [sentence(finding) for finding in found.findings[:_FINDINGS]],
        "all_findings": len(found.findings),
        "gates": found.gates or (),
        "landmarks": by_part(questions, last, "landmark") if overall else [],
        "suspects": suspects(questions, last),
        "suspects_shown": _SUSPECTS,
        "drawn": list(drawn),
        "gallery": shown,
        "no_gallery": reason,
        "rule": rule(shown["total"], len(shown["items"])),
        "scripts": scripts,
        "policy": " ".join(_digest(script) for script in scripts),
        "data": {"charts": _json(drawn), "gallery": _json(shown)},
    }


def _gallery(
    questions: Questions, scheme: LandmarkScheme, names: Sequence[str], found: Audit, images: AnyFolder
) -> tuple[dict[str, Any], str | None]:
    """What to look at, or the reason why there is nothing."""
    nothing: dict[str, Any] = {"total": 0, "items": []}
    if len(names) == 1:
        return nothing, "There is only one set of labels, so nothing has moved yet."
    [(made,)] = questions.rows("SELECT bool_and(has_image) FROM instances")
    if not made:
        return nothing, "The set was made without images, so there is nothing to show moves on."
    gates: dict[str, NDArray[Any]] = {
        gate.name: points_of(questions, gate.condition, names[-1]) for gate in found.gates or () if gate.points
    }
    shown = gallery(questions, scheme, names, gates, images)
    return (shown, None) if shown["items"] else (nothing, "No point moved.")


def _scripts(drawn: bool) -> list[Markup]:
    """The library that draws charts, where there are any, and ours."""
    own = resources.files("lmk.report").joinpath("report.js").read_text(encoding="utf-8")
    library = [vl_convert.javascript_bundle()] if drawn else []  # type: ignore[call-arg]  # its stub asks for what has a default
    return [Markup(script.replace("</script", "<\\/script")) for script in (*library, own)]  # noqa: S704 (our own)


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(content: Any) -> Markup:
    """JSON that no HTML parser takes for anything else."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(safe)  # noqa: S704 (no `<` is left in it)


def _made(name: str, known: Provenance) -> dict[str, Any]:
    return {
        "name": name,
        "producer": known.producer or "unknown producer",
        "refiner": known.refiner,
        "parent": known.made_from,
        "stopped": known.stopped,
        "provenance": json.dumps(known.written, indent=2, sort_keys=True),
    }


def _advice(content: Mapping[str, Any], found: Audit, last: Provenance, folder: str) -> list[tuple[str, str | None]]:
    """What to do next, and the command for it."""
    doubtful: list[Suspect] = content["suspects"]
    question = f'lmk query {folder} "SELECT * FROM points WHERE …"'
    steps: list[tuple[str, str | None]] = [
        (
            WEAK
            if gate.name == JUDGE
            else f"Gate {gate.name} is broken: find out why, before anything is built on these labels.",
            question,
        )
        for gate in sorted(found.gates or (), key=lambda gate: gate.name != JUDGE)
        if gate.broken
    ]
    steps += [
        (
            f"Gate {gate.name} could not be judged ({gate.unjudged}): leave it out, or ask for what this refiner says.",
            None,
        )
        for gate in found.gates or ()
        if gate.unjudged
    ]
    if doubtful:
        count = sum(len(one.landmarks) for one in doubtful)
        steps.append(
            (f"Look through the {count:,} human points that are likely gross errors.", f"lmk suspects {folder}")
        )
    overall: Numbers | None = content["overall"]
    if overall and overall.at_edge is not None and overall.at_edge > _EDGE:
        steps.append(("Many searches end at the edge of their windows: widen the refiner's window.", None))
    if last.stopped:
        steps.append((f"The alternation has stopped ({last.stopped}); more iterations change nothing.", None))
    if overall:
        steps.append(("Take back what you do not believe; later iterations respect it.",
                      f'lmk revert {folder} --where "percent > 10 AND peak < 0.3" --dry-run'))  # fmt: skip
        steps.append(("Take the labels that hold.", f"lmk labels {folder} -o labels.parquet"))
    return steps
