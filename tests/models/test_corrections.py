"""Units on top of a detector: the layers of the paper, the fit of a shape, and turning upright."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from lmk.kernels.heatmap import covariances, gaussian_profiles
from lmk.models.base import Batch
from lmk.models.corrections import OTHERWISE, CorrectionParams, HeatmapCorrection
from lmk.models.shapes import ShapeCorrection
from lmk.models.store import build_model
from lmk.models.upright import _turned, _turned_points, roll
from lmk.scheme import load_scheme
from lmk.synth.render import render_face


def detector(small, **changes):
    return small.model.changed(**changes)


def test_the_layers_are_those_of_table_1(small):
    params = detector(small, input_size=256, heatmap_size=256)
    unit = HeatmapCorrection(CorrectionParams(kind="ghcu", detector=params), 68)
    convolutions = [layer for layer in unit.body if isinstance(layer, torch.nn.Conv2d)]
    shapes = []
    maps = torch.zeros(1, 68, 256, 256)
    for layer in convolutions:
        maps = layer(maps)
        shapes.append((layer.kernel_size[0], layer.out_channels, layer.stride[0], maps.shape[-1]))

    assert shapes == [
        (5, 64, 2, 128), (3, 64, 2, 64), (3, 32, 2, 32), (3, 32, 2, 16), (3, 16, 2, 8), (3, 16, 2, 4),
    ]  # fmt: skip
    kinds = [type(layer).__name__ for layer in unit.body]
    assert kinds == [*(6 * ["Conv2d", "BatchNorm2d", "ReLU"]), "Flatten", "Linear", "ReLU"]
    linear = [layer for layer in unit.body if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in [*linear, unit.head]] == [256, 2 * 68]


def shapes_of(count, landmarks=12):
    """(N, K, 2) shapes of two degrees of freedom, turned, scaled and shifted."""
    random = np.random.default_rng(0)
    turn = np.linspace(0, 2 * np.pi, landmarks, endpoint=False)
    mean = np.stack([np.cos(turn), 0.7 * np.sin(turn)], -1)
    ways = np.stack([mean * [0.0, 1.0], np.stack([np.cos(2 * turn), np.zeros(landmarks)], -1)])
    made = mean + np.einsum("nc,ckd->nkd", random.normal(0, 0.1, (count, 2)), ways)
    angle, size = random.normal(0, 0.2, count), random.uniform(0.3, 0.6, count)
    linear = size[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    return made @ linear.transpose(0, 2, 1) + random.normal(0, 0.1, (count, 1, 2))


@pytest.fixture
def shape_model(small):
    unit = ShapeCorrection(CorrectionParams(kind="pca", detector=small.model), 12)
    unit.study(shapes_of(400))
    return unit


def test_a_shape_that_labels_have_is_found_again_and_an_outlier_is_brought_home(shape_model):
    truth = torch.from_numpy(shapes_of(20)) * 16 + 16
    read = truth.clone()
    read[:, 3] += 9.0
    sure = torch.eye(2).expand(20, 12, 2, 2).clone() * 0.01
    sure[:, 3] *= 1e4

    found = shape_model.fit(read, sure)

    away = torch.linalg.vector_norm(found - truth, dim=-1)
    assert float(away.mean()) < 0.3
    assert float(away[:, 3].mean()) < 0.5


def test_a_landmark_that_no_label_has_bends_no_shape(small):
    shapes = shapes_of(400)
    shapes[:, 4] = np.nan
    unit = ShapeCorrection(CorrectionParams(kind="pca", detector=small.model), 12)
    unit.study(shapes)
    truth = torch.from_numpy(shapes_of(20)) * 16 + 16
    read = truth.clone()
    read[:, 4] += 30.0

    found = unit.fit(read, torch.eye(2).expand(20, 12, 2, 2))

    away = torch.linalg.vector_norm(found - truth, dim=-1)
    assert float(away[:, [k for k in range(12) if k != 4]].mean()) < 0.5
    assert torch.equal(found[:, 4], read[:, 4])


def test_the_fit_is_the_least_of_what_it_is_to_make_least(shape_model):
    """The same sum, written out and given to an optimiser that knows nothing of turns."""
    random = np.random.default_rng(1)
    # Readings so far off and so unsure that what holds shapes back has as much say as they, and turns take rounds.
    read = shapes_of(1)[0] * 16 + 16 + random.normal(0, 2.5, (12, 2))
    root = random.normal(0, 2.0, (12, 2, 2))
    covariance = root @ root.transpose(0, 2, 1) + 0.5 * np.eye(2)
    count = int((shape_model.spread > 0).sum())
    mean = shape_model.mean.double().numpy()
    ways = shape_model.directions[:count].double().numpy().reshape(count, 2, 12).transpose(0, 2, 1)
    spread = shape_model.spread[:count].double().numpy()

    def total(parameters):
        a, b, p, q = parameters[:4]
        shape = mean + np.einsum("c,ckd->kd", parameters[4:], ways)
        placed = shape @ np.array([[a, -b], [b, a]]).T + [p, q]
        missed = read - placed
        fits = np.einsum("ki,kij,kj->", missed, np.linalg.inv(covariance), missed)
        return fits + ((parameters[4:] / spread) ** 2).sum()

    def sum_of(placed):
        """What the sum is at least, for a shape as it was placed."""
        best = minimize(lambda p: 1e6 * ((_placed(p) - placed) ** 2).sum() + total(p), start, method="BFGS")
        return total(best.x)

    def _placed(parameters):
        a, b, p, q = parameters[:4]
        shape = mean + np.einsum("c,ckd->kd", parameters[4:], ways)
        return shape @ np.array([[a, -b], [b, a]]).T + [p, q]

    size = np.ptp(read, axis=0).max()
    start = np.r_[size, 0.0, read.mean(0) - size * mean.mean(0), np.zeros(count)]
    least = min(minimize(total, start, method="BFGS").fun, minimize(total, start, method="Nelder-Mead").fun)

    found = shape_model.fit(torch.from_numpy(read)[None], torch.from_numpy(covariance)[None])[0].numpy()

    assert sum_of(found) == pytest.approx(least, rel=1e-3)


def test_covariances_of_heatmaps_are_those_of_what_was_drawn():
    wide, narrow = gaussian_profiles(torch.tensor([15.0]), 32, 3.0), gaussian_profiles(torch.tensor([15.0]), 32, 1.5)
    maps = (narrow[0][:, None] * wide[0]).log().view(1, 1, 32, 32)

    found = covariances(maps)[0, 0]

    torch.testing.assert_close(found, torch.tensor([[9.0, 0.0], [0.0, 2.25]]) + torch.eye(2) / 12, rtol=0.02, atol=0.02)


def test_a_slanting_map_has_a_slanting_covariance():
    expected = torch.tensor([[6.0, 2.5], [2.5, 3.0]], dtype=torch.float64)
    away = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="xy"), -1).double() - 19.5
    maps = -torch.einsum("yxi,ij,yxj->yx", away, torch.linalg.inv(expected), away) / 2

    found = covariances(maps.view(1, 1, 40, 40))[0, 0]

    torch.testing.assert_close(found.double(), expected + torch.eye(2) / 12, rtol=0.01, atol=0.01)


def test_images_and_points_are_turned_upright_together():
    angle = torch.tensor([0.4])
    mean = torch.tensor([[0.0, -0.5], [0.3, 0.2], [-0.4, 0.5]])
    points = _turned_points(mean[None], angle)
    place = torch.round((points[0] + 1) * 32 - 0.5).long()
    images = torch.zeros(1, 3, 64, 64)
    for channel, (x, y) in enumerate(place.tolist()):
        images[0, channel, y, x] = 1.0

    assert float(roll(points + 0.1, mean)) == pytest.approx(0.4, abs=1e-5)

    upright = _turned(images, angle)
    for channel, wanted in enumerate(mean):
        y, x = divmod(int(upright[0, channel].argmax()), 64)
        seen = (torch.tensor([x, y]) + 0.5) / 32 - 1
        assert float((seen - wanted).abs().max()) < 2.5 / 32


def test_what_is_not_learnt_yet_is_the_fit(small):
    scheme = load_scheme("ibug68")
    fresh = [
        build_model(CorrectionParams(kind=kind, detector=small.model), scheme, 0).eval() for kind in ("pca", "shaped")
    ]
    fresh[1].detector.load_state_dict(fresh[0].detector.state_dict())
    shapes = np.stack([render_face(7, index, 64).points for index in range(40)]) / 32 - 1
    for unit in fresh:
        unit.study(shapes)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    fitted, found = (unit.locate(images) for unit in fresh)

    torch.testing.assert_close(found, fitted, atol=0.02, rtol=0)
    assert not torch.equal(found, fitted)


def test_what_the_paper_s_unit_has_not_learnt_yet_is_the_mean_shape(small):
    unit = build_model(CorrectionParams(kind="ghcu", detector=small.model), load_scheme("ibug68"), 0).eval()
    shapes = np.stack([render_face(7, index, 64).points for index in range(40)]) / 32 - 1
    unit.study(shapes)

    found = unit.locate(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))

    expected = torch.from_numpy(shapes.mean(0)).float().expand(2, -1, -1)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_units_see_heatmaps_whose_peak_is_one_where_they_are_perfect(small):
    unit = build_model(CorrectionParams(kind="ghcu", detector=small.model), load_scheme("ibug68"), 0)
    away = torch.arange(41.0) - 20
    perfect = -(away[:, None] ** 2 + away**2) / (2 * unit.detector.sigma**2)

    seen = unit.heat(perfect.flatten().log_softmax(0).view(1, 1, 41, 41))

    assert float(seen.max()) == pytest.approx(1, rel=0.02)


def test_what_looks_again_starts_from_what_the_detector_knows(small):
    unit = build_model(CorrectionParams(kind="upright", detector=small.model), load_scheme("ibug68"), 0)
    first = unit.detector.state_dict()
    assert any(not torch.equal(first[name], value) for name, value in unit.second.state_dict().items())

    unit.study(np.stack([render_face(7, index, 64).points for index in range(4)]) / 32 - 1)

    for name, value in unit.second.state_dict().items():
        assert torch.equal(first[name], value), name


def test_half_of_what_units_learn_from_is_coarse_and_nothing_of_what_detectors_do(small):
    for kind in ("ghcu", "shaped", "upright"):
        unit = build_model(CorrectionParams(kind=kind, detector=small.model), load_scheme("ibug68"), 0)
        assert unit.coarse == 0.5
        assert unit.detector.coarse == 0


def test_heatmaps_and_points_are_laid_out_as_other_shapes(small):
    side = 128
    params = detector(small, input_size=side, heatmap_size=side)
    unit = HeatmapCorrection(CorrectionParams(kind="ghcu", detector=params), 12)
    points = torch.from_numpy(shapes_of(6)).float() * 0.5
    weight = torch.ones(6, 12)
    weight[0, 5] = 0  # so that neither it nor the two that would be moved by it know where it goes
    points[0, 5] = 0
    place = unit.detector.to_heatmap(points)
    across, down = (gaussian_profiles(place[..., axis], side, unit.detector.sigma) for axis in (0, 1))
    maps = (down[..., None] * across[..., None, :]).log()

    moved, there = unit._other_shapes(maps, points, weight)

    torch.testing.assert_close(unit.detector.decode(moved), there, atol=0.01, rtol=0)
    torch.testing.assert_close(moved.exp().sum((2, 3)), torch.ones(6, 12))
    assert torch.equal(there[:3, 5], points[:3, 5])
    for number in (3, 4, 5):
        face, one, other = points[number], points[number - 1], points[number - 2]
        wanted = face + OTHERWISE * (laid(one, face) - laid(other, face))
        assert float((there[number] - wanted).abs().max()) <= 1.01 / side  # whole pixels
    assert float((there[3:] - points[3:]).abs().max()) > 2 / side

    alike = points[:1] * torch.tensor([0.5, 0.9, 1.3])[:, None, None] + 0.1  # three faces of one shape
    assert torch.equal(unit._other_shapes(maps[:3], alike, torch.ones(3, 12))[1], alike)


def test_a_unit_learns_both_what_it_sees_and_what_was_moved(small, monkeypatch):
    params = detector(small, input_size=128, heatmap_size=128)  # so that shapes differ by pixels
    unit = HeatmapCorrection(CorrectionParams(kind="ghcu", detector=params), 12)
    points, weight = torch.from_numpy(shapes_of(5)).float() * 0.5, torch.ones(5, 12)
    weight[2, 7] = 0
    points[2, 7] = 9.0  # counts neither here nor where it was moved to
    images = torch.zeros(5, 3, 128, 128)
    with torch.no_grad():
        there = unit._other_shapes(unit.detector.log_heatmaps(images), points, weight)[1]
    monkeypatch.setattr(unit, "correct", lambda maps: torch.zeros(len(maps), 12, 2))

    away = torch.linalg.vector_norm(torch.stack([points, there]), dim=-1)[torch.stack([weight, weight]) > 0]

    assert len(away) == 2 * 59
    assert float((there - points).abs().max()) > 2 / 128
    assert float(unit.loss(Batch(images, points, weight))) == pytest.approx(float(away.mean()), rel=1e-5)


def laid(shape, on):
    """By a general solver: the turn, size and shift that bring a shape nearest to another."""
    x, y = shape.double().numpy().T
    zero, one = np.zeros(12), np.ones(12)
    design = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    best = np.linalg.lstsq(design, on.double().numpy().T.ravel(), rcond=None)[0]
    return torch.from_numpy((design @ best).reshape(2, 12).T).float()


class BrightSpot(torch.nn.Module):
    """A detector of one landmark that needs no training: the brightest place of the first channel."""

    def log_heatmaps(self, images):
        return images[:, :1]

    def decode(self, maps):
        best = maps.flatten(2).argmax(-1)
        size = maps.shape[-1]
        return (torch.stack([best % size, best // size], -1) + 0.5) * 2 / size - 1

    def loss(self, batch):
        return torch.linalg.vector_norm(self.decode(self.log_heatmaps(batch.images)) - batch.points, dim=-1).mean()


def test_a_face_is_turned_upright_and_its_points_back(small, monkeypatch):
    unit = build_model(CorrectionParams(kind="upright", detector=small.model), load_scheme("ibug68"), 0)
    monkeypatch.setattr(unit, "second", BrightSpot())
    monkeypatch.setattr(unit, "_roll", lambda images: torch.full((len(images),), 0.6))
    place = torch.tensor([[[0.5, -0.2]]])
    pixel = (place[0, 0] + 1) / 2 * 64 - 0.5
    away = (torch.arange(64)[:, None] - pixel[1]) ** 2 + (torch.arange(64)[None] - pixel[0]) ** 2
    image = torch.exp(-away / 18).expand(1, 3, -1, -1)

    turned = unit.second.decode(unit.second.log_heatmaps(_turned(image, torch.tensor([0.6]))))

    assert float((turned - place).abs().max()) > 0.15
    torch.testing.assert_close(unit.locate(image), place, atol=0.03, rtol=0)
    assert float(unit.loss(Batch(image, place, torch.ones(1, 1)))) < 0.03
