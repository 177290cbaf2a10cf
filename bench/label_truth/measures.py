"""What is measured of labels and of suspicions, with the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.evaluation import is_gross, mean_error
from lmk.kernels.suspicion import CONTOUR_SHIFTED, CONTOUR_SLIPPED, REASONS, SIDES_SWAPPED
from lmk.scheme import LandmarkScheme
from lmk.synth.noise import CORNERS, NOISES

Array = NDArray[np.float64]
WHOLE = [REASONS[kind] for kind in (CONTOUR_SHIFTED, CONTOUR_SLIPPED, SIDES_SWAPPED)]
FAR_OFF = "far off"
FAR = 6.0  # a point is far off from so many times the median error of its landmark
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0)  # of suspicion, to compare it with how many are gross errors
DAMAGE = 0.01  # relative to the width of the image, of the crop for photographs; a larger move is damage


def error(points: Array, truth: AnnotationSet, normaliser: str, counts: NDArray[np.bool_] | None = None) -> float:
    """Mean error in % of the normaliser."""
    return mean_error(points, truth, normaliser, counts)


def label_errors(points: Array, truth: AnnotationSet, normaliser: str) -> dict[str, float | None]:
    """Errors of clean and of gross human points after cleaning."""
    gross = is_gross(truth)
    return {
        "clean": error(points, truth, normaliser, ~gross),
        "gross": error(points, truth, normaliser, gross) if gross.any() else None,
    }


def damaged(points: Array, human: AnnotationSet, truth: AnnotationSet, width: Array) -> float:
    """Share of clean points, in %, that end up further from the truth by more than DAMAGE of the width."""
    before, after = (np.linalg.norm(x - truth.points, axis=-1) for x in (human.points, points))
    return 100 * float((after > before + DAMAGE * width[:, None])[~is_gross(truth)].mean())


def average_precision(score: Array, wanted: NDArray[np.bool_]) -> float:
    """Mean of the precision at each wanted one; equal scores count as one step."""
    order = np.argsort(-score, kind="stable")
    score, wanted = score[order], wanted[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # of each run of equal scores
    found = np.cumsum(wanted)[last]
    new = np.diff(found, prepend=0)
    return float((new * found / (last + 1)).sum() / max(1, wanted.sum()))


def suspicion_table(
    suspicion: Array, reason: NDArray[Any], human: AnnotationSet, truth: AnnotationSet, noise: str
) -> dict[str, Any]:
    """Average precision by kind: single points against the best possible one, groups as groups.

    Points without any of the noise model's gross errors that lie far off are gross errors, too: its tails are heavy.
    Single points are ranked among clean points: once by suspicion alone, once with suspicion set to 0 where the reason
    says that a whole contour or instance is wrong.
    """
    kinds = _kinds(human, truth)
    alone, whole = _slips(kinds, human.scheme)
    clean = kinds == ""
    looked = alone | clean
    best = single_ceiling(human, truth, noise)
    table: dict[str, Any] = {
        "slip of one point": _row(average_precision(suspicion[looked], alone[looked]), int(alone.sum())),
        "sides swapped": _groups(suspicion, kinds == "swap", clean, [(np.flatnonzero(_sided(human.scheme)), False)]),
        "contour shifted": _groups(suspicion, kinds == "shift", clean, human.scheme.chains),
        "contour slipped": _groups(suspicion, whole, clean, human.scheme.chains),
    }
    off = kinds == FAR_OFF
    table["far off"] = _row(average_precision(suspicion[off | clean], off[off | clean]), int(off.sum()))
    told = np.where(np.isin(reason, WHOLE), 0.0, suspicion)
    table["slip of one point"]["by_reason"] = average_precision(told[looked], alone[looked])
    table["slip of one point"]["ceiling"] = average_precision(best[looked], alone[looked])
    return table


def _kinds(human: AnnotationSet, truth: AnnotationSet) -> NDArray[Any]:
    """(N, K) the kind of gross error of each point, "" where there is none."""
    apart = np.linalg.norm(human.points - truth.points, axis=-1)
    usual = np.nanmedian(np.where(is_gross(truth), np.nan, apart), axis=0)
    kinds = (
        np.where(is_gross(truth), truth.column("gross"), "") if truth.has("gross") else np.full(apart.shape, "", object)
    )
    return np.where((kinds == "") & (apart > FAR * usual), FAR_OFF, kinds)


def calibration(suspicion: Array, human: AnnotationSet, truth: AnnotationSet) -> list[tuple[int, int]]:
    """For each bin of suspicion, the points in it and how many of them are gross errors."""
    wrong, number = _kinds(human, truth) != "", np.digitize(suspicion, BINS[1:-1])
    return [
        (int(((number == place) & human.labelled).sum()), int(((number == place) & wrong).sum()))
        for place in range(len(BINS) - 1)
    ]


def _row(precision: float, count: int) -> dict[str, Any]:
    return {"average_precision": precision if count else None, "count": count}


def _sided(scheme: LandmarkScheme) -> NDArray[np.bool_]:
    return np.asarray(scheme.flip != np.arange(scheme.size))


def _slips(kinds: NDArray[Any], scheme: LandmarkScheme) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Slips of single points, and of whole contours."""
    slip = kinds == "slip"
    whole = np.zeros_like(slip)
    for chain, _ in scheme.chains:
        place = list(chain)
        whole[:, place] |= slip[:, place].all(1, keepdims=True) & (len(place) > 2)
    return slip & ~whole, whole


