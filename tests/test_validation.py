"""The gate lets good sets through, and stops a set that is broken in one way for exactly that reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import EVIDENCE, AnnotationSet, make_set
from lmk.checks import LongTable, Search
from lmk.config import ValidationParams
from lmk.errors import ValidationFailed
from lmk.scheme import LandmarkScheme
from lmk.store import read_annotations, write_annotations
from lmk.validation import Place, enforce, validate
from lmk.verdict_page import verdict_page
from tests.conftest import ROOT

SCHEME = LandmarkScheme("triangle", ("left", "right", "top"))
PARAMS = ValidationParams(outside=0.1)
SPLITS = ["train", "train", "val", "test"]
BOX = 64.0
REACH = 12.0  # 3 px in a box of 64

Break = Callable[[pd.DataFrame], pd.DataFrame]


def human(**columns: Any) -> AnnotationSet:
    """Four triangles in four images of 100 x 80 pixels; the last one's top is not labelled."""
    count = len(SPLITS)
    table = pd.DataFrame(
        {
            "image": np.repeat([f"images/{i}.png" for i in range(count)], 3),
            "instance": 0,
            "landmark": np.tile(np.arange(3), count),
            "x": np.tile([20.0, 60.0, 40.0], count),
            "y": np.tile([50.0, 50.0, 20.0], count),
            "split": np.repeat(SPLITS, 3),
            "width": 100,
            "height": 80,
            "box_x": 8.0,
            "box_y": 3.0,
            "box_size": BOX,
        }
    )
    table.loc[11, ["x", "y"]] = np.nan
    return make_set(table.assign(**columns), SCHEME, {"producer": "test"}, "test")


def refined(start: AnnotationSet, by: float = 2.9) -> AnnotationSet:
    """What a search makes of it: points of train have moved, and say why."""
    points = start.points + np.where(start.in_split("train")[:, None, None], [by, 0.0], 0.0)
    evidence: dict[str, Any] = {name: np.ones(start.labelled.shape) for name in EVIDENCE}
    evidence["reason"] = np.full(start.labelled.shape, "slip", object)
    return start.moved(points, 1, evidence, {"refiner": "align"})


def broken(annotations: AnnotationSet, how: Break) -> LongTable:
    return LongTable(how(annotations.frame), annotations.scheme, annotations.provenance)


