"""The page that shows what moved."""

from __future__ import annotations

import json

from lmk.audit.results import Audit
from lmk.config import AuditParams, DataParams, RefineParams
from lmk.images import image_root
from lmk.records import Metrics
from lmk.report.page import write_report
from pipelines.paths import Paths


def report(audit: AuditParams, data: DataParams, refine: RefineParams, paths: Paths) -> None:
    """Write artifacts/report/index.html."""
    metrics, found = (json.loads(path.read_text(encoding="utf-8")) for path in (paths.metrics, paths.audit))
    images = image_root(data.folder)
    write_report(paths, refine.chain(), Audit.of(found), images, Metrics.of(metrics), audit.seconds)
