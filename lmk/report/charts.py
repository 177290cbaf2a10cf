"""The report's charts, as Vega-Lite specifications: data in them, text and lines in the colour of the page.

Altair writes them and checks them; the page draws them with the Vega that Altair comes with, offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.audit.results import Numbers
from lmk.history.sql import Questions
from lmk.kernels.shape import mean_shape
from lmk.report.measures import LabelRow
from lmk.scheme import LandmarkScheme

Floats = NDArray[np.float64]
SHAPES = 2000  # instances that the mean shape is drawn from; more do not change it
DOTS = 3000  # of the scatter
BINS = 50
COLOURS = ["#d9731a", "#3f8ae0", "#12a08f"]  # to be read on light and on dark
_DRIFT = alt.Color(
    "percent:Q", scale=alt.Scale(scheme="goldorange"), legend=alt.Legend(title="mean drift, %", orient="bottom")
)
_ROUND = np.linspace(0, 2 * np.pi, 25)
_QUIET = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor", "titleColor": "currentColor", "titleFontWeight": "normal",
        "gridColor": "currentColor", "gridOpacity": 0.12, "domainColor": "currentColor", "domainOpacity": 0.3,
        "tickColor": "currentColor", "tickOpacity": 0.3,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "titleFontWeight": "normal"},
    "header": {"labelColor": "currentColor", "titleColor": "currentColor"},
    "range": {"category": COLOURS},
}  # fmt: skip


def charts(
    questions: Questions, scheme: LandmarkScheme, iterations: Sequence[Numbers], errors: Sequence[LabelRow]
) -> dict[str, dict[str, Any]]:
    """All charts by the place on the page that they belong to; none where nothing moved.

    Args:
        questions: the table of all iterations.
        scheme: of the sets.
        iterations: as `audit` found them.
        errors: of the iterations' labels against the truth, where it is known.
    """
    if not any(row.points for row in iterations):
        return {}
    last = iterations[-1].iteration
    made = {
        "drift": _over_iterations(iterations),
        "settling": _settling(iterations),
        "shape": _shape(questions, scheme, last),
        "strip": _strip(questions),
        "scatter": _scatter(questions, last),
        "histogram": _histogram(questions, last),
    }
    if errors:
        made["error"] = _errors(errors)
    return {name: _finished(chart) for name, chart in made.items() if chart is not None}


def _finished(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.configure(**_QUIET).to_dict()
    return found


def _over_iterations(rows: Sequence[Numbers]) -> Any:
    titles = {"mean": "mean", "median": "median", "p95": "95th percentile"}
    table = pd.DataFrame(
        [
            {"iteration": row.iteration, "which": title, "px": getattr(row, name)}
            for row in rows
            for name, title in titles.items()
        ]
    )
    return _lines(table, "px", "distance to the human label, px", list(titles.values()))


def _settling(rows: Sequence[Numbers]) -> Any:
    table = pd.DataFrame([{"iteration": row.iteration, "which": "mean step", "px": row.step} for row in rows])
    return _lines(table, "px", "distance to the iteration before, px", ["mean step"])


def _errors(rows: Sequence[LabelRow]) -> Any:
    table = pd.DataFrame([{"iteration": row.name, "which": "label error", "%": row.nme} for row in rows])
    return _lines(table, "%", "error against the truth, %", ["label error"])


def _lines(table: pd.DataFrame, value: str, title: str, which: list[str]) -> Any:
    legend = None if len(which) == 1 else alt.Legend(title=None, orient="top")
    return (
        alt.Chart(table, width="container", height=200)
        .mark_line(point={"size": 50, "filled": True})
        .encode(
            x=alt.X("iteration:N", title=None, axis=alt.Axis(labelAngle=0, grid=False)),
            y=alt.Y(f"{value}:Q", title=title, scale=alt.Scale(zero=True)),
            color=alt.Color("which:N", sort=which, legend=legend),
            tooltip=["iteration:N", "which:N", alt.Tooltip(f"{value}:Q", format=".3f")],
        )
    )


def _human_shapes(questions: Questions, scheme: LandmarkScheme) -> tuple[Floats, float]:
    """(N, K, 2) human points of some instances, and how much larger than its points' longer side a box is."""
    table = questions.ask(
        f"""
        WITH chosen AS (
            SELECT image, instance FROM instances WHERE iteration = 'i00'
            ORDER BY hash(image || instance) LIMIT {SHAPES}
        )
        SELECT image, instance, landmark, x, y, box FROM points JOIN chosen USING (image, instance)
        WHERE iteration = 'i00' ORDER BY image, instance, landmark
        """
    )
    row = table.groupby(["image", "instance"], sort=False).ngroup().to_numpy()
    points = np.full((int(row.max()) + 1, scheme.size, 2), np.nan)
    points[row, table["landmark"].to_numpy()] = table[["x", "y"]].to_numpy(np.float64)
    side = np.nanmax(np.nanmax(points, 1) - np.nanmin(points, 1), 1)
    box = table.groupby(row)["box"].first().to_numpy(np.float64)
    return points, float(np.median(box / np.maximum(side, 1e-6)))


