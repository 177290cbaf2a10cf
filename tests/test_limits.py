"""What files and parameters may ask for: what hung, or made nonsense, is refused in one line and at once."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lmk import limits
from lmk.config import default_profile, known_profiles, load_params, profile_path
from lmk.config.yaml_text import parse_yaml
from lmk.errors import ConfigError, FormatError, LmkError, ModelError, SchemeError
from lmk.limits import DIGITS, ENTRIES, NESTING, POINTS
from lmk.models.resnet import ResNetParams
from lmk.models.store import build_model, load_model
from lmk.registry import NETWORKS
from lmk.scheme import parse_scheme
from lmk.store import read_header, write_annotations
from tests.fuzz.mutations import written
from tests.fuzz.targets import FACE, labels
from tests.models.test_models import parameters
from tests.test_reading import a_model

ALIGN = (
    "{kind: align, window: 49.0, template: 19.0, step: STEP, prior_weight: PRIOR, floor: 0.01, observation: human,"
    " mirror: true}"
)
# Nine lines that stand for 10^9 values.
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(autouse=True)
def soon():
    """Refusing takes no work; the machine may be busy."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "points", ["1000000000", "10001", "1e9", json.dumps([f"p{k}" for k in range(POINTS + 1)]), "true"]
)
def test_a_scheme_of_too_many_points_is_refused_at_once(points):
    with pytest.raises(SchemeError, match='"points"'):
        parse_scheme(f'{{"name": "a", "points": {points}}}', "a.json")


def test_a_scheme_of_as_many_points_as_may_be_is_read():
    assert parse_scheme(f'{{"name": "a", "points": {POINTS}}}', "a.json").size == POINTS


@pytest.mark.parametrize("name", ["null", "[]", "{}", '"\\ud800"'])
def test_a_scheme_is_called_by_text(name):
    with pytest.raises(SchemeError, match=r"a\.json: "):
        parse_scheme(f'{{"name": {name}, "points": 3}}', "a.json")


@pytest.mark.parametrize(
    "setting",
    [
        "data.box_scale=1e9", "data.box_scale=0.01", "training.batch=1000000000", "training.images=10000000000",
        "training.epochs=10000000000", "training.seed=100000000000000000000", "training.learning_rate=1e9",
        "training.weight_decay=1e9", "training.look_every=10000000000", "training.patience=10000000000",
        "augmentation.rotation=1e9", "model.stacks=1000", "model.width=1000000", "model.depth=1000",
        "model.input_size=65536", "model.heatmap_size=1000000000", "model.sigma=1e9",
        "refiners.consensus.views=1000000000", "downstream.images=10000000000", "downstream.learning_rate=100.0",
        "downstream.models.resnet.width=100000", "downstream.models.resnet.depth=100000",
        "downstream.models.resnet.input_size=320000", "evaluation.failure=1e9", "validation.outside=1e9",
        "refine.schedule.i01.images=10000000000", "refine.schedule.i01.learning_rate=100.0",
        f"refiners.consensus={ALIGN.replace('STEP', '1e-9').replace('PRIOR', '0.1')}",
        f"refiners.consensus={ALIGN.replace('STEP', '1.0').replace('PRIOR', '1e9')}",
    ],
)  # fmt: skip
def test_an_absurd_parameter_is_refused_by_its_name(setting):
    field = setting.partition("=")[0]

    with pytest.raises(ConfigError) as error:
        load_params(default_profile(), ["audit.gates={}", setting])

    assert f": {field}" in str(error.value)
    assert (
        "less than or equal" in str(error.value)
        or "greater than or equal" in str(error.value)
        or "step" in str(error.value)
    )


@pytest.mark.parametrize("profile", known_profiles())
def test_no_profile_comes_near_a_limit(profile):
    """Ten times what a profile asks for may be asked for, where more makes sense at all."""
    params = load_params(profile_path(profile))
    asked = [f"training.images={10 * params.training.images}", f"training.batch={10 * params.training.batch}",
             f"training.epochs={10 * params.training.epochs}", f"model.stacks={3 * params.model.stacks}",
             f"model.width={3 * params.model.width}", f"data.box_scale={3 * params.data.box_scale}"]  # fmt: skip

    load_params(profile_path(profile), asked)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, f"more than {ENTRIES:,} entries"),
        ("a: &a [*a]", "stands for what it is a part of"),
        ("a: &a {b: *a}", "stands for what it is a part of"),
        ("[" * (NESTING + 1) + "]" * (NESTING + 1), f"nested deeper than {NESTING} levels"),
        ("[" * 50_000, "nested deeper than"),
        ("{a: " * 50_000, "nested deeper than"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
        ("a: " + "1:" * 3000 + "1", "digits"),
        ("a: 1." + "3" * 400, "a number of 402 digits"),
        ("a: 2026-99-99", "month must be in"),
        ('a: "\\ud800"', "no text"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("? [a]\n: b", "unhashable"),
    ],
)  # fmt: skip
def test_yaml_that_nobody_can_work_with_is_one_line(text, says, tmp_path):
    (tmp_path / "p.yaml").write_text(text)

    with pytest.raises(ConfigError) as error:
        load_params(tmp_path / "p.yaml")

    assert says in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/p.yaml: ")
    assert len(str(error.value)) < 1000


