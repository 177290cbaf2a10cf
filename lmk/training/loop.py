"""The one loop that trains every network, and goes on where it was killed."""

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from safetensors import safe_open
from torch import Tensor, nn

from lmk.annotations import AnnotationSet
from lmk.config import TrainingParams
from lmk.console import Progress
from lmk.crops import CropSource
from lmk.errors import ModelError
from lmk.inference import as_input, autocast, device, on_device, predict
from lmk.kernels.metrics import bounds_side, instance_errors, point_errors
from lmk.limits import WEIGHT_BYTES
from lmk.models.base import Batch, Detector
from lmk.models.store import load_weights_into, write_tensors
from lmk.reading import check_file, parse_json, whole
from lmk.store import replacing
from lmk.training.batches import TrainingData
from lmk.training.held_out import taught
from lmk.training.recipe import Recipe

CHECKPOINT = "checkpoint.safetensors"
COLUMNS = ["images", "loss", "val_nme", "learning_rate"]  # of a curve


class Course(NamedTuple):
    """Where a training keeps its checkpoints, and who hears of it."""

    work: Path  # folder for checkpoints, named by what is trained on what; a training goes on from those it finds
    title: str  # for the progress
    after_step: Callable[[int], None] | None = None  # called with the number of each finished step; for tests


