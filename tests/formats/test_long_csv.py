"""Long CSV: strict about what is there, free in what may be left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lmk.annotations import make_set
from lmk.errors import DataError, FormatError, LmkError
from lmk.formats.exchange import read as read_parts
from lmk.formats.exchange import write, write_back
from lmk.formats.long_csv import CSV, read_long_csv
from lmk.ingest import ingest
from lmk.scheme import parse_scheme

WING = parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing")
GOOD = "image,instance,landmark,x,y\na.jpg,0,0,1.5,2\na.jpg,0,1,3,4\n"


def read(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    return read_long_csv(tmp_path / "labels.csv", WING, with_images=False)


def test_a_landmark_is_its_number_or_its_name(tmp_path):
    by_name = GOOD.replace(",0,0,", ",0,tip,").replace(",0,1,", ",0,root,")

    assert read(tmp_path, by_name).equals(read(tmp_path, GOOD))


def test_a_missing_point_has_empty_cells(tmp_path):
    made = make_set(read(tmp_path, GOOD.replace("3,4", ",")), WING, {}, "here")

    assert made.labelled.tolist() == [[True, False]]
    np.testing.assert_array_equal(made.points[0, 0], [1.5, 2])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a CSV file"),
        (GOOD.replace("landmark", "point"), "no column 'landmark'"),
        (GOOD.replace("x,y", "x,y,z").replace(",2\n", ",2,9\n").replace(",4\n", ",4,9\n"), "unknown column 'z'"),
        (GOOD.replace("1.5", "abc"), "line 2: x must be a number"),
        (GOOD.replace("1.5", "nan"), "line 2: x must be a number"),
        (GOOD.replace(",0,1,", ",0,1.5,"), "line 3: landmark must be a whole number, not '1.5'"),
        (GOOD.replace(",0,1,", ",0,elbow,"), "line 3: landmark must be a whole number, not 'elbow'"),
        (GOOD.replace(",0,1,", ",-1,1,"), "an instance is a number from 0 to 2147483647, not -1"),
        (GOOD.replace(",0,1,", ",99999999999,1,"), "not 99999999999"),
        (
            GOOD.replace("y\n", "y,split\n").replace(",2\n", ",2,train\n").replace(",4\n", ",4,dev\n"),
            "split is .* 'dev'",
        ),
        (
            GOOD.replace("y\n", "y,visibility\n").replace(",2\n", ",2,1\n").replace(",4\n", ",4,3\n"),
            "visibility is .* 3",
        ),
    ],
)
def test_a_broken_table_is_named_in_one_line(tmp_path, text, says):
    with pytest.raises(LmkError, match=says) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_names_that_are_numbers_do_not_shift_the_points(tmp_path):
    counted = parse_scheme('{"name": "counted", "points": ["1", "2"]}', "counted")
    (tmp_path / "labels.csv").write_text(GOOD)

    assert read_long_csv(tmp_path / "labels.csv", counted, with_images=False)["landmark"].tolist() == [0, 1]


def test_a_position_that_no_image_has_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg landmark 0 is at 1e\+39, 2; no image is so large"):
        make_set(read(tmp_path, GOOD.replace("1.5", "1e39")), WING, {}, "here")


def test_the_same_point_twice_and_a_missing_row_are_refused(tmp_path):
    with pytest.raises(LmkError, match="landmark 1 twice"):
        make_set(read(tmp_path, GOOD + "a.jpg,0,1,9,9\n"), WING, {}, "here")
    with pytest.raises(LmkError, match="1 points, scheme wing has 2"):
        make_set(read(tmp_path, GOOD[: GOOD.index("a.jpg,0,1")]), WING, {}, "here")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.csv: no such file"):
        read_long_csv(tmp_path / "nowhere.csv", WING, with_images=False)


def test_what_is_written_is_read_back(tmp_path):
    text = GOOD.replace("y\n", "y,split,annotator\n").replace(",2\n", ",2,test,ann\n").replace("3,4\n", ",,test,ann\n")
    made = make_set(read(tmp_path, text), WING, {}, "here")

    write(CSV, made, tmp_path / "again.csv")
    again = make_set(read_long_csv(tmp_path / "again.csv", WING, with_images=False), WING, {}, "here")

    pd.testing.assert_frame_equal(again.frame, made.frame, check_like=True)


def test_instances_come_whole_whatever_the_order_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("lmk.formats.long_csv.PART_ROWS", 4)
    keys = [(f"{image}.jpg", landmark) for landmark in (0, 1) for image in "abcde"]
    (tmp_path / "labels.csv").write_text(
        "image,instance,landmark,x,y\n" + "".join(f"{image},0,{k},{k},9\n" for image, k in keys)
    )

    parts = list(read_parts(CSV, tmp_path / "labels.csv", WING, with_images=False).parts)

    assert max(len(part.table) for part in parts) == 4
    assert sum(len(part.table) for part in parts) == 10
    assert all((part.table.groupby("image").size() == 2).all() for part in parts)
    stand = {line: k for part in parts for line, k in zip(part.places, part.table["landmark"], strict=True)}
    assert stand == {line: k for line, (_, k) in enumerate(keys, start=2)}


def test_a_mistake_far_down_is_named_by_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr("lmk.formats.long_csv.PART_ROWS", 4)
    rows = [f"{image}.jpg,0,{landmark},1,1" for image in "abcde" for landmark in (0, 1)]

    with pytest.raises(FormatError, match="line 10: y must be a number"):
        read(tmp_path, "\n".join(["image,instance,landmark,x,y", *rows[:8], rows[8].replace("1,1", "1,one"), rows[9]]))


def test_a_file_with_a_header_alone_has_no_annotations(tmp_path):
    with pytest.raises(DataError, match="no annotations found"):
        make_set(read(tmp_path, GOOD.partition("\n")[0]), WING, {}, "here")


def test_positions_of_points_that_are_said_not_to_be_labelled_are_listed_as_lost(tmp_path):
    text = GOOD.replace("y\n", "y,visibility\n").replace(",2\n", ",2,2\n").replace(",4\n", ",4,0\n")
    (tmp_path / "labels.csv").write_text(text)
    reading = read_parts(CSV, tmp_path / "labels.csv", WING, with_images=False)

    made = make_set(next(reading.parts).table, WING, {}, "here")

    assert made.labelled.tolist() == [[True, False]]
    assert list(map(str, reading.losses)) == [
        "lost: positions of points that are said not to be labelled (1; the first: line 3)"
    ]


@pytest.mark.parametrize(
    ("rows", "line", "cells"),
    [
        ("a.jpg,0,0,10,5,20,5\na.jpg,0,1,28,5,30,1\n", 2, 7),
        ("a.jpg,0,0,10,20\na.jpg,0,1,289,60,30\n", 3, 6),
        ('a.jpg,0,0,10,20\n"a,\nb.jpg",0,1,1,2\nc, d.jpg,0,0,1,2\n', 5, 6),
    ],
)
def test_a_row_with_more_cells_than_the_header_is_refused_with_its_line(tmp_path, rows, line, cells):
    with pytest.raises(FormatError, match=f"line {line}: {cells} cells, but the header names 5; numbers have decimal"):
        read(tmp_path, "image,instance,landmark,x,y\n" + rows)


DECIMAL_COMMAS = GOOD.replace(",", ";").replace("1.5", "1,5").replace(";4", ";4,25")


def test_decimal_commas_are_read_where_cells_are_separated_by_semicolons_and_that_is_said(tmp_path, capsys):
    (tmp_path / "labels.csv").write_text(DECIMAL_COMMAS)

    labels = ingest(tmp_path / "labels.csv", "csv", WING, 1.25, with_images=False)

    np.testing.assert_array_equal(labels.points, [[[1.5, 2], [3, 4.25]]])
    assert "numbers are read with decimal commas, and cells with ; between them" in capsys.readouterr().err
    assert CSV.sniff(tmp_path / "labels.csv", DECIMAL_COMMAS.encode()).confidence == 1.0


def test_decimal_points_between_semicolons_are_points_and_nothing_is_said(tmp_path, capsys):
    assert read(tmp_path, GOOD.replace(",", ";")).equals(read(tmp_path, GOOD))
    assert capsys.readouterr().err == ""


def test_a_file_with_commas_and_points_is_refused_wherever_the_other_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("lmk.formats.long_csv.PART_ROWS", 1)  # each row in a chunk of its own
    with pytest.raises(FormatError, match="line 3: a decimal point, and line 2 has the other; write all numbers in"):
        read(tmp_path, DECIMAL_COMMAS.replace("4,25", "4.25"))
    with pytest.raises(FormatError, match="line 3: a decimal comma, and line 2 has the other"):
        read(tmp_path, DECIMAL_COMMAS.replace("1,5", "1.5"))


def test_decimal_commas_between_commas_are_refused_with_the_line(tmp_path):
    with pytest.raises(FormatError, match="line 2: 6 cells, but the header names 5"):
        read(tmp_path, GOOD.replace("1.5", "1,5"))


def test_writing_back_between_semicolons_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text(DECIMAL_COMMAS)
    before = ingest(tmp_path / "labels.csv", "csv", WING, 1.25, with_images=False)
    with pytest.raises(FormatError, match="export the set instead"):
        write_back(CSV, tmp_path / "labels.csv", before, before, tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()
