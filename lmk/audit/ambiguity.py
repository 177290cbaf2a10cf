"""How precisely annotators place each landmark, along its contour and across it.

The human noise of a landmark is the variance of (human point - true point).  The true point is unknown, but a refined
label has a known expected error, so that in either direction

    E |human - true|^2 = |human - refined|^2 + E |refined - true|^2

and the mean over a landmark's points, without likely gross errors, is the variance of its noise.  A detector memorises
a part of the noise along contours, so its predictions are too near the human points, nearer on a jaw than on an eye.
Held-out points show by how much; where there are some, the standard deviations are multiplied accordingly.

Intervals are wider than sampling alone would make them: the detector's own error on a landmark is not known exactly.
`MODEL` and `DOUBT` are how large that uncertainty was on rendered faces, whose noise is known.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmk.annotations import AnnotationSet
from lmk.audit.drift import evidence_of, paired
from lmk.errors import DataError, UnknownName
from lmk.history import ledger
from lmk.kernels.frames import axes, split
from lmk.kernels.metrics import bounds_side
from lmk.provenance import Provenance
from lmk.scheme import LandmarkScheme
from lmk.store import read_annotations
from lmk.training.held_out import unlearnt
from lmk.workspace import Workspace

Floats = NDArray[np.float64]
MODEL = 0.07  # relative standard error of a spread that more images do not lessen
DOUBT = 1.0  # the same, relative to the share of the variance that is the refined labels' own error
MEMORY = 0.1  # the same, for what a detector may have memorised, where no held-out points tell
FEWEST = 10  # points that a landmark needs
_SURE = 1.96


@dataclass(frozen=True)
class Ambiguity:
    """The human noise of one landmark; None where too few points tell.

    `along` and `across` are a standard deviation in % of the box and the ends of its interval of 95 %.
    """

    landmark: int
    name: str
    points: int
    along: list[float] | None  # the contour; to the right, off contours
    across: list[float] | None  # the contour; down, off contours
    sigma: float | None  # for COCO's object keypoint similarity
    weight: float  # of the landmark in a loss: less for a looser one, 1 on average


def of_iteration(paths: Workspace, name: str) -> list[Ambiguity]:
    """Estimate the human noise of every landmark from the labels of an iteration, and from what its detector learnt."""
    files = paths.files()
    human, *later = files
    if not later:
        raise DataError(f"{paths.root}: nothing has been refined yet; `lmk clean` makes iterations")
    if name not in later:
        raise UnknownName("iteration with refined labels", name, later)
    refined = read_annotations(files[name])
    _, decided = ledger.with_decisions(refined, ledger.read(paths.decisions, before=name))
    repeats = evidence_of(refined, "repeats")
    if np.isfinite(repeats).any():
        # The labels of an iteration before, and of the detector that was asked there.
        refined = read_annotations(files[f"i{int(np.nanmax(repeats)):02d}"])
    known = paths.model(Provenance.of(refined.provenance).parent_iteration or human)
    unseen = unlearnt(known, refined) if known.is_dir() else None
    return ambiguity(read_annotations(files[human]), refined, unseen, decided)


def ambiguity(
    human: AnnotationSet,
    refined: AnnotationSet,
    unseen: NDArray[np.bool_] | None = None,
    decided: NDArray[np.bool_] | None = None,
) -> list[Ambiguity]:
    """Estimate the human noise of every landmark.

    Args:
        human: the labels as they came.
        refined: of the same instances, with the evidence of the refiner `consensus`.
        unseen: (N, K) held-out points of the detector behind `refined`, if they are known.
        decided: (N, K) points of `refined` that are where somebody has put them, and say nothing of noise.
    """
    pairs = paired(human, refined)
    chosen = _chosen(pairs.others, len(refined.instances))
    labels = refined.select(chosen)
    error, part = evidence_of(labels, "error_after"), evidence_of(labels, "error_along")
    if not np.isfinite(part).any():
        raise DataError(
            "the refined set says of no point how certain it is; that takes the refiner `consensus`, this lmk or a "
            "newer one, and images in which its detector finds the points"
        )
    moved = list(np.moveaxis(split(-pairs.shift, axes(refined.scheme.tangents(labels.points))), -1, 0))
    left = [part**2, np.maximum(error**2 - part**2, 0)]
    trust = 1 - np.nan_to_num(evidence_of(labels, "suspicion"))
    trust = np.where(np.isfinite(part) & np.isfinite(moved[0]), trust, 0.0)
    if decided is not None:
        trust = trust * ~decided[chosen]
    images = np.unique(labels.instances["image"].to_numpy().astype(str), return_inverse=True)[1]
    box = labels.boxes[:, 2:]
    learnt = trust if unseen is None else trust * ~unseen[chosen]
    moved = [np.where(trust > 0, one / box, 0) for one in moved]
    left = [np.where(trust > 0, one / box**2, 0) for one in left]
    squares = [m**2 + v for m, v in zip(moved, left, strict=True)]
    # On rendered faces, standard deviations across contours were right as they are, and too large once multiplied.
    memorised = _memorised(squares[0], trust, learnt, refined.scheme)
    on_contour = refined.scheme.neighbours[:, 0] >= 0
    across = _Stretch(np.where(on_contour, 1, memorised.factor), np.where(on_contour, 0, memorised.doubt))
    stretches = [memorised, across]
    spreads = [_spread(square, v, learnt, images, one) for square, v, one in zip(squares, left, stretches, strict=True)]
    area = (bounds_side(labels.points)[:, None] / box) ** 2
    sized = learnt * (np.nan_to_num(area) > 0)
    whole = sum(square * one.factor**2 for square, one in zip(squares, stretches, strict=True)) / np.where(
        area > 0, area, 1
    )
    sigma = np.sqrt((sized * whole).sum(0) / np.maximum(sized.sum(0), 1e-9))
    count = (trust > 0).sum(0)
    size = np.sqrt(spreads[0][0] ** 2 + spreads[1][0] ** 2)
    known = (count >= FEWEST) & (size > 0)
    if not known.any():
        raise DataError(f"no landmark has {FEWEST} points that were searched and are no likely gross errors; too few")
    weight = np.where(known, 1 / np.where(known, size, 1), np.nan)
    weight = np.nan_to_num(weight / np.nanmean(weight), nan=1.0)
    rows = []
    for k, name in enumerate(refined.scheme.names):
        both = [[_short(each[k]) for each in spread] if known[k] else None for spread in spreads]
        similar = _short(sigma[k]) if known[k] and sized[:, k].any() else None
        rows.append(Ambiguity(k, name, int(count[k]), both[0], both[1], similar, _short(weight[k])))
    return rows


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _chosen(rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    chosen = np.zeros(count, bool)
    chosen[rows] = True
    if not (np.diff(rows) > 0).all():
        raise DataError("the two sets have their instances in different orders; both have to come from `lmk`")
    return chosen


class _Stretch(NamedTuple):
    """What standard deviations are to be multiplied by, (K,), and the standard error of its logarithm."""

    factor: Floats
    doubt: Floats


def _memorised(square: Floats, trust: Floats, learnt: Floats, scheme: LandmarkScheme) -> _Stretch:
    """By how much residuals of held-out points are larger than those of learnt ones.

    One contour has few held-out points: its ratio is shrunk towards the mean of all ratios, the more the less they
    differ beyond their sampling errors (empirical Bayes).

    Args:
        square: (N, K) expected squared distance of the human point from the true one.
        trust: (N, K) weight of each point.
        learnt: the same, 0 for points that the detector has not learnt.
        scheme: its contours are what is looked at together.
    """
    fresh = trust - learnt
    mean = (learnt * square).sum(0) / np.maximum(learnt.sum(0), 1e-9)
    relative = square / np.where(mean > 0, mean, 1)
    group = np.full(scheme.size, len(scheme.chains))
    for number, (chain, _) in reversed(list(enumerate(scheme.chains))):
        group[list(chain)] = number
    none = np.zeros(scheme.size)
    known = [g for g in np.unique(group) if fresh[:, group == g].sum() >= FEWEST]
    if not known:
        return _Stretch(none + 1, none + MEMORY)

    def sums(values: Floats) -> Floats:
        return np.array([values[:, group == g].sum() for g in known])

    size = sums(fresh)
    ratio = sums(fresh * relative) / size
    scatter = max(float((fresh * (relative - 1) ** 2).sum() / fresh.sum()), 1e-12)
    # Of the logarithm of a standard deviation, half that of a variance.
    found, error = np.log(np.maximum(ratio, 1e-6)) / 2, np.sqrt(scatter / size) / 2
    precision = error**-2
    middle = (precision * found).sum() / precision.sum()
    beyond = (precision * (found - middle) ** 2).sum() - (len(known) - 1)
    spread = max(0.0, beyond / max(precision.sum() - (precision**2).sum() / precision.sum(), 1e-9))
    share = spread / (spread + error**2)
    each, doubt = none + middle, none + np.sqrt(spread + 1 / precision.sum())
    for g, own, part, miss in zip(known, found, share, error, strict=True):
        each[group == g] = part * own + (1 - part) * middle
        doubt[group == g] = np.sqrt(part * miss**2 + (1 - part) ** 2 / precision.sum())
    return _Stretch(np.exp(each), doubt)


def _spread(
    square: Floats, left: Floats, trust: Floats, images: NDArray[np.int64], stretch: _Stretch
) -> tuple[Floats, Floats, Floats]:
    """Standard deviations in % of the box, (K,), and their intervals, which count images instead of points.

    Args:
        square: (N, K) expected squared distance of the human point from the true one, relative to the box.
        left: (N, K) variance of the refined one.
        trust: (N, K) weight of each point.
        images: (N,) numbers of their images.
        stretch: for what the detector has memorised.
    """
    total = np.maximum(trust.sum(0), 1e-9)
    variance = (trust * square).sum(0) / total
    each = np.zeros((images.max() + 1, trust.shape[1]))
    np.add.at(each, images, trust * (square - variance))
    shown = np.maximum(variance, 1e-16)
    # Of the logarithm of the standard deviation, which is half of that of the variance.
    sampled = np.sqrt((each**2).sum(0)) / total / shown / 2
    own = (trust * np.where(trust > 0, left, 0)).sum(0) / total / shown / 2
    doubt = np.sqrt(sampled**2 + MODEL**2 + (DOUBT * own) ** 2 + stretch.doubt**2)
    middle = 100 * np.sqrt(variance) * stretch.factor
    return middle, middle * np.exp(-_SURE * doubt), middle * np.exp(_SURE * doubt)


def as_json(rows: list[Ambiguity], iteration: str) -> dict[str, Any]:
    """For programs: `sigmas` is what pycocotools calls `kpt_oks_sigmas`, `weights` what `lmk train --weights` reads.

    A landmark with too few points has no sigma, and the weight of an average one.
    """
    return {
        "iteration": iteration,
        "sigmas": [row.sigma for row in rows],
        "weights": {row.name: row.weight for row in rows},
        "landmarks": [asdict(row) for row in rows],
    }


def format_ambiguity(rows: list[Ambiguity]) -> str:
    """The table for a terminal, loosest landmarks first."""
    lines = [
        "standard deviation of the human noise in % of the box, with intervals of 95 %, loosest first",
        "(of a landmark on no contour: to the right, and down)",
        f"{'':24s}{'points':>7s}{'along its contour':>24s}{'across it':>24s}{'OKS sigma':>11s}{'weight':>8s}",
    ]
    for row in sorted(rows, key=lambda row: -(row.sigma or 0)):
        title = f"{row.landmark:4d} {row.name}"
        if row.along is None or row.across is None:
            lines.append(f"{title:24.24s}{row.points:7d}   too few points to tell")
            continue
        cells = [f"{one:8.2f} ({low:.2f} to {high:.2f})".rjust(24) for one, low, high in (row.along, row.across)]
        similar = "-" if row.sigma is None else f"{row.sigma:.4f}"
        lines.append(f"{title:24.24s}{row.points:7d}{''.join(cells)}{similar:>11s}{row.weight:8.2f}")
    return "\n".join(lines)
