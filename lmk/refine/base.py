"""What a refiner is: a file with its parameters, its function and a row, and a line in `lmk.registry.REFINERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from lmk.annotations import AnnotationSet
from lmk.config import RefinerParams
from lmk.crops import CropSource
from lmk.kernels.search import Found
from lmk.models.base import HeatmapDetector

Tell = Callable[[int, int], None]


class Observed(NamedTuple):
    """A batch of whole instances as a refiner sees it; positions in heatmap pixels."""

    log_maps: Tensor  # (B, K, H, H) log-probabilities
    points: Tensor  # (B, K, 2) the observations
    present: Tensor  # (B, K) bool, which points there are; the others' positions mean nothing
    agreed: Tensor  # (B, K, 2) what the whole set agrees on, for refiners that ask for it; else as `points`
    sigma: float  # of the network's training target


class Agreement(NamedTuple):
    """What is found for every labelled point of a set, in the image's pixels."""

    points: NDArray[Any]  # (N, K, 2)
    evidence: dict[str, NDArray[Any]]  # (N, K) each, by the column that it fills


class WholeSet(Protocol):
    """Weigh all points of a set at once; those of split train teach, the others are judged by what these taught.

    Args:
        human: the labels as they came.
        judge: the network.
        crops: the pixels of the set.
        params: the refiner's.
        unseen: (N, K) bool, points that the network has not learnt, if they are known.
        progress: called with (done, total) instances.
    """

    def __call__(
        self, human: AnnotationSet, judge: HeatmapDetector, crops: CropSource, params: Any,
        unseen: NDArray[Any] | None, progress: Tell | None,
    ) -> Agreement: ...  # fmt: skip


@dataclass(frozen=True)
class Refiner:
    """One row."""

    Params: type[RefinerParams]
    refine: Callable[[Observed, Any], Found]  # fields are (B, K) and (B, K, 2)
    whole_set: WholeSet | None = None  # what it needs to know of all instances before it looks at any
    moves: bool = True  # a label that is kept is kept to the last bit
    from_human: Callable[[Any], bool] = lambda params: False  # whether observations are the human labels, not the last
    reach: Callable[[Any], float | None] = lambda params: None  # how far a point may go, pixels of a 256-pixel heatmap

    def starts_from_human(self, params: RefinerParams) -> bool:
        """Whether it looks for points from the human labels on, and not from the last refined ones."""
        return self.whole_set is not None or self.from_human(params)


def of_present(found: Found, present: Tensor) -> Found:
    """What was found of the present points, (M,), as whole instances, (B, K); zeros elsewhere."""

    def placed(values: Tensor) -> Tensor:
        whole = torch.zeros(*present.shape, *values.shape[1:], dtype=values.dtype, device=values.device)
        whole[present] = values
        return whole

    return Found(*(placed(values) for values in found))