def put(row: int, **values: Any) -> Break:
    """Change some columns of one row, whatever their type."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        for name, value in values.items():
            column = table[name].astype(object)
            column[row] = value
            table[name] = column.infer_objects()
        return table

    return change


def failed(verdict: dict[str, Any]) -> dict[str, list[str]]:
    return {entry.check: entry.first for entry in verdict.broken}


def test_a_good_set_passes():
    verdict = validate(human(), PARAMS, None)

    assert failed(verdict) == {}
    assert (verdict.success, verdict.points, verdict.instances) == (True, 11, 4)


def test_a_good_refined_set_passes():
    assert failed(validate(refined(human()), PARAMS, None, Search(human(), REACH))) == {}


def test_a_set_that_was_stored_and_read_passes_against_the_one_that_was_not(tmp_path):
    start = human(x=np.tile([20.004, 60.013, 40.009], 4))
    write_annotations(refined(start, by=3.0), tmp_path / "i01.parquet")

    assert failed(validate(read_annotations(tmp_path / "i01.parquet"), PARAMS, None, Search(start, REACH))) == {}


def test_a_set_without_images_passes_and_says_what_was_not_looked_at():
    verdict = validate(human(width=None, height=None, box_x=None, box_y=None, box_size=None), PARAMS, None)

    assert verdict.success
    assert sum("not looked at" in entry.check for entry in verdict.checks) == 3


def test_a_refined_set_of_the_control_needs_no_evidence():
    start = human()
    kept = start.moved(start.points, 1, {}, {"refiner": "keep"})

    assert failed(validate(kept, PARAMS, None, Search(start, REACH, fills=()))) == {}


BREAKS: list[tuple[str, Break, str]] = [
    ("has the columns", lambda t: t.drop(columns="split"), "split: missing, not text"),
    ("has the columns", put(4, x="far left"), "x: mixed, not number"),
    ("has the columns", put(4, landmark=1.5), "landmark: number, not whole number"),
    ("has the columns", lambda t: t.assign(image=7), "image: whole number, not text"),
    ("has the columns", lambda t: t[:0], "rows: 0, not any"),
    ("image is never empty", put(4, image=None), "nan 0 1: nothing"),
    ("visibility is never empty", put(4, visibility=None), "images/1.png 0 1: nothing"),
    ("split is never empty", put(4, split=None), "images/1.png 0 1: nothing"),
    ("landmarks are 0 to 2", put(5, landmark=3), "images/1.png 0 3: 3"),
    ("name one row", put(5, landmark=1), "images/1.png 0 1: 2 times"),
    ("an instance has 3 points", lambda t: t.drop(index=4), "images/1.png 0 0: 2"),
    ("rows are sorted", lambda t: t[::-1], "images/3.png 0 1: comes too late"),
    ("agree on split", put(4, split="val"), "images/1.png 0 1: does not"),
    ("agree on split", put(4, box_x=9.0), "images/1.png 0 1: does not"),
    ("instances count from 0", lambda t: t.assign(instance=-1), "images/0.png -1 0: -1"),
    ("iterations count from 0", lambda t: t.assign(iteration=-1), "images/0.png 0 0: -1"),
    ("visibility is 0, 1 or 2", put(4, visibility=3), "images/1.png 0 1: 3"),
    ("split is one of", lambda t: t.assign(split="dev"), "images/0.png 0 0: 'dev'"),
    ("a labelled point has a position", put(4, x=np.nan), "images/1.png 0 1: x=nan y=50"),
    ("a labelled point has a position", put(4, y=np.inf), "images/1.png 0 1: x=60 y=inf"),
    ("an unlabelled point has no position", put(11, x=40.0), "images/3.png 0 2: x=40 y=nan"),
    ("known for all points or for none", put(4, height=None), "images/1.png 0 1: 4 of 5 columns"),
    ("a pixel wide and high", lambda t: t.assign(height=0), "images/0.png 0 0: 100x0"),
    ("boxes have a size", lambda t: t.assign(box_size=0.0), "images/0.png 0 0: 0"),
    ("lies in its image", put(4, x=99.5 + 6.5), "images/1.png 0 1: x=106 y=50 in 100x80, outside by 0.101 of its box"),
    ("lies in its image", put(4, y=-0.5 - 6.5), "images/1.png 0 1: x=60 y=-7 in 100x80, outside by 0.101 of its box"),
]


@pytest.mark.parametrize(("check", "how", "offender"), BREAKS, ids=[f"{c}, {o}"[:60] for c, _, o in BREAKS])
def test_a_set_broken_in_one_way_fails_for_that_reason(check, how, offender):
    found = failed(validate(broken(human(), how), PARAMS, None))

    [reason] = [reason for reason in found if check in reason]
    assert found[reason][0] == offender


SEARCH_BREAKS: list[tuple[str, Break, str]] = [
    ("has the columns", lambda t: t[:9], "rows: 9, not 12 as before the search"),
    (
        "one that the search started from",
        lambda t: t.replace("images/3.png", "images/4.png"),
        "images/4.png 0 0: is new",
    ),
    ("what they were before", put(4, visibility=1), "images/1.png 0 1: 1, train"),
    ("what they were before", lambda t: t.replace("val", "test"), "images/2.png 0 0: 2, test"),
    ("outside of train stay", put(7, x=60.1), "images/2.png 0 1: moved by 0.10 px"),
    ("no further than the search's window", put(4, x=63.1), "images/1.png 0 1: moved by 3.10 px, 3.03 allowed"),
    ("have their evidence", put(4, at_edge=None), "images/1.png 0 1: 1 of its 5 columns are empty"),
    (
        "have their evidence",
        lambda t: t.drop(columns=["chi2", "peak"]),
        "images/0.png 0 0: 2 of its 5 columns are empty",
    ),
    ("have their evidence", lambda t: t.drop(columns=list(EVIDENCE)), "images/0.png 0 0: 5 of its 5 columns are empty"),
]


@pytest.mark.parametrize(("check", "how", "offender"), SEARCH_BREAKS, ids=[f"{c}, {o}" for c, _, o in SEARCH_BREAKS])
def test_a_refined_set_broken_in_one_way_fails_for_that_reason_alone(check, how, offender):
    found = failed(validate(broken(refined(human()), how), PARAMS, None, Search(human(), REACH)))

    [reason] = found
    assert check in reason
    assert found[reason][0] == offender


def test_a_verdict_counts_all_offenders_and_lists_five():
    verdict = validate(broken(human(), lambda t: t.assign(visibility=np.where(t["x"] > 0, 7, 0))), PARAMS, None)

    [entry] = verdict.broken
    assert (entry.failed, len(entry.first)) == (11, 5)
    assert "… 11 in all" in str(verdict)


def test_the_same_set_gives_the_same_verdict():
    wrong = broken(human(), put(4, x=200.0))

    assert validate(wrong, PARAMS, None) == validate(wrong, PARAMS, None)


def test_a_rejected_set_is_kept_with_its_verdict_and_the_message_is_one_line(tmp_path):
    wrong = broken(human(), put(4, x=200.0))

    with pytest.raises(ValidationFailed) as caught:
        enforce(wrong, PARAMS, Place("i00", tmp_path / "rejected"))

    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("i00 is rejected: it breaks 1 times the rule that a labelled point lies in its image")
    assert "images/1.png 0 1: x=200 y=50" in message
    assert f"{tmp_path}/rejected/i00.parquet" in message
    assert "raise validation.outside" in message
    assert read_annotations(tmp_path / "rejected/i00.parquet").frame["x"][4] == 200
    assert json.loads((tmp_path / "rejected/i00.json").read_text())["success"] is False
    assert "FAIL  a labelled point lies in its image" in (tmp_path / "rejected/i00.txt").read_text()


def test_a_set_that_is_too_broken_for_its_types_is_kept_as_text(tmp_path):
    wrong = broken(human(), put(4, x="far\nleft"))

    with pytest.raises(ValidationFailed, match="x: mixed, not number"):
        enforce(wrong, PARAMS, Place("i00", tmp_path))

    assert pd.read_parquet(tmp_path / "i00.parquet")["x"][4] == "far\nleft"


def test_a_set_that_passes_settles_an_older_rejection(tmp_path):
    with pytest.raises(ValidationFailed):
        enforce(broken(human(), put(4, x=200.0)), PARAMS, Place("i00", tmp_path))

    assert enforce(human(), PARAMS, Place("i00", tmp_path)).success

    assert list(tmp_path.iterdir()) == []


def test_the_page_is_replaced_as_a_whole_and_shows_the_verdict_first(tmp_path):
    docs = tmp_path / "i07"
    docs.mkdir()
    (docs / "stale.html").touch()

    verdict = validate(broken(human(), put(4, image="<b>.png")), PARAMS, docs)

    assert {path.name for path in docs.iterdir()} == {"summary.html", "summary.txt"}
    assert (docs / "summary.txt").read_text() == str(verdict)
    page = (docs / "summary.html").read_text()
    places = [page.index(text) for text in ("is <span", ">rejected<", "Broken rules", "&lt;b&gt;.png", "All rules")]
    assert places == sorted(places)
    assert "<b>.png" not in page
    assert page.count('class="bad">broken<') == len(verdict.broken)
    assert page.count('class="good">holds<') == len(verdict.checks) - len(verdict.broken)
    validate(human(), PARAMS, docs)
    page = (docs / "summary.html").read_text()
    assert 'i07 is <span class="good">accepted<' in page
    assert "11 labelled points of 4 instances; " in page
    assert "Broken rules" not in page


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "$HOME", "{0}%s", '"><img src=x onerror=alert(1)>'])
def test_no_name_runs_or_fetches_anything_and_no_path_is_expanded(tmp_path, monkeypatch, evil):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    docs = tmp_path / "$HOME" / "${HOME}" / "i00"
    docs.parent.mkdir(parents=True)
    scheme = LandmarkScheme(evil, (evil, "right", "top"))
    table = human().frame.assign(split=evil, image=f"{evil.replace('/', '')}.png")

    for judged in (LongTable(table, scheme, {}), LongTable(table.drop(columns="split"), scheme, {})):
        assert not validate(judged, PARAMS, docs).success

        assert {path.name for path in docs.iterdir()} == {"summary.html", "summary.txt"}
        page = (docs / "summary.html").read_text()
        for bad in ("http:", "https:", "<script", "<img", "src=x>"):
            assert bad not in page
    assert list((tmp_path / "home").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"home", "$HOME"}


def test_the_page_has_the_colours_of_the_report_and_a_policy_that_allows_no_script():
    page = verdict_page("i00", validate(human(), PARAMS, None))
    report = (ROOT / "lmk" / "report" / "report.css").read_text()

    colours = re.findall(r"--\w+: #\w+;", page)
    assert len(colours) == 16
    assert all(colour in report for colour in colours)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page


def test_judging_says_nothing_warns_of_nothing_and_writes_nothing_beside_the_pages(tmp_path):
    (tmp_path / "home").mkdir()
    write_annotations(human(), tmp_path / "i00.parquet")
    code = (
        "from pathlib import Path; from lmk.store import read_annotations; from lmk.config import ValidationParams\n"
        "from lmk.validation import validate\n"
        "validate(read_annotations(Path('i00.parquet')), ValidationParams(outside=0.1), Path('docs'))\n"
    )
    env = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} == {"home", "i00.parquet", "docs"}
    assert list((tmp_path / "home").iterdir()) == []
