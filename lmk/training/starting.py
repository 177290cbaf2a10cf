"""What has to be right before somebody trains a network on its own, as `lmk train` does, and what came of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from lmk.config import HeatmapParams, NetworkParams, parse_section
from lmk.errors import DataError
from lmk.limits import JSON_BYTES
from lmk.models.store import CONFIG, load_model
from lmk.reading import parse_json, read_text, whole
from lmk.registry import NETWORKS
from lmk.store import remove
from lmk.training.recipe import Job


def correction(
    kind: str, start: Path | None, target: Path, asked: NetworkParams, settings: Sequence[str]
) -> NetworkParams:
    """The parameters of a correction of the detector at `start`.

    Args:
        kind: a network of the registry that corrects.
        start: folder of the detector.
        target: folder that the correction goes into.
        asked: the detector that the parameters ask for.
        settings: what the user has changed in the parameters; a change of the detector would have no effect.
    """
    if start is None:
        raise DataError("--correction: name the detector that is corrected with --start MODEL")
    beneath = load_model(start, None).params
    if not isinstance(beneath, HeatmapParams):
        raise DataError(f"{start}: a {beneath.kind} draws no heatmaps to correct; name a hourglass")
    if start.resolve() in (target.resolve(), *target.resolve().parents):
        raise DataError(f"{target}: holds the detector that is corrected, or lies in it; name another folder")
    own = [setting for setting in settings if setting.startswith("model.")]
    if own and asked != beneath:
        raise DataError(f"--set {' '.join(own)}: no say with --correction, which takes {start} as it is")
    found: NetworkParams = parse_section(NETWORKS[kind].load().Params, {"kind": kind, "detector": beneath}, kind)
    return found


def read_weights(path: Path) -> dict[str, float]:
    """The weight of each landmark in the loss, by its name, from the JSON that `lmk ambiguity` writes."""
    what = "no weights of landmarks in it; `lmk ambiguity DIR -o FILE` writes them"
    text = read_text(path, JSON_BYTES, DataError)
    with whole(path, what, DataError):
        weights = dict(parse_json(text, f"{path}: {what}", DataError)["weights"])
    for name, value in weights.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise DataError(f"{path}: the weight of {name!r} is {json.dumps(value)[:60]}; want a number")
    return {str(name): float(value) for name, value in weights.items()}


def train_once(job: Job, training: Callable[[], Path]) -> bool:
    """Train, and remove what is left of unfinished work.

    Args:
        job: what is made from what.
        training: returns the folder of its unfinished work, as `fit` does.

    Returns:
        Whether something was done: False where that very network was there.
    """
    config = job.target / CONFIG
    before = _written_at(config)
    unfinished = training()
    remove(unfinished)
    remove(job.crops)
    with contextlib.suppress(OSError):  # other trainings may be unfinished beside it
        unfinished.parent.rmdir()
    return before is None or before != _written_at(config)


def _written_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None
