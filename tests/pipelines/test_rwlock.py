"""What a killed DVC leaves, and that only that is removed."""

from __future__ import annotations

import fcntl

import pytest

from pipelines.rwlock import mend

WHOLE = '{"write": {}, "read": {}}'


@pytest.fixture
def place(tmp_path):
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path / ".dvc" / "tmp"


@pytest.mark.parametrize("text", ["", '{"write": {"a": {"pid": 1', "[" * 100_000])
def test_a_damaged_list_is_removed_and_said(place, tmp_path, text, capsys):
    (place / "rwlock").write_text(text)

    assert mend(tmp_path)

    assert not (place / "rwlock").exists()
    assert "rwlock: was left damaged by a run of DVC that was killed, and is removed" in capsys.readouterr().err
    assert not mend(tmp_path)


def test_a_list_that_is_whole_or_being_written_stays(place, tmp_path, capsys):
    (place / "rwlock").write_text(WHOLE)
    assert not mend(tmp_path)
    (place / "rwlock").write_text("")
    with (place / "rwlock.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        assert not mend(tmp_path)

    assert (place / "rwlock").exists()
    assert capsys.readouterr().err == ""
    assert not mend(tmp_path / "nowhere")
