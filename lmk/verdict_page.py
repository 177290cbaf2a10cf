"""The page about a verdict: one file of HTML that needs nothing but itself.

There is no script on it and nothing is fetched; what comes from data is escaped.  Equal verdicts give equal bytes.
"""

from __future__ import annotations

from html import escape

from lmk.checks import Outcome, Verdict

# Colours and sizes are those of the report.
_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #16181d; --soft: #5c6370; --line: #e3e4e0; --grid: #ecece8;
  --good: #1a7f4b; --bad: #b3372f;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111317; --card: #1a1d23; --ink: #e8e9ec; --soft: #9aa1ad; --line: #2c3038; --grid: #262a31;
    --good: #4fcf8d; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 var(--sans); }
main { max-width: 1120px; margin: 0 auto; padding: 44px 24px; }
h1 { font-size: 30px; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 8px; font-weight: 680; }
h2 { font-size: 20px; letter-spacing: -.01em; margin: 36px 0 6px; font-weight: 650; }
p { margin: 0 0 14px; max-width: 74ch; color: var(--soft); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; }
.panel { margin: 14px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 6px 7px; text-align: left; border-bottom: 1px solid var(--grid); vertical-align: top; }
th { font-weight: 600; font-size: 12.5px; color: var(--soft); }
tbody tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.panel h3 { font-size: 14px; margin: 6px 0; font-weight: 600; overflow-wrap: anywhere; }
ul { margin: 0 0 8px; padding-left: 20px; font-family: var(--mono); font-size: 13px; overflow-wrap: anywhere; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="lmk">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>{name} is <span class="{colour}">{verdict}</span></h1>
<p>{lead}</p>
{broken}<h2>All rules</h2>
<div class="panel scroll"><table>
<thead><tr><th>rule</th><th>verdict</th><th class="number">rows that break it</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
</main>
</body>
</html>
"""


def verdict_page(name: str, verdict: Verdict) -> str:
    """The HTML of a verdict about a set that is called so: the verdict, what is broken and where first, all rules."""
    said = "accepted" if verdict.success else "rejected"
    broken = "".join(_broken(outcome) for outcome in verdict.broken)
    return _PAGE.format(
        title=escape(f"{name} is {said}"),
        style=_STYLE,
        name=escape(name),
        verdict=said,
        colour="good" if verdict.success else "bad",
        lead=_lead(verdict),
        broken=f"<h2>Broken rules</h2>\n{broken}" if broken else "",
        rows="".join(_row(outcome) for outcome in verdict.checks),
    )


def _lead(verdict: Verdict) -> str:
    held = len(verdict.checks) - len(verdict.broken)
    what = f"{verdict.points:,} labelled points of {verdict.instances:,} instances"
    if not verdict.points and not verdict.success:
        what = "The other rules were not asked, as columns or rows are missing"
    return f"{what}; {held} of {len(verdict.checks)} rules hold."


def _broken(outcome: Outcome) -> str:
    first = "".join(f"<li>{escape(offender)}</li>\n" for offender in outcome.first)
    more = outcome.failed - len(outcome.first)
    rest = f"<p>… and {more:,} more</p>\n" if more > 0 else ""
    return f'<div class="panel"><h3>{escape(outcome.check)}</h3>\n<ul>\n{first}</ul>\n{rest}</div>\n'


def _row(outcome: Outcome) -> str:
    said, colour = ("holds", "good") if outcome.success else ("broken", "bad")
    return (
        f'<tr><td>{escape(outcome.check)}</td><td class="{colour}">{said}</td>'
        f'<td class="number">{outcome.failed:,}</td></tr>\n'
    )
