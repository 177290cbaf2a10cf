"""Benchmarks in miniature: the layout on disk, with a few rendered faces in place of thousands of photographs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from lmk.cli import main
from lmk.errors import DataError, UnknownName
from lmk.ingest import ingest
from lmk.protocols.board import TITLES
from lmk.protocols.layout import PROTOCOLS, arranged, errors_of, protocol_named
from lmk.registry import FORMATS
from lmk.scheme import load_scheme
from lmk.store import read_annotations

FACES = {
    "afw/1_1": 2, "helen/trainset/1": 3, "helen/testset/2": 2, "lfpw/trainset/image_0001": 1,
    "lfpw/testset/image_0002": 1, "ibug/image_092 _01": 2, "elsewhere/x": 1,
}  # fmt: skip


@pytest.fixture
def three_hundred(rendered, tmp_path):
    """300W as it is unpacked, in miniature."""
    source = sorted((rendered / "faces").rglob("*.pts"))
    place = 0
    for name, count in FACES.items():
        for number in range(count):
            target = tmp_path / "300W" / f"{name}_{number}.pts"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source[place], target)
            shutil.copy(source[place].with_suffix(".jpg"), target.with_suffix(".jpg"))
            place += 1
    return tmp_path / "300W"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_names_what_there_is(name):
    protocol = PROTOCOLS[name]

    assert protocol.format in FORMATS
    scheme = load_scheme(protocol.scheme)
    assert set(protocol.units.values()) <= {*dict(scheme.normalisers), "box"}
    assert protocol.board is None or protocol.board in TITLES
    names = {one.name for one in protocol.subsets}
    for parts in (protocol.unions or {}).values():
        assert set(parts) <= names


def test_faces_get_their_splits_and_what_is_missing_is_said(three_hundred):
    labels = ingest(three_hundred, "pts", load_scheme("ibug68"), 1.25)

    found, said = arranged(protocol_named("300w"), labels)

    assert len(found.instances) == sum(FACES.values()) - 1
    table = found.instances.groupby(["source", "split"]).size().to_dict()
    assert table == {
        ("afw", "train"): 2, ("helen train", "train"): 3, ("lfpw train", "train"): 1, ("helen test", "test"): 2,
        ("lfpw test", "test"): 1, ("challenging", "test"): 2,
    }  # fmt: skip
    assert "helen train: 3 of 2000 faces; they lie in helen/trainset/" in said
    assert "1 faces are of no subset and left out, first elsewhere/x_0.jpg" in said
    with pytest.raises(DataError, match="no image lies where 300W, private test, 68 points has its own"):
        arranged(protocol_named("300w-private"), labels)


def test_errors_are_those_of_each_subset_and_of_them_together(three_hundred):
    protocol = protocol_named("300w")
    faces, _ = arranged(protocol, ingest(three_hundred, "pts", load_scheme("ibug68"), 1.25))
    far = faces.instances["source"].to_numpy(object) == "challenging"
    points = faces.points + np.where(far, 4.0, 1.0)[:, None, None] * [1, 0]

    found = errors_of(protocol, points, faces, failure=8.0)

    eyes = np.linalg.norm(faces.points[:, 36] - faces.points[:, 45], axis=-1)
    for subset, chosen in (
        ("common", np.isin(faces.instances["source"], ["helen test", "lfpw test"])),
        ("challenging", far),
    ):
        wanted = (np.where(far, 4.0, 1.0) / eyes * 100)[chosen].mean()
        assert found["nme_percent", "inter-ocular", subset] == pytest.approx(wanted, rel=1e-4)
    assert found["nme_percent", "inter-ocular", "common"] < found["nme_percent", "inter-ocular", "full"]
    assert found["nme_percent", "inter-pupil", "full"] > found["nme_percent", "inter-ocular", "full"]


def test_a_model_stands_among_published_numbers(three_hundred, tmp_path, small, capsys):
    labels = tmp_path / "300w.parquet"
    assert main(["ingest", str(three_hundred), "--protocol", "300w", "-o", str(labels)]) == 0
    assert "afw: 2 of 337 faces" in capsys.readouterr().err
    assert set(read_annotations(labels).instances["split"]) == {"train", "test"}
    sizes = ["--set", "model.input_size=64", "--set", "model.heatmap_size=32", "--set", "model.width=16",
             "--set", "training.images=16", "--set", "training.batch=8"]  # fmt: skip
    model = str(tmp_path / "model")
    assert main(["train", str(labels), "--images", str(three_hundred), "-o", model, *sizes]) == 0
    capsys.readouterr()

    command = ["evaluate", str(labels), "--model", model, "--images", str(three_hundred), "--protocol", "300w"]
    assert main(command) == 0

    shown = capsys.readouterr().out
    assert shown.count("> your model") == 2  # by pupils and by corners
    assert "CCDN" in shown


def test_an_unknown_benchmark_is_said():
    with pytest.raises(UnknownName, match="unknown protocol '400w'; known: 300w, 300w-private"):
        protocol_named("400w")
