"""Questions in SQL: what may be asked, and what is refused."""

from __future__ import annotations

import time

import pytest

from lmk.errors import QueryError
from lmk.history.asker import Question
from lmk.history.decisions import Wish, decide
from lmk.history.gates import judge
from lmk.history.sql import asking, condition
from lmk.workspace import Workspace
from tests.history.sets import folder, make, scattered


@pytest.fixture
def questions(tmp_path):
    points = scattered(4, 1)
    names = [f"{number}.jpg" for number in range(4)]
    with asking(folder(tmp_path, make(names, points), make(names, points + 1))) as asked:
        yield asked


@pytest.mark.parametrize(
    "question",
    [
        "DROP TABLE points",
        "DELETE FROM points",
        "INSERT INTO points (x) VALUES (1)",
        "UPDATE points SET x = 0",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "COPY points TO 'stolen.csv'",
        "EXPORT DATABASE 'stolen'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_progress_bar",
        "CHECKPOINT",
        "CALL pragma_version()",
        "SELECT 1; DROP TABLE points",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM fresh",
        "nonsense",
        "",
    ],
)
def test_what_would_do_more_than_ask_is_refused(questions, question, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    fresh = [1]  # a name of this program is not a table

    with pytest.raises(QueryError):
        questions.ask(question)

    assert questions.rows("SELECT count(*) FROM points") == [(4 * 8 * 2,)]
    assert sorted(tmp_path.rglob("*")) == before
    assert fresh == [1]


@pytest.mark.parametrize("text", ["drift > 0", "drift > 0 -- and so on", "1 = 0 OR landmark = 3", "drift > 0 /* so"])
def test_a_condition_stays_within_its_place(questions, text):
    question = f"SELECT count(*) FROM points WHERE {condition(text)} AND landmark = 2 AND iteration = 'i01'"
    if text.endswith("/* so"):
        with pytest.raises(QueryError):
            questions.rows(question)
        return

    [(count,)] = questions.rows(question)

    assert count == (0 if "OR" in text else 4)


def test_a_condition_that_closes_its_place_cannot_write(questions):
    with pytest.raises(QueryError, match="not one SELECT"):
        questions.rows(f"SELECT 1 FROM points WHERE {condition('true); DROP TABLE points; SELECT (1')}")


def test_a_mistake_is_told_on_one_line_with_the_question(questions):
    with pytest.raises(QueryError) as mistake:
        questions.ask("SELECT drifft FROM points")

    assert "drifft" in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_condition_cannot_reach_beyond_its_iteration(questions, tmp_path):
    paths = Workspace(tmp_path / "cleaned")
    rows, _ = decide(paths, Wish("revert", "false) OR (true", "i01", "me", None), dry_run=True)
    assert len(rows) == 4 * 8
    [verdict] = judge(questions, {"all": "false) OR (true"}, "i01")
    assert verdict.points == 4 * 8


def test_a_mistake_that_shows_late_is_told_like_any_other(questions):
    late = "SELECT CASE WHEN i = 9000 THEN error('boom') ELSE i END FROM range(10000) AS t(i)"
    for asked in (questions.ask, questions.rows):
        with pytest.raises(QueryError, match="boom"):
            asked(late)
    with pytest.raises(QueryError):
        questions.ask("SELECT DATE '5877000-01-01'")


@pytest.fixture
def hurried(tmp_path):
    """Questions of people who have two seconds each."""
    points = scattered(4, 1)
    names = [f"{number}.jpg" for number in range(4)]
    with asking(folder(tmp_path, make(names, points), make(names, points + 1)), seconds=2) as asked:
        yield asked


@pytest.mark.parametrize(
    "question",
    [
        "SELECT count(*) FROM range(100000000000)",
        "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i) FROM t",
        "SELECT count(*) FROM points AS a, points AS b, points AS c, points AS d, points AS e, points AS f",
        "SELECT a.x FROM points AS a, points AS b, points AS c, points AS d, points AS e, points AS f",
        "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))",  # DuckDB cannot be interrupted in it
    ],
)
def test_a_question_without_end_ends_when_its_time_is_up(hurried, question):
    start = time.monotonic()
    with pytest.raises(
        QueryError, match=r"^(SELECT|WITH).*: no answer within 2 s; ask for less .*--seconds"
    ) as mistake:
        hurried.first(question, 10)

    assert time.monotonic() - start < 20
    assert "\n" not in str(mistake.value)
    assert hurried.first("SELECT 1 AS one", 10)[0]["one"].tolist() == [1]


@pytest.mark.parametrize(
    "question",
    [
        "SELECT list(i) FROM range(10000000000) AS t(i)",
        "SELECT length(repeat('x', 4000000000))",  # DuckDB counts neither this nor the next
        "SELECT range(1000000000)",
        "SELECT repeat('x', 100000) FROM range(100000)",
    ],
)
def test_a_question_takes_no_more_memory_than_it_may(questions, question):
    with pytest.raises(QueryError, match="needs more memory"):
        questions.first(question, 100_000)
    assert questions.first("SELECT 1 AS one", 10)[0]["one"].tolist() == [1]


def test_what_would_be_too_long_for_any_memory_is_one_line(questions):
    with pytest.raises(QueryError, match=r"10000000000.*maximum"):
        questions.first("SELECT repeat('x', 10000000000)", 10)


def test_rows_beyond_the_limit_are_counted(questions):
    for most, count in ((10, 10), (10, 11), (10, 250_000), (200_000, 250_000), (300_000, 250_000), (1, 0)):
        table, left_out = questions.first(f"SELECT i FROM range({count}) AS t(i) ORDER BY i", most)

        assert table["i"].tolist() == list(range(min(most, count)))
        assert left_out == max(0, count - most)


def test_conditions_and_gates_have_the_same_limits(hurried, tmp_path):
    endless = "landmark < (SELECT count(*) FROM range(100000000000))"
    with pytest.raises(QueryError, match=r"^--where .*no answer within 2 s"):
        decide(Workspace(tmp_path / "cleaned"), Wish("revert", endless, None, "me", None, 2), dry_run=True)
    for gate in (endless, endless.replace("landmark", "avg(drift)"), f"SELECT {endless} FROM points"):
        with pytest.raises(QueryError, match=r"^gate slow: .*no answer within 2 s.*audit.seconds"):
            judge(hurried, {"slow": gate}, "i01")


def test_a_process_that_was_killed_is_said_another_one_answers_and_nothing_is_left(tmp_path):
    points, names = scattered(4, 1), [f"{number}.jpg" for number in range(4)]
    with asking(folder(tmp_path, make(names, points), make(names, points + 1))) as questions:
        assert questions.rows("SELECT 1", said="1") == [(1,)]
        asker = questions._asker
        asker._process.kill()
        with pytest.raises(QueryError, match=r"its process has ended \(SIGKILL\)"):
            asker.ask(Question("SELECT 1"))
        assert questions.rows("SELECT 2", said="2") == [(2,)]

    assert questions._asker.ended
    [left] = (tmp_path / "cleaned" / ".work" / "audit").iterdir()
    assert left.suffix == ".duckdb"


def test_a_table_that_was_replaced_in_the_meantime_is_said(questions):
    questions.path.unlink()

    with pytest.raises(QueryError, match=r"^SELECT 1: the iterations or decisions have changed .* ask again"):
        questions.first("SELECT 1", 10)


def test_a_table_that_a_disk_has_spoilt_is_removed_and_made_anew_the_next_time(tmp_path):
    paths = folder(tmp_path, make(["a.jpg"], scattered(1, 1)), make(["a.jpg"], scattered(1, 2)))
    with asking(paths) as questions:
        before = questions.rows("SELECT * FROM points ORDER BY ALL")
    [kept] = (paths.work / "audit").glob("*.duckdb")
    whole, refused = kept.read_bytes(), []
    for block in range(3 * 4096, len(whole), 1 << 18):  # one of them holds the points; others are read at once
        spoilt = bytearray(whole)
        spoilt[block + 100] ^= 1
        kept.write_bytes(spoilt)
        try:
            with asking(paths) as questions:
                assert questions.rows("SELECT * FROM points ORDER BY ALL") == before
        except QueryError as error:
            refused.append((str(error), kept.exists()))
        with asking(paths) as questions:
            assert questions.rows("SELECT * FROM points ORDER BY ALL") == before

    said = f"{kept}: damaged, and removed; run the same command again, which makes it anew"
    assert set(refused) == {(said, False)}
