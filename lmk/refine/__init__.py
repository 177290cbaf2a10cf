"""Refiners: where a label goes, given where it was and what a network says."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lmk.config import AlignmentParams
from lmk.kernels.search import Found, search

PEAK = 0.1  # of a heatmap, at least, in parts of a perfect one's; noise three times sigma still leaves 0.3


class Refiner(Protocol):
    """Find one position a map.

    Args:
        log_maps: (M, H, H) log-probabilities.
        observed: (M, 2) in heatmap pixels.
        agreed: (M, 2) what the whole set agrees on, for refiners that ask for it (WHOLE_SET); else as observed.
        sigma: of the network's training target, in heatmap pixels.
        params: lengths in pixels of a 256-pixel heatmap.
    """

    def __call__(
        self, log_maps: Tensor, observed: Tensor, agreed: Tensor, sigma: float, params: AlignmentParams
    ) -> Found: ...


def align(log_maps: Tensor, observed: Tensor, agreed: Tensor, sigma: float, params: AlignmentParams) -> Found:
    """Move each label to where observation and heatmap agree (Eq. 8); without a peak in reach, nowhere."""
    pixel = 256 / log_maps.shape[-1]  # how many pixels of a 256-pixel heatmap one of ours is
    found = search(
        log_maps,
        observed,
        sigma=sigma,
        window=params.window / pixel,
        template=params.template / pixel,
        per_pixel=max(1, round(pixel / params.step)),
        prior_weight=params.prior_weight,
        floor=params.floor,
    )
    stays = found.peak < PEAK
    return found._replace(
        points=torch.where(stays[:, None], observed, found.points),
        prior_cost=found.prior_cost.masked_fill(stays, 0),
        chi2=torch.where(stays, found.chi2_observed, found.chi2),
        at_edge=found.at_edge & ~stays,
    )


def keep(log_maps: Tensor, observed: Tensor, agreed: Tensor, sigma: float, params: AlignmentParams) -> Found:
    """Move nothing, and still say what the heatmap looks like there: the control of every experiment."""
    found = align(log_maps, observed, observed, sigma, params.model_copy(update={"window": 1e-6}))
    return found._replace(at_edge=torch.zeros_like(found.at_edge))


def consensus(log_maps: Tensor, observed: Tensor, agreed: Tensor, sigma: float, params: AlignmentParams) -> Found:
    """Move each label to where the whole set agrees that it is, and say what the heatmap looks like there."""
    before = keep(log_maps, observed, observed, sigma, params)
    after = keep(log_maps, agreed, agreed, sigma, params)
    way = ((agreed - observed) ** 2).sum(-1)
    return after._replace(prior_cost=params.prior_weight * way, chi2_observed=before.chi2)


REFINERS: dict[str, Refiner] = {"align": align, "consensus": consensus, "keep": keep}
WHOLE_SET = {"consensus"}
