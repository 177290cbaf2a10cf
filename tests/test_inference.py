"""Views of an image: whatever a network finds in them is where it is in the image."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from lmk.annotations import make_set
from lmk.crops import crops_of
from lmk.inference import predict, predict_views
from lmk.models.store import build_model
from lmk.scheme import parse_scheme
from lmk.store import write_annotations
from tests.conftest import ROOT


class Spots(nn.Module):
    """Finds the red spot, then the green one, and as every detector calls the left one left: by its place."""

    params = SimpleNamespace(input_size=64)

    def locate(self, images):
        size = images.shape[-1]
        place = (torch.arange(size) + 0.5) * 2 / size - 1
        weight = (images[:, :2] + 2).clamp(min=0) ** 2
        weight = weight / weight.sum((2, 3), keepdim=True)
        x, y = (weight.sum(2) * place).sum(-1), (weight.sum(3) * place).sum(-1)
        found = torch.stack([x, y], -1)
        order = x.argsort(1)
        return found.gather(1, order[..., None].expand(-1, -1, 2))


class Pictures:
    """CropSource with a margin, black but for a red and a green spot."""

    margin = 1.25

    def __init__(self, places):
        y, x = np.mgrid[:80, :80]
        self.pixels = np.zeros((len(places), 80, 80, 3), np.uint8)
        for picture, spots in zip(self.pixels, places, strict=True):
            for channel, (left, top) in enumerate(spots):
                picture[..., channel] = 250 * np.exp(-((x - left - 8) ** 2 + (y - top - 8) ** 2) / 8)

    def read(self, rows):
        return self.pixels[rows]


def test_every_view_finds_a_point_where_it_is_and_mirrored_ones_under_its_own_name():
    places = np.array([[[20.0, 25.0], [40.0, 36.0]], [[26.0, 40.0], [37.0, 22.0]]])  # in crops of 64 pixels
    scheme = parse_scheme('{"name": "s", "points": ["left", "right"], "mirror": [[0, 1]]}', "s")
    import pandas as pd

    table = pd.DataFrame({"image": ["a", "a", "b", "b"], "instance": 0, "landmark": [0, 1, 0, 1], "x": 1.0, "y": 1.0})
    table = table.assign(width=128, height=128, box_x=9.5, box_y=19.5, box_size=128.0)
    annotations = make_set(table, scheme, {}, "test")

    found = predict_views(Spots(), annotations, Pictures(places), 12)

    # A crop of 64 pixels shows a box of 128, whose first pixel's left edge is at 9.5.
    expected = (places + 0.5) * 2 + [9.5, 19.5]
    assert found.shape == (12, 2, 2, 2)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.6)
    assert np.abs(found - found[0]).max() > 1e-3  # the views differ


def test_measured_predictions_do_not_depend_on_what_the_processor_does_in_bfloat16(rendered, human, small, monkeypatch):
    model, crops = build_model(small.model, human.scheme, 3), crops_of(human, rendered / "faces", 64)
    kinds = []
    passed = type(model).forward

    def noted(network, images):
        found = passed(network, images)
        kinds.append(found[-1].dtype)
        return found

    monkeypatch.setattr(type(model), "forward", noted)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)

    exact = predict(model, human, crops, mirror=False)
    assert set(kinds) == {torch.float32}
    kinds.clear()
    fast = predict(model, human, crops, mirror=False, fast=True)

    assert set(kinds) == {torch.bfloat16}
    assert 0 < np.abs(fast - exact).mean() < 0.5
    np.testing.assert_array_equal(exact, predict(model, human, crops, mirror=False))


PREDICTING = """
import hashlib, sys
from pathlib import Path
from lmk.config import default_profile, load_params
from lmk.crops import crops_of
from lmk.inference import predict
from lmk.models.store import build_model
from lmk.store import read_annotations
human = read_annotations(Path(sys.argv[1]))
for params in load_params(default_profile()).downstream.models.values():
    crops = crops_of(human, Path(sys.argv[2]), params.input_size)
    points = predict(build_model(params, human.scheme, 3), human, crops, mirror=False)
    print(params.kind, hashlib.sha256(points.tobytes()).hexdigest())
"""


def test_another_process_with_other_threads_memory_and_kernels_predicts_the_same_to_the_bit(rendered, human, tmp_path):
    write_annotations(human, tmp_path / "human.parquet")
    command = [sys.executable, "-c", PREDICTING, str(tmp_path / "human.parquet"), str(rendered / "faces")]
    others = [
        {"OMP_NUM_THREADS": "2"},
        # What is read before it is written would show, and kernels without bfloat16 are those of another processor.
        {"OMP_NUM_THREADS": "1", "MALLOC_PERTURB_": "85", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    ]

    running = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **other}, stdout=subprocess.PIPE, text=True)
        for other in others
    ]
    said = [process.communicate(timeout=120)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0]
    assert [line.split()[0] for line in said[0].splitlines()] == ["hourglass", "resnet"]
    assert said[0] == said[1]
