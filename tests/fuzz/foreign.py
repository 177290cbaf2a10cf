"""Other people's formats: where a good source lies, and which of its files are changed and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import mutations
from tests.fuzz.mutations import Random

Mutation = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Layout:
    """One format that is read and written back.

    Attributes:
        source: what is read, in the good folder; its images lie in `faces`.
        files: (pattern, what is done to one of these).
        several: whether an image may have several instances.
        quick: cases that `make test` runs.
    """

    source: str
    files: list[tuple[str, Mutation]]
    several: bool = True
    quick: int = 30


LAYOUTS = {
    "deeplabcut": Layout(
        "faces", [("faces/CollectedData_ann.csv", mutations.of_text), ("faces/config.yaml", mutations.of_text)]
    ),
    "hf-parquet": Layout("faces", [("faces/data/*.parquet", mutations.of_parquet)]),
    "merl-rav": Layout("faces", [("faces/*.pts", mutations.of_text)], several=False),
    "tps": Layout("faces/labels.tps", [("faces/*.tps", mutations.of_text)]),
    "wflw": Layout("faces", [("faces/list_*.txt", mutations.of_text)]),
    "wide-csv": Layout("faces/labels.csv", [("faces/*.csv", mutations.of_text)]),
    "yolo": Layout(
        "faces",
        [("faces/[ab].txt", mutations.of_text), ("faces/train.txt", mutations.of_text),
         ("faces/data.yaml", mutations.of_text)],
    ),
}  # fmt: skip
