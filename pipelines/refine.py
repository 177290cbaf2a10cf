"""One iteration: search labels with the last model, check them, train on with them."""

from __future__ import annotations

from lmk.config import DataParams, Iteration
from lmk.refine.iteration import Method, run_iteration
from pipelines.paths import Paths


def refine(data: DataParams, method: Method, iteration: Iteration, name: str, paths: Paths) -> None:
    """Write the labels and the network of iteration `name`."""
    # The next iteration depends on what is decided of this one, so there has to be a folder, for everybody who clones.
    (paths.decisions / name).mkdir(parents=True, exist_ok=True)
    (paths.decisions / name / ".gitkeep").touch()
    run_iteration(name, iteration, data.pictures, method, paths)
