"""Does cleaning pay?  Train models from scratch on human and on refined labels, all else equal."""

from __future__ import annotations

from pathlib import Path

from lmk.config import AugmentationParams, DataParams, DownstreamParams, TrainingParams
from lmk.images import image_root
from lmk.store import remove
from lmk.training.fit import fit, trained_on
from pipelines.paths import Paths


def downstream(
    data: DataParams,
    downstream: DownstreamParams,
    training: TrainingParams,
    augmentation: AugmentationParams,
    paths: Paths,
) -> None:
    """Train every model twice, with the same seed and budget; a correction on what learnt the same labels."""
    budget = trained_on(training, downstream.images, downstream.learning_rate).model_copy(update={"held_out": 0.0})
    unfinished = [
        fit(
            labels=source,
            images=image_root(Path(data.root)),
            network=network,
            training=budget,
            augmentation=augmentation,
            target=paths.downstream(model, name),
            work=paths.work,
            title=f"{model} on {name} labels",
            start=paths.downstream(beneath, name) if (beneath := downstream.detector_of(model)) else None,
        )
        for model, network in downstream.models.items()
        for name, source in (("human", paths.annotations("i00")), ("refined", paths.labels))
    ]
    # Kept until all are trained: DVC deletes the finished ones when it runs a killed stage again.
    for folder in unfinished:
        remove(folder)
