"""Every path of the pipeline, relative to the repository's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmk.workspace import Workspace

PARAMS = Path("params.yaml")
METRICS = Path("metrics.json")


@dataclass(frozen=True)
class Paths(Workspace):
    """The workspace of a pipeline, and what only a pipeline has."""

    root: Path = Path("artifacts")

    @property
    def metrics(self) -> Path:
        """In git, beside dvc.lock, so that `dvc metrics diff` compares commits."""
        return METRICS

    def downstream(self, model: str, labels: str) -> Path:
        """A network trained from scratch; labels is `human` or `refined`."""
        return self.root / "downstream" / f"{model}-{labels}"

    def plot(self, name: str) -> Path:
        """A table for `dvc plots`."""
        return self.root / "plots" / f"{name}.csv"
