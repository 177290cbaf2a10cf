"""How networks are made and kept on disk: a folder with weights as safetensors and all else as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from lmk.config import NetworkParams, parse_section
from lmk.errors import ModelError
from lmk.models.base import Detector
from lmk.registry import NETWORKS, entry
from lmk.scheme import LandmarkScheme, parse_scheme
from lmk.store import digest_of, replacing

VERSION = 1
WEIGHTS, CONFIG, CURVE = "model.safetensors", "config.json", "curve.csv"


def build_model(params: NetworkParams, scheme: LandmarkScheme, seed: int) -> Detector:
    """Make an untrained network; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Detector = NETWORKS[params.kind].load()(params, scheme.size)
        return model


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
    trained_for = parse_scheme(json.dumps(content["scheme"]), where=str(path))
    if scheme is not None and trained_for.names != scheme.names:
        raise ModelError(
            f"{path}: trained for scheme {trained_for.name} ({trained_for.size} points), the annotations have scheme "
            f"{scheme.name} ({scheme.size} points); train one with `lmk train`"
        )
    kind = entry(f"network in {path / CONFIG}", content["params"]["kind"], NETWORKS).load()
    params = parse_section(kind.Params, content["params"], where=str(path / CONFIG))
    model: Detector = kind(params, trained_for.size)
    try:
        model.load_state_dict(load_file(path / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as cause:
        raise ModelError(f"{path / WEIGHTS}: damaged, or not of this network; train it again") from cause
    return model.eval()


def read_config(path: Path) -> dict[str, Any]:
    """The JSON beside a network's weights."""
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise ModelError(
            f"{path}: not a model of lmk (a folder with {CONFIG} and {WEIGHTS}); `lmk train` makes one"
        ) from cause
    if not isinstance(content, dict) or content.get("version", VERSION + 1) > VERSION:
        raise ModelError(f"{path}: written by a newer lmk; upgrade lmk, or train it again")
    return content


def is_whole(path: Path, provenance: dict[str, Any]) -> bool:
    """Whether a folder holds a network that was made exactly so, with nothing missing."""
    try:
        load_model(path, None)
        return bool(read_config(path)["provenance"] == provenance and (path / CURVE).is_file())
    except ModelError:
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
