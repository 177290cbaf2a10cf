"""Files that are not what they should be: refused at once, in one line, at every door."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lmk.audit.results import read_audit
from lmk.config import load_params
from lmk.errors import DataError, FormatError, LmkError
from lmk.formats.source import head
from lmk.history import ledger
from lmk.images import read_image
from lmk.ingest import ingest
from lmk.limits import DIGITS, NESTING
from lmk.models.store import build_model as build
from lmk.models.store import load_model, model_digest, read_curve, save_model
from lmk.reading import check_file, in_words, opened, parse_json, read_bytes, read_text, whole
from lmk.records import read_metrics
from lmk.scheme import load_scheme
from lmk.store import read_annotations, read_header, write_annotations
from lmk.synth.sheet import contact_sheet
from lmk.training.loop import CHECKPOINT
from lmk.training.starting import read_weights
from lmk.truth import read_truth
from tests.fuzz.targets import FACE, TINY, _checkpoint, _read_checkpoint, labels


def special(kind: str, path: Path) -> Path:
    """What must never be opened and read to its end."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have 107 characters
        try:
            with socket.socket(socket.AF_UNIX) as made:  # its name stays
                made.bind(path.name)
        finally:
            os.chdir(here)
    else:
        path.mkdir()
    return path


def a_model(folder: Path) -> Path:
    curve = pd.DataFrame({"images": [8], "loss": [1.0], "val_nme": [None], "learning_rate": [0.1]})
    save_model(build(TINY, FACE, 0), FACE, {"producer": "test"}, curve, folder / "model")
    return folder / "model"


def a_pts_folder(folder: Path) -> Path:
    (folder / "faces").mkdir()
    (folder / "faces" / "a.pts").write_text("n_points: 4\n{\n5 5\n20 6\n12 12\n11 19\n}\n")
    (folder / "faces" / "annotators.csv").write_text("image,annotator\na,me\n")
    (folder / "faces" / "a.png").write_bytes(b"")
    return folder / "faces"


def _ledger(folder):
    place = folder / "decisions" / "i01"
    place.mkdir(parents=True)
    return place / "000001.parquet", lambda: ledger.read(folder / "decisions")


def _sheet(folder):
    (folder / "truth").mkdir()
    return folder / "truth" / "truth.csv", lambda: contact_sheet(folder / "s.png", folder, 1, 1, 64)


def _of_model(name, read):
    return lambda folder: (a_model(folder) / name, lambda: read(folder / "model"))


def _of_faces(name, with_images=False):
    return lambda folder: (
        a_pts_folder(folder) / name,
        lambda: ingest(folder / "faces", "pts", FACE, 1.25, with_images),
    )


def _at(name, read):
    return lambda folder: (folder / name, lambda: read(folder / name))


