"""Instances of an image where a format has no numbers for them but their order."""

from __future__ import annotations

import numpy as np

from lmk.annotations import AnnotationSet
from lmk.formats.base import Loss, Trait


def renumbered(annotations: AnnotationSet) -> list[Loss]:
    """What a format loses that counts the instances of each image from 0 without a gap."""
    instances = annotations.instances
    order = instances.groupby("image", sort=False).cumcount().to_numpy()
    other = instances["instance"].to_numpy(np.int64) != order
    if not other.any():
        return []
    row = int(np.argmax(other))
    image, number = instances["image"].iloc[row], instances["instance"].iloc[row]
    example = f"{image} instance {number} becomes instance {order[row]}"
    return [Loss(Trait.SEVERAL, int(other.sum()), example)]
