"""The door for files: what comes through, and what is refused in one line."""

from __future__ import annotations

import codecs
import os

import pytest

from lmk.errors import DataError, FormatError, LmkError
from lmk.formats.source import HEAD, Source, head


def test_text_comes_without_its_mark_and_with_its_line_ends(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(codecs.BOM_UTF8 + "näme\r\n".encode())

    assert Source(tmp_path).text(file, 100) == "näme\r\n"
    with Source(tmp_path).open_text(file) as stream:
        assert stream.read() == "näme\r\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"fine until \xff here", "not text in UTF-8"),
        ("näme".encode("latin-1"), "not text in UTF-8"),
        ("name".encode("utf-16"), "UTF-16 or UTF-32"),
        ("name".encode("utf-32"), "UTF-16 or UTF-32"),
    ],
)
def test_other_encodings_are_refused_in_one_line(tmp_path, data, says):
    file = tmp_path / "a.txt"
    file.write_bytes(data)

    with pytest.raises(FormatError, match=says) as error:
        Source(tmp_path).text(file, 100)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
    with pytest.raises(FormatError, match=says), Source(tmp_path).open_text(file) as stream:
        stream.read()


def test_a_file_larger_than_any_such_file_is_refused(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"x" * 101)

    with pytest.raises(FormatError, match=r"a\.txt: larger than"):
        Source(tmp_path).data(file, 100)
    assert len(Source(tmp_path).data(file, 101)) == 101


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pts")

    for open_it in (
        lambda: Source(tmp_path).data(tmp_path / "pipe.pts", 100),
        lambda: Source(tmp_path).open_text(tmp_path / "pipe.pts").__enter__(),
    ):
        with pytest.raises(FormatError, match="not a regular file"):
            open_it()
    with pytest.raises(FormatError, match=r"nowhere: cannot be read \(No such file"):
        Source(tmp_path).data(tmp_path / "nowhere", 100)
    assert head(tmp_path / "pipe.pts") == head(tmp_path) == head(tmp_path / "nowhere") == b""


def test_the_head_is_the_first_64_kib(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * HEAD + b"b")

    assert head(tmp_path / "a") == b"a" * HEAD


def test_files_are_found_below_by_their_ending_in_one_order(tmp_path):
    for name in ("b.pts", "a.PTS", "deep/er/c.pts", "deep.pts", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = Source(tmp_path)

    assert [source.name(file) for file in source.files(".pts")] == ["a.PTS", "b.pts", "deep.pts", "deep/er/c.pts"]


def test_links_inside_are_followed_once_and_the_folder_has_its_own_name(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.pts").touch()
    (tmp_path / "again").symlink_to("train")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "b.pts").symlink_to("train/a.pts")
    source = Source(tmp_path)

    assert [source.name(file) for file in source.files(".pts")] == ["b.pts", "train/a.pts"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_links_that_leave_the_folder_are_refused_and_named(tmp_path, what):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.pts").touch()
    (inside / "link.pts").symlink_to(outside if what == "folder" else outside / "a.pts")

    with pytest.raises(DataError, match=r"link\.pts: a link that leads out of .*inside, to .*outside"):
        Source(inside).files(".pts")

    source = Source(inside, "follow")
    names = [source.name(file) for file in source.files(".pts")]
    assert names == (["link.pts/a.pts"] if what == "folder" else ["link.pts"])


def test_other_links_are_not_looked_at_and_the_folder_itself_may_be_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.pts").touch()
    (tmp_path / "real" / "README").symlink_to("/etc/hostname")
    (tmp_path / "link").symlink_to("real")

    assert [file.name for file in Source(tmp_path / "link").files(".pts")] == ["a.pts"]


@pytest.mark.parametrize("name", [b"\xff.pts", b"a\nb.pts"])
def test_a_name_that_is_no_text_is_refused(tmp_path, name):
    (tmp_path / os.fsdecode(name)).touch()

    with pytest.raises(LmkError, match="has characters in its name that are no text"):
        Source(tmp_path).files(".pts")


def test_names_in_other_scripts_with_any_spaces_are_text(tmp_path):
    for name in ("Bild 1.pts", "10.30\u202fAM.pts", "目.pts"):
        (tmp_path / name).touch()

    assert len(Source(tmp_path).files(".pts")) == 3
