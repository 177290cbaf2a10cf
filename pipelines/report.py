"""The page that shows what moved."""

from __future__ import annotations

from pathlib import Path

from lmk.audit.results import read_audit
from lmk.config import DataParams, RefineParams
from lmk.images import image_root
from lmk.records import read_metrics
from lmk.report.page import write_report
from pipelines.paths import Paths


def report(data: DataParams, refine: RefineParams, paths: Paths) -> None:
    """Write artifacts/report/index.html."""
    metrics, found = read_metrics(paths.metrics), read_audit(paths.audit)
    write_report(paths, refine.chain(), found, image_root(Path(data.root)), metrics)
