"""New numbers in other people's files, in the places and in the style of the old ones."""

from __future__ import annotations

import numpy as np
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError
from lmk.formats.changes import in_style_of
from lmk.formats.exchange import write_back
from lmk.formats.long_csv import CSV
from lmk.formats.pts import PTS
from lmk.scheme import parse_scheme
from lmk.store import read_annotations, write_annotations
from tests.formats.sets import table_of

WING = parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing")
STYLED = (
    b'\xef\xbb\xbfimage,"x",y,annotator,instance,landmark,split\r\n'
    + b'"a,1.jpg", 3 ,4.50,"says ""hm""\n twice",0,tip,train\r\n'
    + b"\r\n"
    + b'"a,1.jpg","7.125",1e1,ann,0,root,train\r\n'
    + b"sub\\b.jpg,,,ann,0,0,val\n"
    + b"sub\\b.jpg,1.0,2,ann,0.0,1,val"
)


def moved(before, **steps):
    points = before.points.copy()
    for place, step in steps.items():
        row, landmark = int(place[1]), int(place[2])
        points[row, landmark] += step
    return before.moved(points, 1, {}, {})


def test_cells_of_a_csv_keep_their_spaces_quotes_and_decimals(tmp_path):
    source, target = tmp_path / "labels.csv", tmp_path / "new.csv"
    source.write_bytes(STYLED)
    before = make_set(table_of(CSV, source, WING, False), WING, {}, "here")

    write_back(CSV, source, before, moved(before, p00=(1, 0.25), p01=(0.015625, -1), p11=(0.5, 1)), target)

    assert target.read_bytes() == (
        STYLED.replace(b" 3 ,4.50,", b" 4 ,4.75,").replace(b'"7.125",1e1', b'"7.141",9').replace(b"1.0,2", b"1.5,3")
    )


def test_a_set_that_was_stored_is_written_back_although_storing_rounds(tmp_path):
    source, target = tmp_path / "labels.csv", tmp_path / "new.csv"
    source.write_text("image,instance,landmark,x,y\na.jpg,0,0,100000.013,0.3\na.jpg,0,1,7.999,1.1\n")
    write_annotations(make_set(table_of(CSV, source, WING, False), WING, {}, "here"), tmp_path / "set.parquet")
    before = read_annotations(tmp_path / "set.parquet")

    write_back(CSV, source, before, moved(before, p01=(0, 1 / 64)), target)

    assert target.read_text() == source.read_text().replace("7.999,1.1\n", "7.999,1.109\n")


def test_a_point_file_keeps_all_but_the_numbers_that_moved(tmp_path):
    text = "\ufeffversion: 1\r\nn_points:  2\r\n{\r\n  22.809\t37.450 \r\n\r\n5 -6\r\n}\r\n\r\n"
    source, target = tmp_path / "set", tmp_path / "new"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a.PTS").write_bytes(text.encode())
    (source / "sub" / "a.jpg").write_bytes(b"image")
    (source / "annotators.csv").write_bytes(b"image,annotator\r\nsub/a.jpg,ann")
    before = make_set(table_of(PTS, source, WING, True), WING, {}, "here")
    np.testing.assert_allclose(before.points[0], [[21.809, 36.45], [4, -7]])

    write_back(PTS, source, before, moved(before, p00=(1, 0), p01=(0.5, 2)), target)

    new = text.replace("22.809", "23.812").replace("5 -6", "5.500 -4")
    assert {file.relative_to(target).as_posix(): file.read_bytes() for file in target.rglob("*") if file.is_file()} == {
        "sub/a.PTS": new.encode(),
        "annotators.csv": b"image,annotator\r\nsub/a.jpg,ann",
    }


def test_points_that_came_twice_or_are_of_another_scheme_are_refused(tmp_path):
    source, target = tmp_path / "labels.csv", tmp_path / "new.csv"
    good = "image,instance,landmark,x,y\na.jpg,0,0,1,1\na.jpg,0,1,7,1\n"
    source.write_text(good)
    before = make_set(table_of(CSV, source, WING, False), WING, {}, "here")

    for text, kind, says in [
        (good + "a.jpg,0,1,7,1\n", DataError, "landmark 1 is there twice"),
        (good + "a.jpg,0,2,7,1\n", FormatError, r"line 4: scheme wing has no landmark 2"),
        (good + "a.jpg,0\n", FormatError, "line 4: not a row of a point"),
        (good.replace("7,1", ","), DataError, "landmark 1 is missing, but was at 7, 1"),
        (good.replace("7,1", "8,1"), DataError, r"line 3: a\.jpg instance 0 landmark 1 is at 8, 1, but was at 7, 1"),
        (good.replace(",x,", ",u,"), FormatError, "no column 'x'"),
        (good + '"a.jpg,0', FormatError, "line 4: a quote is not closed"),
        (good + "\xff", FormatError, "not text in UTF-8"),
    ]:
        source.write_bytes(text.encode("latin-1"))
        with pytest.raises(kind, match=says):
            write_back(CSV, source, before, before, target)
        assert not target.exists()


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("23", 24.0, "24"),  # a whole number stays whole where the new one is
        ("23", 24.5, "24.500"),
        ("23.1", 24.5, "24.5"),
        ("23.1", 24.484375, "24.484"),
        ("22.809", 24.484375, "24.484"),
        ("22.809123", 24.484375, "24.484375"),
        ("22.", 24.0, "24"),
        ("+2", -1.0, "-1"),
        ("1e2", 101.25, "101.250"),
    ],
)
def test_a_new_number_looks_like_the_old_one_and_is_read_as_the_same(old, value, new):
    assert in_style_of(old, value) == new
    assert round(float(new) * 64) == round(value * 64)
