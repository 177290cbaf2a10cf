"""The page that shows what moved."""

from __future__ import annotations

from lmk.audit.results import read_audit
from lmk.config import AuditParams, DataParams, RefineParams
from lmk.records import read_metrics
from lmk.report.page import write_report
from pipelines.paths import Paths


def report(audit: AuditParams, data: DataParams, refine: RefineParams, paths: Paths) -> None:
    """Write artifacts/report/index.html."""
    metrics, found = read_metrics(paths.metrics), read_audit(paths.audit)
    write_report(paths, refine.chain(), found, data.pictures, metrics, audit.seconds)
