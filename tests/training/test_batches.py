"""Training batches: image and points go through the same view, and a step's batch depends on nothing but the step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmk.config import AugmentationParams
from lmk.crops import crops_of
from lmk.kernels.views import apply_view, view
from lmk.training.batches import TrainingData, random_views
from lmk.training.recipe import Recipe

STILL = AugmentationParams(rotation=0.0, scale=0.0, shift=0.0, flip=False, colour=0.0, occlusion=0.0)
WILD = AugmentationParams(rotation=20.0, scale=0.1, shift=0.05, flip=True, colour=0.3, occlusion=0.5)


@pytest.fixture
def recipe(small):
    """A recipe of the small network, with seed 3."""

    def make(augmentation=WILD, importance=None):
        return Recipe(small.model, small.training.changed(seed=3), augmentation, importance=importance)

    return make


@pytest.fixture
def data(rendered, human, recipe):
    crops = crops_of(human, rendered / "faces", 64)
    return lambda augmentation: TrainingData(human, crops, recipe(augmentation))


@pytest.mark.parametrize("seed", range(5))
def test_a_bright_spot_and_its_point_go_to_the_same_place(seed):
    random = torch.Generator().manual_seed(seed)
    matrix, _ = random_views(1, WILD, may_flip=True, random=random)
    size, margin = 96, 1.25
    at = (torch.rand(1, 1, 2, generator=random) - 0.5) * 0.9  # in parts of the box
    place = (at[0, 0] / margin + 1) / 2 * (size * margin) - 0.5
    grid = torch.arange(round(size * margin))
    spot = torch.exp(-((grid - place[0]) ** 2)[None, :] / 18 - ((grid - place[1]) ** 2)[:, None] / 18)

    seen = view(spot.expand(1, 3, -1, -1), matrix, size, margin)[0, 0]

    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    found = torch.stack([(seen * x).sum(), (seen * y).sum()]) / seen.sum()
    expected = (apply_view(at, matrix)[0, 0] + 1) / 2 * size - 0.5
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_a_mirrored_face_has_its_left_eye_on_the_left(data):
    mirrored = AugmentationParams(**{**STILL.model_dump(), "flip": True})
    still, maybe = data(STILL), data(mirrored)
    flip = maybe.flip

    plain, other = still.batch(0, 20), maybe.batch(0, 20)

    same = (plain.points - other.points).abs().amax((1, 2)) < 1e-5
    assert 2 < int(same.sum()) < 18  # some are mirrored, some are not
    turned = ~same
    expected = plain.points[turned][:, flip] * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(other.points[turned], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.images[turned], plain.images[turned].flip(-1), atol=0.05, rtol=0)


def test_the_batch_of_a_step_does_not_depend_on_the_steps_before(data):
    fresh, used = data(WILD), data(WILD)
    for step in range(4):
        used.batch(step, 8)

    for one, other in zip(fresh.batch(4, 8), used.batch(4, 8), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_every_instance_comes_once_a_turn_and_in_another_order_each_time(data):
    loader = data(STILL)

    turns = [[int(loader._instance(turn * 20 + i)) for i in range(20)] for turn in range(3)]

    assert all(sorted(turn) == list(range(20)) for turn in turns)
    assert turns[0] != turns[1] != turns[2]


def test_points_without_a_label_have_no_weight_and_no_nan(rendered, human, recipe):
    gone = human.without(np.arange(human.labelled.size).reshape(human.shape) == 5)
    crops = crops_of(gone, rendered / "faces", 64)

    batch = TrainingData(gone, crops, recipe()).batch(0, 20)

    assert int((batch.weight == 0).sum()) == 1
    assert torch.isfinite(batch.points).all()


def test_half_of_the_images_are_coarse_and_nothing_else_is_changed(rendered, human, recipe):
    crops = crops_of(human, rendered / "faces", 64)
    plain = TrainingData(human, crops, recipe()).batch(0, 20)

    coarse = TrainingData(human, crops, recipe(), coarse=0.5).batch(0, 20)

    assert torch.equal(coarse.points, plain.points)
    assert torch.equal(coarse.weight, plain.weight)
    changed = (coarse.images != plain.images).flatten(1).any(1)
    assert 4 <= int(changed.sum()) <= 16

    def detail(images):
        return images.diff(dim=-1).abs().mean((1, 2, 3))

    assert (detail(coarse.images)[changed] < 0.9 * detail(plain.images)[changed]).all()
    torch.testing.assert_close(coarse.images.mean((2, 3)), plain.images.mean((2, 3)), atol=0.15, rtol=0)


def test_a_landmark_counts_as_much_as_it_is_said_to(rendered, human, recipe):
    crops = crops_of(human, rendered / "faces", 64)
    importance = np.where(human.scheme.flip == np.arange(68), 0.5, 2.0)  # the same for both sides

    batch = TrainingData(human, crops, recipe(importance=dict(zip(human.scheme.names, importance, strict=True)))).batch(
        0, 20
    )

    torch.testing.assert_close(batch.weight, torch.from_numpy(importance).float().expand(20, -1), atol=0, rtol=0)
