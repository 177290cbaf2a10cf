"""Does cleaning pay?  Train models from scratch on human and on refined labels, all else equal."""

from __future__ import annotations

from lmk.config import AugmentationParams, DataParams, DownstreamParams, TrainingParams
from lmk.store import remove
from lmk.training.fit import fit
from lmk.training.recipe import Job, Recipe
from pipelines.paths import Paths


def downstream(
    data: DataParams,
    downstream: DownstreamParams,
    training: TrainingParams,
    augmentation: AugmentationParams,
    paths: Paths,
) -> None:
    """Train every model twice, with the same seed and budget; a correction on what learnt the same labels."""
    budget = training.changed(images=downstream.images, learning_rate=downstream.learning_rate, held_out=0.0)
    images, unfinished = data.pictures, []
    for model, network in downstream.models.items():
        beneath = downstream.beneath(model)
        for name, labels in (("human", paths.annotations("i00")), ("refined", paths.labels)):
            start = paths.downstream(beneath, name) if beneath else None
            title = f"{model} on {name} labels"
            job = Job(labels, images, paths.downstream(model, name), paths.work, title, start)
            unfinished.append(fit(Recipe(network, budget, augmentation), job))
    # Kept until all are trained: DVC deletes the finished ones when it runs a killed stage again.
    for folder in unfinished:
        remove(folder)
