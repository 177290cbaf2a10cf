"""What came of a run: each stage's outcome, the gates that broke, and a summary of both as Markdown.

The summary is an artifact in Prefect.  It is written whatever ends the run, and never hides what ended it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.artifacts import create_markdown_artifact

from flows.dvc import AUDIT, REPORT, Done, DvcFailed, dvc, order, reproduce
from lmk.errors import GateBroken, LmkError
from lmk.limits import JSON_BYTES
from lmk.reading import read_json

PAGE = "artifacts/report/index.html"
VERDICT = "artifacts/audit.json"
_FAILED, _STOPPED, _WAITS = "**failed**", "**stopped**", "waits"


class Run:
    """The stages of a pipeline, and what has become of those that were begun."""

    def __init__(self, repo: str) -> None:
        self.repo = repo
        self.stages = order(repo)
        self.done: dict[str, Done] = {}

    def bring(self, stage: str) -> None:
        """Bring one stage up to date, and remember how that went."""
        self.done[stage] = Done(_STOPPED)  # until it is known better
        try:
            self.done[stage] = reproduce(self.repo, stage)
        except DvcFailed:
            self.done[stage] = Done(_FAILED)
            raise

    def broken_gates(self) -> str:
        """The gates that the audit found broken, in one line; empty without any."""
        path = Path(self.repo) / VERDICT
        try:
            gates = read_json(path, JSON_BYTES)["gates"]
            return "; ".join(f"gate {gate['name']} broken: {gate['condition']}" for gate in gates if gate["broken"])
        except (LmkError, KeyError, TypeError) as cause:
            self.done[AUDIT] = Done(_FAILED)
            raise DvcFailed(f"{AUDIT}: {VERDICT}: no verdict to be read in it ({cause!r})") from cause

    def summary(self, reason: BaseException | None) -> str:
        """What the run did, as Markdown.

        Args:
            reason: what ended the run before its end.
        """
        rows = "\n".join(self._row(stage, reason) for stage in self.stages)
        parts = [f"| stage | | seconds |\n|---|---|---:|\n{rows}"]
        if reason is not None:
            parts.append(f"```\n{str(reason) or type(reason).__name__}\n```")
        if isinstance(reason, GateBroken):
            parts.append("This run built nothing on these labels; `dvc repro` builds on them all the same.")
        if reason is None:  # else they may be of older labels
            parts.append(metrics(self.repo))
        if page := self.page():
            parts.append(f"What moved, and why: {page}")
        return "\n\n".join(parts)

    def _row(self, stage: str, reason: BaseException | None) -> str:
        outcome, seconds = self.done.get(stage, Done(_WAITS))
        if stage == AUDIT and isinstance(reason, GateBroken):
            outcome += ", **a gate is broken**"
        return f"| {stage} | {outcome} | {'' if seconds is None else f'{seconds:.0f}'} |"

    def page(self) -> Path | None:
        """The report, if this run has brought it up to date."""
        made = self.done.get(REPORT, Done(_WAITS)).outcome not in (_WAITS, _FAILED, _STOPPED)
        path = Path(self.repo).resolve() / PAGE
        return path if made and path.is_file() else None


@contextmanager
def summarised(repo: str) -> Iterator[Run]:
    """A run that leaves a summary when the block ends, however it ends."""
    run = Run(repo)
    try:
        yield run
    except BaseException as reason:
        try:
            _tell(run, reason)
        except httpx.HTTPError as cause:  # what ended the run matters more
            print(f"the summary could not be kept: {cause!r}")
        raise
    _tell(run, None)


def _tell(run: Run, reason: BaseException | None) -> None:
    if page := run.page():
        print(f"report: {page}")
    create_markdown_artifact(run.summary(reason), key="retrain", description="Stages and metrics")


def metrics(repo: str) -> str:
    """All metrics as a table, and what DVC says of those that it cannot read."""
    try:
        said = list(dvc(repo, "dvc metrics", "metrics", "show", "--md"))
    except DvcFailed as reason:
        return f"No metrics: {reason}"
    return "\n".join(line.text for line in sorted(said, key=lambda line: line.is_error)).strip()
