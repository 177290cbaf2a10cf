"""Train the first judge, on human labels."""

from __future__ import annotations

from lmk.config import AugmentationParams, DataParams, HeatmapParams, TrainingParams
from lmk.store import remove
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from pipelines.paths import Paths


def baseline(
    data: DataParams, model: HeatmapParams, training: TrainingParams, augmentation: AugmentationParams, paths: Paths
) -> None:
    """Train a network from scratch on i00."""
    images = data.pictures
    job = Job(paths.annotations("i00"), images, paths.model("i00"), paths.work, "baseline")
    remove(fit(Recipe(model, training, augmentation), job))