def train(
    model: Detector, annotations: AnnotationSet, crops: CropSource, recipe: Recipe, course: Course
) -> tuple[Detector, pd.DataFrame]:
    """Train on the split `train`, look at `val`, never at `test`.

    Args:
        model: where to start from; it is changed.
        annotations: all instances, in the order of `crops`.
        crops: their pixels.
        recipe: budget, optimiser, rate, seed, augmentation, importance of landmarks.
        course: an interrupted training goes on from its checkpoints, with the same result.

    Returns:
        The network with averaged weights, and its curve: images, loss, val_nme in % of the box, learning_rate.
    """
    # On a GPU an operation without a deterministic version is worth a warning, not an end.
    torch.use_deterministic_algorithms(True, warn_only=device().type == "cuda")
    params, chosen = recipe.training, taught(annotations)
    data = TrainingData(annotations.select(chosen), crops.select(chosen), recipe, model.coarse)
    watched = annotations.in_split("val")

    model = on_device(model).train()
    averaged = copy.deepcopy(model)
    optimiser = _optimiser(model, params)
    run = _Run(model, averaged, optimiser)
    run.resume(course.work)
    budget = min(params.images, params.epochs * len(data))
    steps = math.ceil(budget / params.batch)
    look = max(1, params.look_every // params.batch)
    progress = Progress(course.title, "images")
    while run.step < steps and not run.stopped:
        rate = learning_rate(params, run.step / steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = data.batch(run.step, params.batch)
        batch = Batch(as_input(batch.images), batch.points.to(device()), batch.weight.to(device()))
        with autocast():
            loss = model.loss(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        run.step += 1
        run.losses.append(float(loss.detach()))
        _average(averaged, model, min(params.averaging, (1 + run.step) / (10 + run.step)))
        if not math.isfinite(run.losses[-1]):
            raise ModelError(f"{course.title}: the loss is no longer a number; lower training.learning_rate")
        if run.step % look == 0 or run.step == steps:
            error = _watch(averaged, annotations, crops, watched)
            run.look(run.step * params.batch, error, rate, params.patience)
            run.save(course.work)
        shown = np.mean(run.losses[-20:]) if run.losses else run.curve[-1]["loss"]
        progress(min(run.step * params.batch, budget), budget, f"loss {shown:.3f}")
        if course.after_step is not None:
            course.after_step(run.step)
    if run.best is not None:
        averaged.load_state_dict(run.best)
    return averaged.eval(), pd.DataFrame(run.curve, columns=COLUMNS)


def learning_rate(params: TrainingParams, done: float) -> float:
    """The rate after a part of the budget: a short rise, then a cosine to zero, or steps."""
    rise = min(1.0, (done + 1e-3) / 0.03)
    if params.schedule == "step":
        return params.learning_rate * rise * params.step_factor ** sum(done >= at for at in params.step_at)
    return params.learning_rate * rise * (1 + math.cos(math.pi * done)) / 2


class _Run:
    """All that a training needs to go on: weights, their average, the optimiser's moments, the curve."""

    def __init__(self, model: Detector, averaged: Detector, optimiser: torch.optim.Optimizer) -> None:
        self.model, self.averaged, self.optimiser = model, averaged, optimiser
        self.step = 0
        self.losses: list[float] = []
        self.curve: list[dict[str, float | None]] = []
        self.best: dict[str, Tensor] | None = None
        self.best_error, self.since_best, self.stopped = math.inf, 0, False

    def look(self, images: int, error: float | None, rate: float, patience: int | None) -> None:
        self.curve.append(
            {"images": images, "loss": float(np.mean(self.losses)), "val_nme": error, "learning_rate": rate}
        )
        self.losses = []
        if patience is None or error is None:
            return
        if error < self.best_error:
            self.best_error, self.since_best = error, 0
            self.best = {name: value.clone() for name, value in self.averaged.state_dict().items()}
        else:
            self.since_best += 1
            self.stopped = self.since_best >= patience

    def save(self, work: Path) -> None:
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        state |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        plain = {name: getattr(self, name) for name in ("step", "curve", "best_error", "since_best", "stopped")}
        # One file, so that a kill leaves the old checkpoint or the new one.
        with replacing(work / CHECKPOINT) as temporary:
            write_tensors(state, temporary, note=json.dumps(plain))

    def resume(self, work: Path) -> None:
        path = work / CHECKPOINT
        if not path.exists():
            return
        try:
            check_file(path, WEIGHT_BYTES, ModelError)
            with whole(path, "damaged", ModelError), safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a dict)
                plain = parse_json(file.metadata()["note"], str(path), ModelError)
                _Plain.model_validate(plain)
                self._check(state, plain["step"])
        except ModelError as mistake:  # written whole, so a disk has spoilt it since
            if isinstance(mistake.__cause__, OSError | MemoryError):  # it may be read the next time
                raise mistake.__cause__ from None
            print(f"{mistake}; training starts from scratch", file=sys.stderr)
            return
        load_weights_into(self.model, state, "model.")
        load_weights_into(self.averaged, state, "averaged.")
        self.best = _part(state, "best.") or None
        content = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": _moments(state), "param_groups": content["param_groups"]})
        for name, value in plain.items():
            setattr(self, name, value)

    def _check(self, state: dict[str, Tensor], step: int) -> None:
        """Refuse tensors of another training before any is taken: it would fail in the middle, or at the next step."""
        wanted = {name: value.shape for name, value in self.model.state_dict().items()}
        for part in ("model.", "averaged.", "best."):
            found = {name: value.shape for name, value in _part(state, part).items()}
            if found != wanted and (found or part != "best."):
                raise ValueError("the weights are of another network")
        weights = dict(enumerate(weight for group in self.optimiser.param_groups for weight in group["params"]))
        moments = _moments(state)
        if {frozenset(each) for each in moments.values()} - {_MOMENTS[type(self.optimiser)]} or any(
            value.dim() and value.shape != weights[index].shape
            for index, each in moments.items() for value in each.values()
        ):  # fmt: skip
            raise ValueError("the optimiser's moments are of another network")
        for each in moments.values():  # steps that were done, and means of squares
            if each["step"] != step or any(
                (each[kind] < 0).any() for kind in ("exp_avg_sq", "square_avg") if kind in each
            ):
                raise ValueError("the optimiser's moments are not those of its steps")
        if not all(value.isfinite().all() for value in state.values()):
            raise ValueError("it has numbers that are none")


class _Plain(BaseModel):
    """What a checkpoint has besides tensors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: NonNegativeInt
    curve: list[dict[Literal["images", "loss", "val_nme", "learning_rate"], float | None]]
    best_error: float
    since_best: NonNegativeInt
    stopped: bool


_MOMENTS = {
    torch.optim.AdamW: frozenset({"step", "exp_avg", "exp_avg_sq"}),
    torch.optim.RMSprop: frozenset({"step", "square_avg"}),
}


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _moments(state: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The optimiser's, by the number of the weight and their name."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(state, "optimiser.").items():
        index, kind = name.split(".")
        found.setdefault(int(index), {})[kind] = value
    return found


def _optimiser(model: Detector, params: TrainingParams) -> torch.optim.Optimizer:
    if params.optimiser == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    return torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)


@torch.no_grad()
def _average(averaged: Detector, model: Detector, decay: float) -> None:
    for kept, new in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _watch(model: Detector, annotations: AnnotationSet, crops: CropSource, watched: np.ndarray) -> float | None:
    """Error on `val` against its human labels, in % of the box; None without that split."""
    if not watched.any():
        return None
    chosen = annotations.select(watched)
    points = predict(model, chosen, crops.select(watched), mirror=False, fast=True)
    errors = instance_errors(point_errors(points, chosen.points), bounds_side(chosen.points))
    return float(np.nanmean(errors)) * 100
