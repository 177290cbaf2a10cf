"""Images a second of one training step: our loss and kept memory against plain autograd and glibc's defaults.

`python bench/training_speed.py [--rounds 3]`; each measurement is a process of its own, because the setting of glibc is
the process's, and the rivals take turns, because machines are noisy.  Prints medians and their ratio as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a process that only starts others needs no torch
    from torch import Tensor

RIVALS = {"autograd": (False, False), "own gradient": (True, False), "kept memory": (False, True), "both": (True, True)}


def plain_cross_entropy(logits: Tensor, points: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """The loss as one would write it down, the rival, with the gradient that torch finds by itself."""
    import torch

    from lmk.kernels.heatmap import gaussian_profiles

    logits = logits.float()
    along_x = gaussian_profiles(points[..., 0], logits.shape[-1], sigma)
    along_y = gaussian_profiles(points[..., 1], logits.shape[-2], sigma)
    each = logits.flatten(2).logsumexp(-1) - torch.einsum("bkyx,bky,bkx->bk", logits, along_y, along_x)
    mean: Tensor = (each * weight).sum() / weight.sum().clamp(min=1)
    return mean


def measure(own_gradient: bool, kept_memory: bool, steps: int) -> float:
    """Images a second of the default network on random images."""
    import torch

    from lmk.config import default_profile, load_params
    from lmk.inference import autocast, keep_memory, on_device
    from lmk.models import heatmaps
    from lmk.models.base import Batch
    from lmk.models.store import build_model
    from lmk.scheme import load_scheme

    if kept_memory:
        keep_memory()
    if not own_gradient:
        heatmaps.LOSSES["cross_entropy"] = plain_cross_entropy
    params = load_params(default_profile())
    batch, size = params.training.batch, params.model.input_size
    model = on_device(build_model(params.model, load_scheme("ibug68"), 0)).train()
    optimiser = torch.optim.AdamW(model.parameters())
    images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    points, weight = torch.rand(batch, 68, 2) - 0.5, torch.ones(batch, 68)
    for step in range(steps + 3):
        if step == 3:
            started = time.perf_counter()
        with autocast():
            loss = model.loss(Batch(images, points, weight))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return steps * batch / (time.perf_counter() - started)


def main() -> None:
    """Measure every rival in turn, in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--one", choices=RIVALS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*RIVALS[options.one], options.steps))
        return
    found: dict[str, list[float]] = {name: [] for name in RIVALS}
    for _ in range(options.rounds):
        for name in RIVALS:
            command = [sys.executable, __file__, "--one", name, "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(float(done.stdout))
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    ratios = {name: round(value / medians["autograd"], 2) for name, value in medians.items()}
    print(json.dumps({"images_per_second": medians, "ratio": ratios}, indent=2))


if __name__ == "__main__":
    main()
