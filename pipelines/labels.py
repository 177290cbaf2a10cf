"""The labels that hold: the last iteration's, but where somebody has decided otherwise."""

from __future__ import annotations

from lmk.config import RefineParams
from lmk.history.ledger import accepted
from lmk.store import read_annotations, write_annotations
from pipelines.paths import Paths


def labels(refine: RefineParams, paths: Paths) -> None:
    """Read the last iteration through the ledger."""
    write_annotations(accepted(read_annotations(paths.annotations(refine.last)), paths.decisions), paths.labels)
