"""Train the first judge, on human labels."""

from __future__ import annotations

from pathlib import Path

from lmk.config import AugmentationParams, DataParams, HourglassParams, TrainingParams
from lmk.images import image_root
from lmk.store import remove
from lmk.training.fit import fit
from pipelines.paths import Paths


def baseline(
    data: DataParams, model: HourglassParams, training: TrainingParams, augmentation: AugmentationParams, paths: Paths
) -> None:
    """Train a network from scratch on i00."""
    unfinished = fit(
        labels=paths.annotations("i00"),
        images=image_root(Path(data.root)),
        network=model,
        training=training,
        augmentation=augmentation,
        target=paths.model("i00"),
        work=paths.work,
        title="baseline",
    )
    remove(unfinished)
