"""Networks on disk."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from lmk.config import CorrectionParams
from lmk.errors import ModelError
from lmk.models import CONFIG, MODELS, WEIGHTS, build_model, load_model, save_model
from lmk.models.corrections import CORRECTIONS, Correction
from lmk.scheme import load_scheme

CURVE = pd.DataFrame({"images": [8], "loss": [1.5]})


@pytest.mark.parametrize("kind", MODELS)
def test_a_network_comes_back_with_its_weights_and_says_the_same(small, tmp_path, kind):
    scheme = load_scheme("ibug68")
    corrections = {name: CorrectionParams(kind=name, detector=small.model) for name in CORRECTIONS}
    model = build_model({**corrections, **small.downstream.models}[kind], scheme, seed=4).eval()
    if isinstance(model, Correction):
        model.study(np.random.default_rng(0).uniform(-1, 1, (30, 68, 2)))
    save_model(model, scheme, {"producer": "test"}, CURVE, tmp_path / "model")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    back = load_model(tmp_path / "model", scheme)

    with torch.inference_mode():
        torch.testing.assert_close(back.locate(images), model.locate(images), rtol=0, atol=0, equal_nan=True)
        assert back.locate(images).shape == (2, 68, 2)


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
