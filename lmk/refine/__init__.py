"""Refiners: where a label goes, given where it was and what a network says."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from lmk.config import AlignmentParams
from lmk.kernels.search import Found, search


class Refiner(Protocol):
    """Search one position a map.

    Args:
        log_maps: (M, H, H) log-probabilities.
        observed: (M, 2) in heatmap pixels.
        sigma: of the network's training target, in heatmap pixels.
        params: lengths in pixels of a 256-pixel heatmap.
    """

    def __call__(self, log_maps: Tensor, observed: Tensor, sigma: float, params: AlignmentParams) -> Found: ...


def align(log_maps: Tensor, observed: Tensor, sigma: float, params: AlignmentParams) -> Found:
    """Move each label to where observation and heatmap agree (Eq. 8)."""
    pixel = 256 / log_maps.shape[-1]  # how many pixels of a 256-pixel heatmap one of ours is
    return search(
        log_maps,
        observed,
        sigma=sigma,
        window=params.window / pixel,
        template=params.template / pixel,
        per_pixel=max(1, round(pixel / params.step)),
        prior_weight=params.prior_weight,
        floor=params.floor,
    )


def keep(log_maps: Tensor, observed: Tensor, sigma: float, params: AlignmentParams) -> Found:
    """Move nothing, and still say what the heatmap looks like there: the control of every experiment."""
    found = align(log_maps, observed, sigma, params.model_copy(update={"window": 1e-6}))
    return found._replace(at_edge=found.at_edge & False)


REFINERS: dict[str, Refiner] = {"align": align, "keep": keep}
