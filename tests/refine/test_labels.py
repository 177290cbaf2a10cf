"""Refiners on whole sets: what moves, what stays, and what is known about it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lmk.annotations import EVIDENCE
from lmk.crops import crops_of
from lmk.errors import ModelError
from lmk.kernels.suspicion import DOUBT
from lmk.models.hourglass import StackedHourglass
from lmk.models.resnet import ResNetParams
from lmk.models.store import build_model
from lmk.refine.align import LOOKED_AT, AlignParams, KeepParams, align
from lmk.refine.base import Observed
from lmk.refine.consensus import ConsensusParams
from lmk.refine.labels import Search, judge_the_judge, refine_labels, refiner_of
from lmk.registry import REFINERS


@pytest.fixture(scope="module")
def refine(rendered, human, small):
    crops = crops_of(human, rendered / "faces", 64)
    network = build_model(small.model, human.scheme, 0)

    def run(refiner="align", labels=human, observed=None, model=network, **changes):
        params = PARAMS[refiner].changed(**changes)
        start = labels if observed is None else labels.moved(observed, 0, {}, {})
        return refine_labels(Search(model, start, labels, crops), params, 1, {"producer": "test"})

    return run


PARAMS = {
    "align": AlignParams(
        kind="align", window=49.0, template=19.0, step=1.0, prior_weight=0.1, floor=0.01, observation="updated",
        mirror=True,
    ),
    "consensus": ConsensusParams(kind="consensus", views=4, mirror=True),
    "keep": KeepParams(kind="keep", mirror=True),
}  # fmt: skip


def test_every_refiner_is_tested_here():
    assert PARAMS.keys() == REFINERS.keys()
    for name, params in PARAMS.items():
        assert refiner_of(params).Params is type(params)
        assert name == params.kind


class Oracle(StackedHourglass):
    """Draws the heatmaps of a perfect network: Gaussians where it is told."""

    def __init__(self, params, labels, truth):
        super().__init__(params, labels.landmarks)
        inside = (truth - labels.boxes[:, None, :2]) / labels.boxes[:, None, 2:] * 2 - 1
        self.place = self.to_heatmap(torch.from_numpy(inside))
        self.seen = 0

    def log_heatmaps(self, images, flip=None):
        centres = self.place[self.seen : self.seen + len(images)]
        self.seen += len(images)
        pixel = torch.arange(self.params.heatmap_size, dtype=torch.float64)
        x = -((pixel - centres[..., :1]) ** 2) / (2 * self.sigma**2)
        y = -((pixel - centres[..., 1:]) ** 2) / (2 * self.sigma**2)
        maps = y[..., :, None] + x[..., None, :]
        return maps.flatten(2).log_softmax(-1).view(maps.shape).float()


@pytest.fixture
def in_the_middle(human):
    """Labels away from the border of image and crop, so that nothing is cut off."""
    grid = np.stack(np.meshgrid(np.linspace(20, 44, 17), np.linspace(20, 44, 4)), -1).reshape(68, 2)
    points = np.broadcast_to(grid, human.points.shape)
    return human.with_columns(x=points[..., 0], y=points[..., 1], split="train")


@pytest.mark.parametrize("name", ["align", "keep"])
def test_a_refiner_keeps_a_label_that_the_model_agrees_with(refine, small, in_the_middle, name):
    model = Oracle(small.model, in_the_middle, in_the_middle.points)

    refined = refine(name, in_the_middle, model=model, mirror=False)

    np.testing.assert_allclose(refined.points, in_the_middle.points, atol=0.01)
    assert not np.nan_to_num(refined.column("at_edge").astype(float)).any()
    np.testing.assert_allclose(refined.column("peak"), 1, atol=0.02)


def test_align_finds_the_truth_where_the_network_knows_it_and_the_prior_holds_it_back(refine, small, in_the_middle):
    random = np.random.default_rng(0)
    truth = in_the_middle.points + random.uniform(-2, 2, in_the_middle.points.shape)

    def error(weight):
        model = Oracle(small.model, in_the_middle, truth)
        refined = refine("align", in_the_middle, model=model, mirror=False, prior_weight=weight)
        return np.abs(refined.points - truth).max(), refined

    free, refined = error(0.0)
    held, _ = error(0.5)
    assert free < 0.05
    assert held > 2 * free
    # The prior cost is lambda times the squared way in heatmap pixels.
    _, refined = error(0.1)
    way = np.linalg.norm(refined.points - in_the_middle.points, axis=-1) / in_the_middle.boxes[:, 2:] * 32
    np.testing.assert_allclose(refined.column("prior_cost"), 0.1 * way**2, atol=4e-3)  # labels are rounded


def test_only_labelled_points_of_train_move_and_only_they_have_evidence(refine, small, human):
    labels = human.without(np.arange(human.labelled.size).reshape(human.shape) == 7)
    train = labels.select(labels.in_split("train"))
    elsewhere = Oracle(small.model, train, np.nan_to_num(train.points) + 2)

    refined = refine(labels=labels, model=elsewhere, mirror=False, prior_weight=0.0)

    searched = labels.in_split("train")[:, None] & labels.labelled
    of_the_search = set(EVIDENCE) - (ConsensusParams.fills - LOOKED_AT) - {"repeats"}
    assert AlignParams.fills == of_the_search - {"fold"}
    for name in of_the_search:
        np.testing.assert_array_equal(np.isfinite(refined.column(name).astype(float)), searched)
    assert refined.frame[["error_after", "suspicion", "reason", "kept", "repeats"]].isna().all(axis=None)
    moved = np.linalg.norm(refined.points - labels.points, axis=-1)
    assert not (moved[~searched] > 0).any()
    assert (moved[searched] > 0).mean() > 0.9
    assert set(refined.instances["iteration"]) == {1}


def test_keep_moves_nothing_to_the_last_bit(refine, human):
    refined = refine("keep")

    assert refined.points.tobytes() == human.points.tobytes()
    assert np.isfinite(refined.column("chi2")[human.in_split("train")]).all()


def test_no_point_goes_further_than_its_window_or_out_of_its_image(refine, human):
    refined = refine(window=20.0)

    train = human.in_split("train")
    way = np.abs(refined.points - human.points)[train] / human.boxes[train, None, 2:] * 256
    assert way.max() <= 10 + 1e-6
    low, high = np.fmin(human.points, 0), np.fmax(human.points, 63)
    assert (refined.points >= low).all()
    assert (refined.points <= high).all()


def test_the_search_starts_where_it_is_told(refine, human):
    elsewhere = human.points + 3

    refined = refine(observed=elsewhere, window=4.0)

    train = human.in_split("train")
    assert np.abs(refined.points - np.clip(elsewhere, 0, 63))[train].max() < 2 / 256 * human.boxes[:, 2].max() + 1e-6


def test_a_regressor_cannot_judge(refine, human):
    regressor = build_model(ResNetParams(kind="resnet", width=8, depth=1, input_size=64), human.scheme, 0)

    with pytest.raises(ModelError, match="resnet draws no heatmaps"):
        refine(model=regressor)


def test_consensus_judges_all_human_points_and_moves_those_of_train(refine, human, every_peak_counts):
    labels = human.without(np.arange(human.labelled.size).reshape(human.shape) == 7)

    refined = refine("consensus", labels, views=4)

    train = labels.in_split("train")[:, None]
    np.testing.assert_array_equal(np.isfinite(refined.column("suspicion")), labels.labelled)
    errors = {f"error_{name}" for name in ("before", "after", "along", "network")}
    assert errors | {"suspicion", "reason", "kept"} | LOOKED_AT == ConsensusParams.fills
    assert refined.frame[["prior_cost", "at_edge"]].isna().all(axis=None)  # it has no prior weight and no window
    for name in (*errors, "chi2", "chi2_observed", "peak", "spread"):
        np.testing.assert_array_equal(np.isfinite(refined.column(name).astype(float)), train & labels.labelled)
    moved = np.linalg.norm(refined.points - labels.points, axis=-1)
    assert not (moved[~(train & labels.labelled)] > 0).any()
    assert (moved[train & labels.labelled] > 0).mean() > 0.9
    doubtful = np.nan_to_num(refined.column("suspicion")) >= DOUBT
    np.testing.assert_array_equal(pd.notna(refined.column("reason")), doubtful)
    assert refined.provenance["disagreement"] > 0


def test_a_network_that_has_memorised_noise_is_told_from_a_better_one():
    random = np.random.default_rng(0)
    noise = random.normal(0, 4, (200, 40, 2))
    unseen = random.random((200, 40)) < 0.1

    def judged(own_error, memory):
        error = random.normal(0, own_error, noise.shape)
        taken = np.where(unseen[..., None], 0, memory) * noise
        return judge_the_judge(np.linalg.norm(error + taken - noise, axis=-1), unseen)

    good, worse, parrot = judged(0.5, 0.02), judged(1.5, 0.02), judged(0.5, 0.4)
    assert good["disagreement"] < worse["disagreement"]
    assert good["disagreement"] < parrot["disagreement"]
    assert good["memorised"] < 0.1
    assert 0.25 < parrot["memorised"] < 0.4
    assert judge_the_judge(np.full((3, 4), np.nan), None)["disagreement"] == 0


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_a_heatmap_without_a_peak_moves_nothing(strength):
    random = torch.Generator().manual_seed(5)
    noise = strength * torch.randn(40, 64, 64, generator=random)
    maps = noise.flatten(1).log_softmax(-1).view_as(noise)
    maps[0, 30, 33] = 4.0
    maps[0] = maps[0].flatten().log_softmax(0).view(64, 64)
    observed = 12 + 40 * torch.rand(40, 2, generator=random)
    observed[0] = torch.tensor([31.0, 31.0])

    present = torch.ones(1, 40, dtype=torch.bool)

    found = align(Observed(maps[None], observed[None], present, observed[None], 1.5), PARAMS["align"])

    assert torch.equal(found.points[0, 1:], observed[1:])
    assert torch.equal(found.chi2[0, 1:], found.chi2_observed[0, 1:])
    assert not found.prior_cost[0, 1:].any()
    assert not torch.equal(found.points[0, 0], observed[0])