def test_yaml_is_otherwise_what_yaml_is():
    text = "a: &x {b: [1, 2.5, 1e-3, 'é', null, true]}\nc: *x\nd: {<<: *x, e: 2026-01-02}\nf: " + "1" * DIGITS

    found = parse_yaml(text, "a", "no YAML")

    expected = yaml.safe_load(text.replace("1e-3", "1.0e-3"))
    assert found == expected


def test_a_network_that_needs_more_memory_than_there_is_is_not_even_begun(tmp_path):
    large = ResNetParams(kind="resnet", width=1024, depth=64, input_size=2048)

    with pytest.raises(
        ModelError, match=r"resnet with these parameters and 4 points has 102,333,292,044 weights;.* lower width"
    ):
        build_model(large, FACE, 0)
    config = a_model(tmp_path) / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "params": large.model_dump()}))
    with pytest.raises(ModelError, match=rf"{config}: a resnet with these parameters"):
        load_model(tmp_path / "model", None)


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_are_counted_without_being_made_and_the_same_are_made(kind, small, monkeypatch):
    params = parameters(kind, small)
    count = sum(weights.numel() for weights in build_model(params, FACE, 0).state_dict().values())

    monkeypatch.setattr("lmk.models.store.WEIGHTS_OF_NETWORK", count)
    build_model(params, FACE, 0)
    monkeypatch.setattr("lmk.models.store.WEIGHTS_OF_NETWORK", count - 1)
    with pytest.raises(ModelError, match=f"{count:,} weights"):
        build_model(params, FACE, 0)


def test_a_file_of_parquet_that_unpacks_into_far_more_than_points_is_refused(tmp_path):
    write_annotations(labels(), tmp_path / "set.parquet")
    table = pq.read_table(tmp_path / "set.parquet")
    texts = pa.array([str(row) + "a" * (1 << 20) for row in range(len(table))])
    (tmp_path / "bomb.parquet").write_bytes(written(table.append_column("note", texts)))
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 21

    with pytest.raises(FormatError, match=r"bomb\.parquet: says that it has 12 rows in"):
        read_header(tmp_path / "bomb.parquet")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("scheme"), lambda content: content.pop("params"),
        lambda content: content.pop("provenance"),
        lambda content: content.update(version="1"), lambda content: content.update(params=[]),
        lambda content: content.update(params={}), lambda content: content["params"].update(kind=["resnet"]),
        lambda content: content.update(scheme={"name": "a"}), lambda content: content["params"].update(width=None),
        lambda content: content["params"].update(width=int("9" * 400)),
    ],
)  # fmt: skip
def test_the_description_of_a_network_that_lacks_something_is_one_line(change, tmp_path):
    config = a_model(tmp_path) / "config.json"
    content = json.loads(config.read_text())
    change(content)
    config.write_text(json.dumps(content))

    with pytest.raises(LmkError) as error:
        load_model(tmp_path / "model", FACE)

    assert str(tmp_path / "model") in str(error.value)


def test_the_page_says_every_limit_with_its_value():
    page = Path("docs/limits.md").read_text(encoding="utf-8").replace(",", "")
    source = Path("lmk/limits.py").read_text(encoding="utf-8")
    values = {name: value for name, value in vars(limits).items() if name.isupper()}

    assert len(re.findall(r"^[A-Z][A-Z_, ]+ = .*#.*\w", source, re.MULTILINE)) >= len(values) - 1, (
        "a limit has its reason"
    )
    for name, value in values.items():
        assert f"| `{name}` | {_said(name, value)} |" in page, name


def _said(name, value):
    if name.endswith("_BYTES") and value >= 1 << 20:
        return f"{value >> 20} MiB" if value < 1 << 30 else f"{value >> 30} GiB"
    return f"{value:g}" if isinstance(value, float) else str(value)
