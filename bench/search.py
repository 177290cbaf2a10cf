"""The search on its own: time against Eq. 4 written out, error against float64, memory, share of a network's time.

`python bench/search.py [--rounds 9]`: one face at a time, 68 points, window 17 and template 19 on 256-pixel heatmaps,
the paper's numbers.  The rival is the sum of Eq. 4 written out for every candidate, on the same patches: once the sums
alone, once whole searches with either, cutting out the patches included.  They take turns, because machines are noisy.
Prints medians as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lmk.config import load_params, profile_path
from lmk.inference import autocast, keep_memory, on_device
from lmk.kernels import search as kernel
from lmk.models.store import build_model
from lmk.scheme import load_scheme

POINTS, SIZE, SIGMA, FLOOR = 68, 256, 6.0, 0.01
SEARCH: dict[str, Any] = {
    "sigma": SIGMA,
    "window": 17.0,
    "template": 19.0,
    "per_pixel": 1,
    "prior_weight": 0.1,
    "floor": FLOOR,
}
HALF, SCALE = int(SEARCH["template"] / 2), math.log(2 * math.pi * SIGMA**2)
CALLS = 5  # in a row


def written_out(patch: Tensor, profile: Tensor, per_pixel: int) -> Tensor:
    """Eq. 4 as it stands: for every candidate the sum over the template of (E - P)^2 / E."""
    profile = profile.to(patch)
    expected = profile[:, None] * profile
    span = (len(profile) - 1) * per_pixel + 1
    cut = patch.unfold(1, span, 1).unfold(2, span, 1)[..., ::per_pixel, ::per_pixel]
    return ((expected - cut) ** 2 / expected).sum((-2, -1))


def face(seed: int) -> tuple[Tensor, Tensor]:
    """Log-heatmaps of a face as a network draws them: a blurred peak on an uneven ground; and where humans clicked."""
    random = torch.Generator().manual_seed(seed)
    centres = 40 + 176 * torch.rand(POINTS, 2, generator=random)
    width = SIGMA * (1 + torch.rand(POINTS, 2, generator=random))
    place = torch.arange(SIZE, dtype=torch.float32)
    along = (-((place - centres[..., None]) ** 2) / (2 * width[..., None] ** 2)).float()
    maps = along[:, 1, :, None] + along[:, 0, None, :] + 0.3 * torch.randn(POINTS, SIZE, SIZE, generator=random)
    return maps.flatten(1).log_softmax(-1).view_as(maps), centres + 4 * torch.randn(POINTS, 2, generator=random)


def seconds(work: Callable[[], Any]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def with_rival(work: Callable[[], Any]) -> Any:
    """Call with the sum written out in the place of ours."""
    ours, kernel.chi_square = kernel.chi_square, written_out
    try:
        return work()
    finally:
        kernel.chi_square = ours


def worst_chi2_error(maps: Tensor, observed: Tensor) -> float:
    """Largest difference of chi2 to Eq. 4 written out in float64, relative to the template's sum."""
    steps = int(SEARCH["window"] / 2) + HALF
    ours = kernel.resample(maps, observed, steps, 1).add_(SCALE).exp_()
    exact = kernel.resample(maps.double(), observed.double(), steps, 1).add_(SCALE).exp_()
    shape = kernel.template_profile(HALF, SIGMA, FLOOR)
    error = kernel.chi_square(ours, shape, 1).double() - written_out(exact, shape, 1)
    return float(error.abs().max() / shape.sum() ** 2)


def most_memory(work: Callable[[], Any]) -> int:
    """Largest sum of tensors that were alive at once, in bytes, over what was alive before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    alive = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


def network_seconds(rounds: int) -> float:
    """Median time of the paper's network for one face."""
    params = load_params(profile_path("300w")).model
    model = on_device(build_model(params, load_scheme("ibug68"), 0)).eval()
    image = torch.randn(1, 3, params.input_size, params.input_size).to(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast():
        model(image)
        return statistics.median(seconds(lambda: model(image)) for _ in range(rounds))


def measure(rounds: int) -> dict[str, Any]:
    """All numbers of the page."""
    keep_memory()
    faces = [face(seed) for seed in range(4)]
    maps, observed = faces[0]

    def ours() -> Any:
        return kernel.search(maps, observed, **SEARCH)

    patch = kernel.resample(maps, observed, int(SEARCH["window"] / 2) + HALF, 1).add_(SCALE).exp_()
    shape = kernel.template_profile(HALF, SIGMA, FLOOR)
    works: dict[str, Callable[[], Any]] = {
        "search": ours,
        "search, written out": lambda: with_rival(ours),
        "sum": lambda: kernel.chi_square(patch, shape, 1),
        "sum, written out": lambda: written_out(patch, shape, 1),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    with torch.inference_mode():
        same = torch.allclose(ours().points, with_rival(ours).points, atol=1e-3)
        for _ in range(rounds):
            for name, work in works.items():
                work()  # what ran before has filled the caches
                times[name].append(statistics.median(seconds(work) for _ in range(CALLS)))
    memory = most_memory(ours)
    network = network_seconds(max(3, rounds // 3))
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "milliseconds": {name: round(1000 * value, 2) for name, value in median.items()}
        | {"network": round(1000 * network, 1)},
        "times_faster": {
            name: round(statistics.median(np.divide(times[f"{name}, written out"], times[name])), 1)
            for name in ("sum", "search")
        },
        "share_of_network": round(median["search"] / network, 4),
        "chi2_error_of_sum_E": max(worst_chi2_error(*one) for one in faces),
        "megabytes": round(memory / 1e6, 2),
        "same_positions": same,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    print(json.dumps(measure(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
