"""The search of Semantic Alignment, `align`, and the control of every experiment, `keep`."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lmk.config import Extent, RefinerParams
from lmk.kernels.search import Found, search
from lmk.limits import CANDIDATES, PRIOR
from lmk.refine.base import Observed, Refiner, of_present

PEAK = 0.1  # least height of a heatmap relative to a perfect one; noise three times sigma still leaves 0.3
TEMPLATE, FLOOR = 19.0, 0.01  # of the chi-square that evidence states where no refiner's parameters say: the paper's
_AT_POINT = 1e-6  # a window with nothing but the point in it
LOOKED_AT = frozenset({"chi2", "chi2_observed", "peak", "spread"})


class AlignParams(RefinerParams):
    """Search for the position that minimises Eq. 8 of the paper around each observation."""

    fills = LOOKED_AT | {"prior_cost", "at_edge"}

    kind: Literal["align"]
    window: Extent  # full width of the search, pixels of a 256-pixel heatmap
    template: Extent  # full width of the Gaussian that the heatmap is compared with, the same
    step: Extent  # distance between candidates, the same; the best is refined by a parabola
    prior_weight: Annotated[
        float, Field(ge=0, le=PRIOR)
    ]  # lambda = sigma2^2 / sigma1^2; larger keeps labels closer to the observation
    floor: Annotated[float, Field(gt=0, lt=1)]  # least value of each 1-D profile of the template, for the division
    observation: Literal["updated", "human"]  # where the search starts: the last refined label, or the human one

    @model_validator(mode="after")
    def _is_searched_in_time(self) -> AlignParams:
        if self.window + self.template > CANDIDATES * self.step:
            raise ValueError(f"step: window and template together are wider than {CANDIDATES} steps of {self.step:g}")
        return self


class KeepParams(RefinerParams):
    """Move nothing."""

    fills = LOOKED_AT

    kind: Literal["keep"]


def align(seen: Observed, params: AlignParams) -> Found:
    """Move each label to where observation and heatmap agree (Eq. 8); without a peak in reach, nowhere."""
    maps, observed = seen.log_maps[seen.present], seen.points[seen.present]
    pixel = 256 / maps.shape[-1]  # how many pixels of a 256-pixel heatmap one of ours is
    found = search(
        maps,
        observed,
        sigma=seen.sigma,
        window=params.window / pixel,
        template=params.template / pixel,
        per_pixel=max(1, round(pixel / params.step)),
        prior_weight=params.prior_weight,
        floor=params.floor,
    )
    stays = found.peak < PEAK
    found = found._replace(
        points=torch.where(stays[:, None], observed, found.points),
        prior_cost=found.prior_cost.masked_fill(stays, 0),
        chi2=torch.where(stays, found.chi2_observed, found.chi2),
        at_edge=found.at_edge & ~stays,
    )
    return of_present(found, seen.present)


def keep(seen: Observed, params: RefinerParams) -> Found:
    """Move nothing, and say what the heatmaps look like at the observations."""
    return look(seen, seen.points)


def look(seen: Observed, at: Tensor) -> Found:
    """What the heatmaps look like at some points, (B, K, 2)."""
    maps = seen.log_maps[seen.present]
    pixel = 256 / maps.shape[-1]
    found = search(
        maps,
        at[seen.present],
        sigma=seen.sigma,
        window=_AT_POINT / pixel,
        template=TEMPLATE / pixel,
        per_pixel=max(1, round(pixel)),
        prior_weight=0.0,
        floor=FLOOR,
    )
    return of_present(found, seen.present)


def _to_the_corner(params: AlignParams) -> float:
    return float(np.hypot(params.window, params.window) / 2)


ALIGN = Refiner(AlignParams, align, from_human=lambda params: bool(params.observation == "human"), reach=_to_the_corner)
KEEP = Refiner(KeepParams, keep, moves=False)
