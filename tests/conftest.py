"""What many tests start from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmk.annotations import AnnotationSet
from lmk.config import Params, default_profile, load_params
from lmk.ingest import ingest
from lmk.scheme import load_scheme
from lmk.synth.write import render_dataset

ROOT = Path(__file__).parent.parent
# Small enough that a test trains a real network in a second.
SMALL = [
    "model.width=16",
    "model.depth=2",
    "model.input_size=64",
    "model.heatmap_size=32",
    "training.threads=1",
    "training.images=64",
    "training.batch=8",
    "training.look_every=16",
    "training.averaging=0.5",
    "refine.last=i02",
    "refiners.consensus=null",
    "refiners.align={kind: align, window: 49.0, template: 19.0, step: 1.0, prior_weight: 0.1, floor: 0.01,"
    " observation: updated, mirror: true}",
    *(f"audit.gates.{name}=null" for name in ("judge", "far", "doubtful")),
    "refine.schedule={i01: {prev: i00, refiner: align, images: 16, learning_rate: 1.0e-3},"
    " i02: {prev: i01, refiner: align, images: 16, learning_rate: 1.0e-3}}",
    "downstream.images=32",
    "downstream.models={hourglass: {kind: hourglass, stacks: 1, width: 16, depth: 2, input_size: 64, heatmap_size: 32,"
    " sigma: 6.0, loss: cross_entropy}, resnet: {kind: resnet, width: 8, depth: 1, input_size: 64}}",
]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs with labels; they are not part of the project."""
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("needs ../shared/data, real photographs that are not part of the project")
    return data


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `lmk render` wrote: 12 faces to train on, 4 to watch, 4 to test; not to be changed."""
    out = tmp_path_factory.mktemp("rendered") / "set"
    render_dataset(out, {"train": 12, "val": 4, "test": 4}, 77, 64, "default", lambda done, total: None)
    return out


@pytest.fixture
def faces(rendered: Path, tmp_path: Path) -> Path:
    """The same faces and labels, to be changed."""
    return Path(shutil.copytree(rendered / "faces", tmp_path / "faces"))


@pytest.fixture(scope="session")
def human(rendered: Path) -> AnnotationSet:
    """The rendered faces' human labels."""
    return ingest(rendered / "faces", "pts", load_scheme("ibug68"), 1.25)


def copy_pipeline(project: Path, data: Path, params: str) -> None:
    """What the pipeline consists of, with other data and parameters; not yet a repository."""
    for folder in ("lmk", "pipelines"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / file, project / file)
    (project / "artifacts" / "decisions" / "i00").mkdir(parents=True)
    (project / "artifacts" / "decisions" / "i00" / ".gitkeep").touch()
    shutil.copytree(data, project / "data")
    (project / "params.yaml").write_text(params)
    (project / "data.dvc").write_text("outs:\n- path: data\n  cache: false\n")


def count_every_peak(patch: pytest.MonkeyPatch) -> None:
    """Networks of a second's training draw no peaks yet, and nobody should trust them; take what they draw for one."""
    patch.setattr("lmk.kernels.trust.AS_GOOD", float("inf"))
    patch.setattr("lmk.models.base.PEAK", 0.0)
    patch.setattr("lmk.refine.align.PEAK", 0.0)


@pytest.fixture
def every_peak_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test."""
    count_every_peak(monkeypatch)


@pytest.fixture(scope="module")
def every_peak_counts_in_module() -> Iterator[None]:
    """For all tests and fixtures of a module that asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        count_every_peak(patch)
        yield


@pytest.fixture(scope="session")
def small() -> Params:
    """The default profile with small networks and budgets."""
    return load_params(default_profile(), SMALL)
