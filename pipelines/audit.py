"""What moved, what moved as a whole, and what the gates say; whoever runs the pipeline acts on it."""

from __future__ import annotations

from lmk.audit.numbers import audited
from lmk.config import AuditParams, RefineParams
from lmk.console import warn
from lmk.store import write_json
from pipelines.paths import Paths


def audit(audit: AuditParams, refine: RefineParams, paths: Paths) -> None:
    """Write the verdict; a broken gate is written down, and stops nothing here."""
    found = audited(paths, refine.chain(), audit.gates, seconds=audit.seconds)
    write_json(found.as_json(), paths.audit)
    for gate in found.gates or ():
        if gate.broken or gate.unjudged:
            warn(str(gate))
