"""Networks on disk."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from lmk.config import parse_section
from lmk.errors import ModelError
from lmk.models.base import Batch
from lmk.models.store import CONFIG, WEIGHTS, build_model, load_model, save_model
from lmk.registry import NETWORKS
from lmk.scheme import load_scheme

CURVE = pd.DataFrame({"images": [8], "loss": [1.5]})


SMALLEST = {}  # parameters of detectors that are not in the small profile, by kind; a new detector wants its own here


def parameters(kind, small):
    """Small ones of a kind."""
    if kind in SMALLEST:
        return parse_section(NETWORKS[kind].load().Params, {"kind": kind, **SMALLEST[kind]}, "test")
    if NETWORKS[kind].corrects:
        return parse_section(NETWORKS[kind].load().Params, {"kind": kind, "detector": small.model}, "test")
    return small.downstream.models[kind]


def made(kind, small, seed=4):
    """An untrained network; what stands on a detector has one, and has seen shapes."""
    params, scheme = parameters(kind, small), load_scheme("ibug68")
    known = build_model(params.beneath, scheme, seed=9) if params.beneath else None
    shapes = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 68, 2))
    return build_model(params, scheme, seed).start(known, shapes)


def batch():
    random = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=random)
    return Batch(images, torch.rand(4, 68, 2, generator=random) * 1.6 - 0.8, torch.ones(4, 68))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_comes_back_with_its_weights_and_says_the_same(small, tmp_path, kind):
    scheme, model = load_scheme("ibug68"), made(kind, small).eval()
    save_model(model, scheme, {"producer": "test"}, CURVE, tmp_path / "model")

    back = load_model(tmp_path / "model", scheme)

    assert back.params == model.params
    with torch.inference_mode():
        one, other = (network.predict(batch().images) for network in (model, back))
    torch.testing.assert_close(one.points, other.points, rtol=0, atol=0, equal_nan=True)
    assert one.points.shape == (4, 68, 2)
    for about in (one.confidence, one.visibility):
        assert about is None or (about.shape == (4, 68) and bool(((about >= 0) & (about <= 1 + 1e-5)).all()))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_that_is_trained_gets_a_gradient(small, kind):
    model = made(kind, small).train()
    wanted = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if not model.learns:
        assert not wanted
        return

    loss = model.loss(batch())
    loss.backward()

    assert torch.isfinite(loss)
    got = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.abs().sum() > 0}
    assert got == wanted


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_seed_gives_the_same_weights_and_another_others(small, kind):
    one, two, other = (made(kind, small, seed).state_dict() for seed in (4, 4, 5))

    assert all(torch.equal(value, two[name]) for name, value in one.items())
    if made(kind, small).learns and kind != "upright":  # which starts from the detector's weights
        assert any(not torch.equal(value, other[name]) for name, value in one.items() if "detector" not in name)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_mirrored_image_counts_as_much_as_the_image(small, kind):
    model, flip = made(kind, small).eval(), torch.from_numpy(load_scheme("ibug68").flip)
    images = batch().images

    with torch.inference_mode():
        straight = model.predict(images, flip).points
        mirrored = model.predict(images.flip(-1), flip).points

    torch.testing.assert_close(mirrored[:, flip] * torch.tensor([-1.0, 1.0]), straight, atol=1e-4, rtol=0)


def test_a_heatmap_without_a_peak_is_no_position(small):
    model = build_model(small.model, load_scheme("ibug68"), 0).eval()
    size = small.model.heatmap_size
    flat, peaked = torch.zeros(size, size), torch.zeros(size, size)
    peaked[10, 20] = 12.0
    drawn = torch.stack([flat, peaked])[None].flatten(2).log_softmax(-1).view(1, 2, size, size)
    model.log_heatmaps = lambda images: drawn

    [[nowhere, somewhere]] = model.locate(torch.zeros(1, 3, 64, 64))

    assert nowhere.isnan().all()
    assert model.to_heatmap(somewhere).tolist() == pytest.approx([20, 10], abs=0.1)


def test_a_wide_map_is_read_by_its_mean_and_its_peak_apart_from_that(small):
    model = build_model(small.model, load_scheme("ibug68"), 0)
    assert 3 * model.sigma < 4 < 6 * model.sigma < 20  # pixels, of the two masses below
    drawn = torch.full((1, 2, small.model.heatmap_size, small.model.heatmap_size), -30.0)
    drawn[0, :, 10, 5] = 2.0
    drawn[0, 0, 10, 9], drawn[0, 1, 10, 25] = 1.0, 1.0  # one of the noise, and one of something else
    maps = drawn.flatten(2).log_softmax(-1).view_as(drawn)

    meant, peaks = (model.to_heatmap(read(maps))[0].tolist() for read in (model.decode, model.peaks))

    assert peaks == [pytest.approx([5, 10], abs=1e-3)] * 2
    assert meant == [pytest.approx([5 + 4 / (1 + np.e), 10], abs=1e-3), pytest.approx([5, 10], abs=1e-3)]


def test_a_checkpoint_of_another_scheme_is_refused(small, tmp_path):
    wflw, ibug = load_scheme("wflw98"), load_scheme("ibug68")
    save_model(build_model(small.model, wflw, 0), wflw, {}, CURVE, tmp_path / "model")

    with pytest.raises(ModelError, match=r"trained for scheme wflw98 \(98 points\).*ibug68 \(68 points\)"):
        load_model(tmp_path / "model", ibug)


def test_damaged_and_newer_checkpoints_are_refused_in_one_line(small, tmp_path):
    ibug = load_scheme("ibug68")
    model = tmp_path / "model"
    save_model(build_model(small.model, ibug, 0), ibug, {}, CURVE, model)
    whole = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        load_model(model, ibug)
    config = json.loads((model / CONFIG).read_text())
    (model / CONFIG).write_text(json.dumps(config | {"version": 99}))
    with pytest.raises(ModelError, match="newer lmk"):
        load_model(model, ibug)
    with pytest.raises(ModelError, match="not a model of lmk"):
        load_model(tmp_path, ibug)


def test_points_and_heatmap_pixels_are_each_others_inverse(small):
    model = build_model(small.model, load_scheme("ibug68"), 0)
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])

    # The edges of the crop are half a pixel outside the centres of the first and the last pixel.
    assert model.to_heatmap(corners).tolist() == [[-0.5, -0.5], [31.5, 31.5]]
    torch.testing.assert_close(model.from_heatmap(model.to_heatmap(corners)), corners)
