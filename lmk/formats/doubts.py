"""What `lmk` doubts of points, in words, for tools in which people look at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet

NAME = "doubt"  # what the words are called in a file


def doubts_of(annotations: AnnotationSet) -> NDArray[Any] | None:
    """(N, K) why a point may be a gross error and how likely that is, "" where it is not; None for a set without."""
    if not (annotations.has("suspicion") and annotations.has("reason")):
        return None
    reason, suspicion = annotations.column("reason"), annotations.column("suspicion")
    found = np.full(annotations.shape, "", object)
    for row, landmark in np.argwhere(np.asarray(pd.notna(reason))).tolist():
        found[row, landmark] = f"{reason[row, landmark]}, {100 * suspicion[row, landmark]:.0f} %"
    return found if (found != "").any() else None