DOORS = {
    "image": _at("a.png", read_image),
    "image at ingest": _of_faces("a.png", with_images=True),
    "pts": _of_faces("a.pts"),
    "annotators": _of_faces("annotators.csv"),
    "csv": _at("a.csv", lambda path: ingest(path, "csv", FACE, 1.25, False)),
    "coco": _at("a.json", lambda path: ingest(path, "coco", FACE, 1.25, False)),
    "labelme": _at("c.json", lambda path: ingest(path.parent, "labelme", FACE, 1.25, False)),
    "ljson": _at("d.ljson", lambda path: ingest(path.parent, "ljson", FACE, 1.25, False)),
    "spiga": _at("e.json", lambda path: ingest(path, "spiga", FACE, 1.25, False)),
    "label-studio": _at("b.json", lambda path: ingest(path, "label-studio", FACE, 1.25, False)),
    "parameters": _at("p.yaml", load_params),
    "scheme": _at("s.json", lambda path: load_scheme(str(path))),
    "set": _at("set.parquet", read_annotations),
    "header of a set": _at("set.parquet", read_header),
    "truth": _at("truth.csv", lambda path: read_truth(str(path), FACE)),
    "sheet": _sheet,
    "decisions": _ledger,
    "weights of landmarks": _at("w.json", read_weights),
    "audit": _at("audit.json", read_audit),
    "metrics": _at("metrics.json", read_metrics),
    "network": _of_model("config.json", lambda path: load_model(path, None)),
    "weights": _of_model("model.safetensors", lambda path: load_model(path, None)),
    "digest of weights": _of_model("model.safetensors", model_digest),
    "curve": _of_model("curve.csv", read_curve),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
@pytest.mark.parametrize("door", DOORS)
def test_what_never_ends_or_waits_for_somebody_is_refused_at_once_everywhere(door, kind, tmp_path):
    path, read = DOORS[door](tmp_path)
    special(kind, path)

    with pytest.raises(LmkError) as error:
        read()

    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_that_is_a_pipe_is_passed_over(tmp_path, capsys):
    _checkpoint(tmp_path)
    special("pipe", tmp_path / CHECKPOINT)

    _read_checkpoint(tmp_path)

    assert "not a regular file, but a pipe; training starts from scratch" in capsys.readouterr().err


def test_a_format_is_not_guessed_from_a_pipe(tmp_path):
    assert head(special("pipe", tmp_path / "a")) == b""


def test_a_file_that_is_exchanged_for_a_pipe_while_it_is_opened_does_not_hang(tmp_path, monkeypatch):
    path = special("pipe", tmp_path / "a")
    regular = Path(__file__).stat()
    monkeypatch.setattr(Path, "stat", lambda self: regular)

    with pytest.raises(FormatError, match="not a regular file, but a pipe"), opened(path):
        pass


def test_what_is_too_large_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")

    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(FormatError, match="a: larger than"):
        read_bytes(tmp_path / "a", 4)
    with pytest.raises(FormatError, match="a: larger than"):
        check_file(tmp_path / "a", 4)


def test_a_name_with_a_nul_is_one_line():
    with pytest.raises(FormatError, match="cannot be read"):
        read_bytes(Path("a\0b"), 10)


def test_text_comes_without_its_mark_and_nothing_else_passes_for_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf{}")
    (tmp_path / "b").write_bytes(b"\xff\xfe{}")

    assert read_text(tmp_path / "a", 10) == "{}"
    with pytest.raises(DataError, match="b: not text in UTF-8"):
        read_text(tmp_path / "b", 10, DataError)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, f"nested deeper than {NESTING} levels"),
        ("[" * (NESTING + 1) + "]" * (NESTING + 1), f"nested deeper than {NESTING} levels"),
        ("9" * (DIGITS + 1), f"a number of {DIGITS + 1} digits"),
        ("0." + "3" * 400, "a number of 402 digits"),
        ("9" * 5000, "a number of 5000 digits"),
        ("1e999", "too large for a number"),
        ('["\\ud800"]', "no text"),
        ('{"\\udfff": 1}', "no text"),
        ("", "not JSON"),
    ],
)
def test_json_that_nobody_can_work_with_is_one_line(text, says):
    with pytest.raises(FormatError, match=says) as error:
        parse_json(text, "a.json")

    assert str(error.value).startswith("a.json: ")
    assert len(str(error.value)) < 200


def test_json_is_otherwise_what_python_reads():
    tree = {"a": [1, -2.5e-3, None, True, {"b": "é"}], "c": [[[]]], "d": 2**64, "e": float("inf")}

    assert parse_json(json.dumps(tree), "a") == tree
    assert parse_json("[" * NESTING + "]" * NESTING, "a")


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (KeyError("version"), "no 'version'"),
        (RecursionError(), "nested deeper"),
        (MemoryError(), "more memory than there is"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("two\n  lines"), "two lines"),
        (TypeError(), "TypeError"),
    ],
)
def test_whatever_a_damaged_file_raises_becomes_one_line(cause, says):
    assert says in in_words(cause)
    with pytest.raises(DataError, match=f"a: damaged .*{says}"), whole("a", "damaged", DataError):
        raise cause


def test_a_mistake_that_is_told_already_is_told_as_it_is_and_what_no_file_raises_is_none():
    with pytest.raises(FormatError, match=r"^it$"), whole("a", "damaged", DataError):
        raise FormatError("it")
    with pytest.raises(KeyboardInterrupt), whole("a", "damaged"):
        raise KeyboardInterrupt
    with pytest.raises(AssertionError), whole("a", "damaged"):
        raise AssertionError


def test_messages_have_one_line_and_an_end_and_do_not_steer_a_terminal():
    assert str(DataError("a\nb\x1b[2J\ud800é")) == "a\\nb\\x1b[2J\\ud800é"
    assert 100 < len(str(DataError("x" * 10**6))) < 1000


def test_a_set_with_a_lie_in_its_values_is_refused(tmp_path):
    made = labels()
    lies = {
        "a visibility that is not": {"visibility": np.full(made.shape, 7)},
        "a labelled point without a position": {"x": np.full(made.shape, np.nan)},
        "a position beyond": {"x": np.full(made.shape, 3e6)},
        "a split that is not": {"split": "trian"},
        "a box of which a part is missing": {"box_y": np.nan},
        "a size that is not positive": {"box_size": -2.0},
    }
    for says, columns in lies.items():
        write_annotations(made.with_columns(**columns), tmp_path / "set.parquet")
        with pytest.raises(FormatError, match=f"changed by another program: a.png instance 0 has {says}"):
            read_annotations(tmp_path / "set.parquet")
