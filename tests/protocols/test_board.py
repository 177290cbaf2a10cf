"""Leaderboards: every published number where it belongs, and what is doubtful about it."""

from __future__ import annotations

import csv

import pytest

from lmk.cli import main
from lmk.errors import DataError, UnknownName
from lmk.protocols.board import MORE_IS_BETTER, SPLITS, TITLES, YOURS, boards, draw, in_words, published


@pytest.mark.parametrize("protocol", TITLES)
def test_every_number_is_on_a_board_once_and_in_order(protocol):
    table = published(protocol)
    found = boards(protocol)

    assert set(table["split"]) == set(SPLITS[protocol])
    seen = []
    for board in found:
        values = board.rows[board.splits[-1]].dropna().tolist()
        assert values == sorted(values, reverse=board.metric not in MORE_IS_BETTER)
        assert board.rows["method"].is_unique
        for row in board.rows.to_dict("records"):
            for split in board.splits:
                seen += [(row["method"], split, board.metric, board.normaliser)] * (row[split] == row[split])
    plain = table[table["variant"] == ""]
    wanted = plain[["method", "split", "metric", "normaliser"]].drop_duplicates()
    assert sorted(seen) == sorted(wanted.itertuples(index=False, name=None))


def test_the_numbers_are_those_of_the_source(shared_data):
    with (shared_data / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("method", "split", "metric", "normaliser", "value")
    theirs = sorted((row["protocol"], *(row[name] for name in columns[:-1]), float(row["value"])) for row in rows)
    ours = sorted((name, *row) for name in TITLES for row in published(name)[list(columns)].itertuples(index=False))

    assert ours == theirs


def test_variants_are_kept_and_on_no_board():
    table = published("300w")
    best = table[(table["method"] == "HGs + SA") & (table["split"] == "full") & (table["normaliser"] == "inter-pupil")]

    assert (best["variant"] != "").sum() > 5
    (board,) = (one for one in boards("300w") if (one.metric, one.normaliser) == ("nme_percent", "inter-pupil"))
    assert board.rows.set_index("method").loc["HGs + SA", "full"] == 4.37


def test_a_doubtful_number_is_marked_and_explained_and_one_that_differs_elsewhere_too():
    text = in_words(boards("300w"))

    assert "ODN" in text
    assert "6.67*" in text
    assert "ODN (full): under inter-ocular in Table 1 of FFLD" in text
    assert "SDM (common): 5.57 in FFLD" in text


def test_your_model_stands_where_it_belongs():
    ours = {("nme_percent", "inter-pupil", split): value for split, value in (("full", 4.3), ("common", 3.7))}
    boards_ = boards("300w", ours)
    (board,) = (one for one in boards_ if one.normaliser == "inter-pupil")
    place = board.rows["method"].tolist().index(YOURS)

    assert board.rows["full"].iloc[place - 1] >= 4.3 >= board.rows["full"].iloc[place + 1]
    assert "> your model" in in_words([board])
    assert all(YOURS not in set(other.rows["method"]) for other in boards_ if other is not board)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_board_is_drawn(tmp_path, ending):
    target = tmp_path / f"board.{ending}"
    draw(boards("wflw")[0], target)

    content = target.read_bytes()
    assert content.startswith(b"<svg" if ending == "svg" else b"\x89PNG")
    if ending == "svg":
        assert b"CCDN" in content


def test_what_is_unknown_is_said(tmp_path, capsys):
    with pytest.raises(UnknownName, match="unknown protocol '400w'; known: 300vw, 300w"):
        published("400w")
    with pytest.raises(DataError, match=r"a picture ends in \.svg or \.png"):
        draw(boards("wflw")[0], tmp_path / "board.gif")
    assert main(["leaderboard", "cofw29", "-o", str(tmp_path / "board.svg")]) == 0
    assert "CCDN" in capsys.readouterr().out
    assert (tmp_path / "board.svg").is_file()
