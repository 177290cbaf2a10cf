"""Read the human labels: iteration i00."""

from __future__ import annotations

from lmk.config import DataParams
from lmk.console import Progress
from lmk.ingest import ingest_data
from lmk.store import write_annotations
from pipelines.paths import Paths


def ingest(data: DataParams, paths: Paths) -> None:
    """Read images and labels, and write them as one annotation set."""
    progress = Progress("reading labels", "images")
    human = ingest_data(data, progress)
    print(human.describe())
    write_annotations(human, paths.annotations("i00"))