def _groups(suspicion: Array, wanted: NDArray[np.bool_], clean: NDArray[np.bool_], chains: Any) -> dict[str, Any]:
    """Each chain of each instance is one candidate, its score the mean over its points; only clean ones compete."""
    scores, labels = [], []
    for chain, _ in chains:
        place = list(chain)
        found = wanted[:, place].mean(1) > 0.5
        competes = found | (clean[:, place].mean(1) > 0.5)
        scores.append(suspicion[competes][:, place].mean(1))
        labels.append(found[competes])
    return _row(average_precision(np.concatenate(scores), np.concatenate(labels)), int(np.concatenate(labels).sum()))


def single_ceiling(human: AnnotationSet, truth: AnnotationSet, noise: str) -> Array:
    """The best possible score of a single slip: its log odds, given the truth and the noise model."""
    law, scheme, width = NOISES[noise], human.scheme, human.instances["width"].to_numpy(np.float64)
    along = scheme.tangents(truth.points)
    free = np.asarray(~np.isfinite(along).all(-1))
    free[:, list(CORNERS.get(scheme.name, ()))] = True
    along = np.where(free[..., None], [1.0, 0.0], along)
    axes = np.stack([along, np.stack([-along[..., 1], along[..., 0]], -1)], -2)
    # Annotators' offsets are known to the renderer alone; they add variance along contours.
    size = np.where(free[..., None], law.corner, [np.hypot(law.along, law.slide), law.across]) * width[:, None, None]

    def density(offset: Array, k: Any, widen: float = 1.0) -> Array:
        across = np.einsum("nkij,nkj->nki", axes[:, k], offset) / (widen * size[:, k])
        heavy = -3 * np.log1p(across**2 / 3) - np.log(widen * size[:, k]) - 0.7133  # Student-t of unit variance
        round_ = -(across**2) / 2 - np.log(widen * size[:, k]) - 0.9189
        return np.asarray(np.where(free[:, k, None], round_, heavy).sum(-1))

    usual = density(human.points - truth.points, slice(None))
    odds = np.full(usual.shape, -np.inf)
    for chain, closed in scheme.chains:
        place = np.array(chain)
        for way in (-1, 1):
            for number, k in enumerate(place):
                at = number + way
                if closed or 0 <= at < len(place):
                    other = [int(place[at % len(place)])]
                    found = density((human.points[:, [k]] - truth.points[:, other]), other)
                else:  # one step beyond the end, from two clicks: noise of both
                    back = int(place[number - way])
                    there = 2 * truth.points[:, [k]] - truth.points[:, [back]]
                    found = density(human.points[:, [k]] - there, [int(k)], float(np.sqrt(5)))
                odds[:, k] = np.logaddexp(odds[:, k], found[:, 0] - usual[:, k])
    return odds
