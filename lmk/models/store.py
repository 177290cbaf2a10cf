"""How networks are made and kept on disk: a folder with weights as safetensors and all else as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save
from torch import nn

from lmk.config import NetworkParams, parse_section
from lmk.errors import LmkError, ModelError
from lmk.limits import CURVE_BYTES, JSON_BYTES, WEIGHT_BYTES, WEIGHTS_OF_NETWORK
from lmk.models.base import Detector
from lmk.reading import check_file, read_json, whole
from lmk.registry import NETWORKS, entry
from lmk.scheme import LandmarkScheme, parse_scheme
from lmk.store import digest_of, replacing

VERSION = 1
WEIGHTS, CONFIG, CURVE = "model.safetensors", "config.json", "curve.csv"
_NUMBERS = ("images", "loss", "learning_rate")  # of a curve; its val_nme may be empty


def build_model(params: NetworkParams, scheme: LandmarkScheme, seed: int) -> Detector:
    """Make an untrained network; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        check_weights(params, scheme)
        torch.manual_seed(seed)
        model: Detector = NETWORKS[params.kind].load()(params, scheme.size)
        return model


def check_weights(params: NetworkParams, scheme: LandmarkScheme) -> None:
    """Refuse a network that is too large, before there is memory for its weights."""
    with torch.device("meta"):  # shapes alone
        shapes = NETWORKS[params.kind].load()(params, scheme.size).state_dict()
    count = sum(weights.numel() for weights in shapes.values())
    if count > WEIGHTS_OF_NETWORK:
        raise ModelError(
            f"a {params.kind} with these parameters and {scheme.size} points has {count:,} weights; more than "
            f"{WEIGHTS_OF_NETWORK:,} are too large, so lower width or depth"
        )


def save_model(
    model: Detector, scheme: LandmarkScheme, provenance: dict[str, Any], curve: pd.DataFrame, path: Path
) -> None:
    """Write a network's folder, whole or not at all: weights, what they are, and how its training went."""
    content = {
        "version": VERSION,
        "params": model.params.model_dump(),
        "scheme": scheme.to_json(),
        "provenance": provenance,
    }
    with replacing(path) as temporary:
        temporary.mkdir()
        write_tensors(model.state_dict(), temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        curve.to_csv(temporary / CURVE, index=False, float_format="%.6g", lineterminator="\n")


def load_model(path: Path, scheme: LandmarkScheme | None) -> Detector:
    """Read a network's folder; with a scheme, refuse a network that was trained for another."""
    content = read_config(path)
    trained_for = parse_scheme(json.dumps(content["scheme"]), where=str(path / CONFIG))
    if scheme is not None and trained_for.names != scheme.names:
        raise ModelError(
            f"{path}: trained for scheme {trained_for.name} ({trained_for.size} points), the annotations have scheme "
            f"{scheme.name} ({scheme.size} points); train one with `lmk train`"
        )
    kind = entry(f"network in {path / CONFIG}", str(content["params"].get("kind")), NETWORKS).load()
    params = parse_section(kind.Params, content["params"], where=str(path / CONFIG))
    try:
        check_weights(params, trained_for)
    except ModelError as cause:
        raise ModelError(f"{path / CONFIG}: {cause}") from cause
    model: Detector = kind(params, trained_for.size)
    weights = path / WEIGHTS
    check_file(weights, WEIGHT_BYTES, ModelError)
    with whole(weights, "damaged, or not of this network; train it again", ModelError):
        state = load_file(weights)
        if not all(torch.isfinite(values).all() for values in state.values()):
            raise ModelError(f"{weights}: damaged, it has weights that are no numbers; train it again")
        model.load_state_dict(state)
    return model.eval()


def read_config(path: Path) -> dict[str, Any]:
    """The JSON beside a network's weights."""
    what = f"not a model of lmk (a folder with {CONFIG} and {WEIGHTS}); `lmk train` makes one"
    try:
        content = read_json(path / CONFIG, JSON_BYTES, ModelError)
    except ModelError as cause:
        raise ModelError(f"{path}: {what}") from cause
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise ModelError(f"{path}: {what}")
    if content["version"] > VERSION:
        raise ModelError(f"{path}: written by a newer lmk; upgrade lmk, or train it again")
    for part in ("params", "scheme", "provenance"):
        if not isinstance(content.get(part), dict):
            raise ModelError(f"{path / CONFIG}: damaged, {part!r} is not a mapping; train it again")
    return content


def read_curve(path: Path) -> pd.DataFrame:
    """How the training of a network's folder went."""
    file = path / CURVE
    check_file(file, CURVE_BYTES, ModelError)
    with whole(file, "not the curve of a training", ModelError):
        curve = pd.read_csv(file)
        if not set(_NUMBERS) <= set(curve) or not all(
            curve[name].dtype.kind in "fi" for name in _NUMBERS if len(curve)
        ):
            raise ModelError(f"{file}: not the curve of a training: wants numbers in {', '.join(_NUMBERS)}")
    return curve


def is_whole(path: Path, provenance: dict[str, Any]) -> bool:
    """Whether a folder holds a network that was made exactly so, with nothing missing."""
    try:
        load_model(path, None)
        read_curve(path)
        return bool(read_config(path)["provenance"] == provenance)
    except LmkError:
        return False


def model_digest(path: Path) -> str:
    """A short name for a network's weights."""
    return digest_of(path / WEIGHTS)


def write_tensors(state: Mapping[str, torch.Tensor], path: Path, note: str = "") -> None:
    """Write tensors as safetensors, each with memory of its own; a full disk is an ordinary OSError here."""
    content = {name: value.detach().clone().contiguous() for name, value in state.items()}
    path.write_bytes(save(content, {"note": note} if note else None))


def load_weights_into(model: nn.Module, state: dict[str, torch.Tensor], prefix: str) -> None:
    """Load the tensors of a state whose names start with `prefix`."""
    model.load_state_dict(
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    )
