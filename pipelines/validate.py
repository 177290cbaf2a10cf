"""Guard the door: nothing is built on human labels that cannot be right."""

from __future__ import annotations

from lmk.config import ValidationParams
from lmk.store import read_annotations, write_json
from lmk.validation import Place, enforce
from pipelines.paths import Paths


def validate(validation: ValidationParams, paths: Paths) -> None:
    """Check i00; write the verdict that later stages wait for."""
    human = read_annotations(paths.annotations("i00"))
    verdict = enforce(human, validation, Place("i00", paths.rejected, paths.data_docs("i00")))
    write_json(verdict.as_json(), paths.verdict("i00"))
