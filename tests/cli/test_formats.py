"""Every format from the command line: there and back, and what it looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.cli import main
from lmk.formats.base import Trait
from lmk.formats.exchange import format_named
from lmk.registry import FORMATS
from lmk.scheme import load_scheme
from lmk.store import read_annotations

ENDINGS = {"coco": ".json", "coco-wholebody": ".json", "cvat": ".xml", "dlib": ".xml", "label-studio": ".json",
           "sleap": ".slp", "csv": ".csv", "wide-csv": ".csv", "tps": ".tps", "spiga": ".json",
           "hf-parquet": ".parquet", "wflw": ".txt"}  # fmt: skip
FACES = load_scheme("ibug68")
BOTH_WAYS = [name for name in FORMATS if format_named(name).read and format_named(name).write]


def positions(path):
    """Points by image (without its ending) and landmark."""
    labels = make_set([pd.read_csv(path)], FACES, {}, str(path))
    names = labels.instances["image"].str.replace(r"\.\w+$", "", regex=True).str.replace(r".*/", "", regex=True)
    return dict(zip(names, labels.points, strict=True))


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_labels_go_there_and_back_by_the_command_line(name, rendered, tmp_path, monkeypatch, capsys):
    form = format_named(name)
    assert form.sizes is None or FACES.size in form.sizes
    monkeypatch.chdir(tmp_path)
    target = f"labels{ENDINGS.get(name, '')}"
    faces = str(rendered / "faces")
    assert main(["convert", faces, "before.csv", "--to", "csv"]) == 0
    assert main(["convert", faces, target, "--to", name]) == 0
    capsys.readouterr()

    apart = ["--images", faces] if form.apart else []
    assert main(["convert", target, "after.csv", "--from", name, "--to", "csv", "--scheme", "ibug68", *apart]) == 0

    before, after = positions("before.csv"), positions("after.csv")
    allowed = 1 / 64 if Trait.SUBPIXEL in form.carries else 0.5
    assert before.keys() == after.keys()
    for image, points in before.items():
        np.testing.assert_allclose(after[image], points, atol=allowed, err_msg=f"{name} {image}")


def test_the_list_of_formats_names_them_all_and_says_more_of_each(capsys):
    assert main(["formats"]) == 0
    table = capsys.readouterr().out
    for name in FORMATS:
        assert f"\n{name} " in table
        assert main(["formats", name]) == 0
        assert f"{name}: {FORMATS[name].says}" in capsys.readouterr().out


def test_a_file_that_says_how_large_images_are_is_ingested_without_them(rendered, tmp_path, capsys):
    labels, again = tmp_path / "labels.json", tmp_path / "again.parquet"
    assert main(["convert", str(rendered / "faces"), str(labels), "--to", "coco"]) == 0

    assert main(["ingest", str(labels), "--no-images", "--scheme", "ibug68", "-o", str(again)]) == 0

    found = read_annotations(again)
    assert (found.instances["width"] == 64).all()
    assert np.isfinite(found.boxes).all()
