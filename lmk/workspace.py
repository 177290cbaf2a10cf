"""What a cleaning leaves behind, and where: the same below `artifacts/` of a pipeline and for `lmk clean`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lmk.annotations import AnnotationSet
from lmk.config import RefineParams
from lmk.errors import DataError
from lmk.store import read_annotations, remove


@dataclass(frozen=True)
class Workspace:
    """Spells every path below one folder."""

    root: Path

    def annotations(self, iteration: str) -> Path:
        """The labels of an iteration."""
        return self.root / "annotations" / f"{iteration}.parquet"

    def model(self, iteration: str) -> Path:
        """The network that was trained on the labels of an iteration."""
        return self.root / "models" / iteration

    def verdict(self, iteration: str) -> Path:
        """What the validation said of an iteration's labels."""
        return self.root / "validation" / f"{iteration}.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.root / "report" / "index.html"

    def data_docs(self, iteration: str) -> Path:
        """The page about the verdict on an iteration, and the same as text; nothing depends on them."""
        return self.root / "report" / "data_docs" / iteration

    def data_docs_links(self, iterations: Iterable[str]) -> dict[str, str]:
        """What the report calls the pages about the validation, and where it finds them from its own folder."""
        return {f"validation of {name}": f"data_docs/{name}/summary.html" for name in iterations}

    @property
    def decisions(self) -> Path:
        """What people have decided, in a folder for each iteration that was judged; see lmk/ledger.py."""
        return self.root / "decisions"

    @property
    def labels(self) -> Path:
        """The labels that hold: the last iteration's with the decisions in place."""
        return self.root / "labels.parquet"

    @property
    def audit(self) -> Path:
        """What moved, and what the gates say."""
        return self.root / "audit.json"

    @property
    def metrics(self) -> Path:
        """Errors against the truth and against human labels."""
        return self.root / "metrics.json"

    @property
    def work(self) -> Path:
        """Unfinished trainings and rejected sets, by a digest of what they were made from."""
        return self.root / ".work"

    @property
    def crops(self) -> Path:
        """What networks see of images, kept for all stages."""
        return self.work / "crops"

    @property
    def rejected(self) -> Path:
        """Sets that did not pass the validation, with the verdict."""
        return self.work / "rejected"

    def forget_others(self, refine: RefineParams) -> None:
        """Remove iterations that an earlier, longer schedule has left."""
        for folder, pattern in (("annotations", "i[0-9][0-9].parquet"), ("models", "i[0-9][0-9]")):
            for path in (self.root / folder).glob(pattern):
                if path.stem not in refine.chain():
                    remove(path)

    def read_chain(self, refine: RefineParams) -> dict[str, AnnotationSet]:
        """The sets of a schedule, from the human labels to the last one."""
        return {name: read_annotations(self.annotations(name)) for name in refine.chain()}

    def files(self) -> dict[str, Path]:
        """The files of all sets that are there, for people who look into a folder without its parameters."""
        found = sorted((self.root / "annotations").glob("i[0-9][0-9].parquet"))
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; name the one that `lmk clean` wrote")
        if not found or found[0].stem != "i00":
            raise DataError(f"{self.root}: no annotations/i00.parquet in it; name the folder that `lmk clean` wrote")
        return {file.stem: file for file in found}

    def refuse_among_iterations(self, output: Path) -> None:
        """Nothing is ever written beside the iterations."""
        if output.resolve().parent == self.annotations("i00").resolve().parent:
            raise DataError(
                f"{output}: iterations are never changed, nor is anything put beside them; name another folder"
            )

    def read_all(self) -> dict[str, AnnotationSet]:
        """All sets that are there."""
        return {name: read_annotations(file) for name, file in self.files().items()}