def _shape(questions: Questions, scheme: LandmarkScheme, last: str) -> Any:
    points, scale = _human_shapes(questions, scheme)
    mean = 100 * mean_shape(points)
    spread = questions.ask(
        """
        SELECT landmark, name, count(*) AS points, avg(drift) AS px, avg(percent) AS percent,
               avg(dx / box) AS x, avg(dy / box) AS y,
               var_samp(dx / box) AS xx, covar_samp(dx / box, dy / box) AS xy, var_samp(dy / box) AS yy
        FROM points WHERE iteration = ? AND counted
        GROUP BY landmark, name ORDER BY landmark
        """,
        [last],
    ).round({"px": 3, "percent": 3})
    if not len(spread):
        return None
    places = mean[spread["landmark"].to_numpy()]
    size = 100 * scale  # from parts of the box to the mean shape's units
    centres = places + size * spread[["x", "y"]].to_numpy(np.float64)
    covariance = np.nan_to_num(spread[["xx", "xy", "xy", "yy"]].to_numpy(np.float64)).reshape(-1, 2, 2)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    rings = centres[:, None] + size * np.einsum("kij,jn->kni", root, np.stack([np.cos(_ROUND), np.sin(_ROUND)]))
    keys = ["name", "points", "px", "percent"]
    ellipses = (
        spread[keys]
        .loc[spread.index.repeat(len(_ROUND))]
        .assign(
            x=rings[..., 0].ravel().round(2),
            y=rings[..., 1].ravel().round(2),
            order=np.tile(np.arange(len(_ROUND)), len(rings)),
        )
    )
    dots = spread[keys].assign(x=places[:, 0].round(2), y=places[:, 1].round(2))
    lines = pd.DataFrame(
        [
            {"contour": number, "order": order, "x": round(mean[k, 0], 2), "y": round(mean[k, 1], 2)}
            for number, contour in enumerate(scheme.contours)
            for order, k in enumerate(contour)
            if np.isfinite(mean[k]).all()
        ],
        columns=["contour", "order", "x", "y"],
    )
    x = alt.X("x:Q", axis=None, scale=alt.Scale(zero=False, nice=False, padding=10))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(zero=False, nice=False, padding=10, reverse=True))
    tips = [
        "name:N", alt.Tooltip("px:Q", format=".2f", title="mean drift, px"),
        alt.Tooltip("percent:Q", format=".2f", title="in % of the box"), alt.Tooltip("points:Q", format=","),
    ]  # fmt: skip
    contours = alt.Chart(lines).mark_line(color="currentColor", opacity=0.35, strokeWidth=1)
    rounds = alt.Chart(ellipses).mark_line(filled=True, fillOpacity=0.35)
    marks = alt.Chart(dots).mark_circle(size=36, opacity=1)
    return alt.layer(
        contours.encode(x=x, y=y, detail="contour:N", order="order:Q"),
        rounds.encode(x=x, y=y, detail="name:N", order="order:Q", color=_DRIFT, tooltip=tips),
        marks.encode(x=x, y=y, color=_DRIFT, tooltip=tips),
        width="container",
        height=440,
    )


def _strip(questions: Questions) -> Any:
    table = questions.ask(
        """
        SELECT iteration, landmark, name, avg(percent) AS percent, avg(step) AS step
        FROM points WHERE counted
        GROUP BY ALL ORDER BY iteration, landmark
        """
    ).round({"percent": 4, "step": 4})
    names = alt.Axis(labelAngle=-90, labelFontSize=9, labelOverlap=True)
    order = table.drop_duplicates("landmark").sort_values("landmark")["name"].tolist()
    return (
        alt.Chart(table, width="container", height=22 * table["iteration"].nunique())
        .mark_rect()
        .encode(
            x=alt.X("name:N", sort=order, title=None, axis=names),
            y=alt.Y("iteration:N", title=None),
            color=_DRIFT,
            tooltip=[
                "name:N", "iteration:N", alt.Tooltip("percent:Q", format=".2f", title="mean drift, % of the box"),
                alt.Tooltip("step:Q", format=".3f", title="mean step, px"),
            ],
        )
    )  # fmt: skip


def _scatter(questions: Questions, last: str) -> Any:
    table = questions.ask(
        f"""
        SELECT name, image, round(100 * along / box, 3) AS along, round(100 * across / box, 3) AS across
        FROM points WHERE iteration = ? AND counted AND along IS NOT NULL
        ORDER BY hash(image || instance || '/' || landmark) LIMIT {DOTS}
        """,
        [last],
    )
    if not len(table):
        return None
    far = float(table[["along", "across"]].abs().quantile(0.995).max()) or 1.0
    scale = alt.Scale(domain=[-far, far], clamp=True)
    return (
        alt.Chart(table, width="container", height=300)
        .mark_circle(size=12, opacity=0.45, color=COLOURS[1])
        .encode(
            x=alt.X("along:Q", title="along the contour, % of the box; farther ones lie on the edge", scale=scale),
            y=alt.Y("across:Q", title="across, % of the box", scale=scale),
            tooltip=["name:N", "image:N", "along:Q", "across:Q"],
        )
    )


def _histogram(questions: Questions, last: str) -> Any:
    where = "iteration = ? AND counted"
    [(top,)] = questions.rows(f"SELECT quantile_cont(percent, 0.995) FROM points WHERE {where}", [last])
    if not top:
        return None
    step = float(f"{top / BINS:.3g}")
    table = questions.ask(
        f"""
        SELECT least(floor(percent / {step}), {BINS - 1})::INT AS bin, count(*) AS points
        FROM points WHERE {where} GROUP BY bin ORDER BY bin
        """,
        [last],
    )
    table = table.assign(low=(table["bin"] * step).round(4), high=((table["bin"] + 1) * step).round(4))
    return (
        alt.Chart(table, width="container", height=300)
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("low:Q", title="% of the box; the last bar is that and more", bin="binned"),
            x2="high",
            y=alt.Y("points:Q", title="points"),
            tooltip=["low:Q", "high:Q", alt.Tooltip("points:Q", format=",")],
        )
    )
