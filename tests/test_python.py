"""`import lmk` in Python: light, complete, and as docs/python.md says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import lmk
from lmk.annotations import AnnotationSet
from lmk.errors import DataError
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()


def python(code, folder):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_the_examples_of_the_page_run_in_their_order(rendered, tmp_path):
    (tmp_path / "set").symlink_to(rendered)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))

    done = python(code, tmp_path)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("AnnotationSet: 20 instances x 68 points of ibug68, iteration 0, 1,360 labelled")
    assert lines[1:5] == ["(20, 68, 2)", "['image', 'instance', 'landmark', 'x', 'y']", "12", "816 False"]
    assert lines[5].startswith("1360 ")
    assert lines[-1] == "68"
    assert (tmp_path / "refined.parquet").is_file()
    assert len(list((tmp_path / "refined-pts").rglob("*.pts"))) == 20


def test_importing_lmk_loads_nothing_heavy_and_shows_what_it_offers(tmp_path):
    code = (
        "import lmk, sys\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'pyarrow', 'cv2', 'pydantic'} & sys.modules.keys()))\n"
        "print({'read', 'write', 'clean', 'audit', 'compare', 'schemes', 'AnnotationSet'} <= set(dir(lmk)))\n"
        "print(len(lmk.schemes()), callable(lmk.clean), callable(lmk.audit))\n"
    )

    done = python(code, tmp_path)

    assert done.stdout.splitlines() == ["[]", "True", "8 True True"], done.stderr


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(AttributeError, match="no attribute 'raed'; it offers AnnotationSet, audit"):
        lmk.raed  # noqa: B018


def test_sets_are_read_and_written_in_any_format_and_back(rendered, tmp_path):
    human = lmk.read(rendered / "faces", "ibug68", images=False)
    assert isinstance(human, AnnotationSet)

    assert lmk.write(human, tmp_path / "set.parquet") == []
    lost = lmk.write(human, tmp_path / "labels.csv", "csv")

    assert all("names of landmarks" in loss for loss in lost)
    assert lmk.compare(lmk.read(tmp_path / "set.parquet"), human).whole.moved == 0
    assert lmk.compare(lmk.read(tmp_path / "labels.csv", "ibug68", images=False), human).whole.moved == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda faces, out: lmk.read(out, "ibug68"),
            "looks like no format that lmk knows; say with --format which it is:",
        ),
        (
            lambda faces, out: lmk.write(lmk.read(faces, "ibug68", images=False), out / "x"),
            "say in which format with for",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(rendered, tmp_path, call, says):
    with pytest.raises(DataError) as error:
        call(rendered / "faces", tmp_path)

    assert says in str(error.value)
    assert "\n" not in str(error.value)
