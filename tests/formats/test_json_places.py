"""A walk through JSON in small steps sees what a parser sees, and finds where it stands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmk.errors import DataError, FormatError
from lmk.formats import json_walk
from lmk.formats.json_numbers import cut, numbers_of, pattern_of
from lmk.formats.json_places import items, members, rewriting, words
from lmk.formats.json_sniff import outline
from lmk.formats.json_walk import elements, parsed
from lmk.formats.source import Source

texts = st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', "]", "{", "\\\\", "ä", "\u2028"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
files = settings(deadline=None)  # a file is written in every example; a loaded machine takes its time
indents = st.sampled_from([None, 0, 3, "\t"])


def walked(tmp_path, data, wanted=("a", "b"), chunk=5):
    file = tmp_path / "it.json"
    file.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_walk, "CHUNK", chunk)
        return [(each, parsed(each, file)) for each in elements(Source(file), file, wanted)]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("json")


@files
@given(
    first=st.lists(values, max_size=4), other=values, skipped=values, indent=indents, chunk=st.integers(1, 40),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]), ascii_only=st.booleans(),
)  # fmt: skip
def test_entries_are_what_a_parser_finds_and_stand_where_they_are_said_to(
    room, first, other, skipped, indent, chunk, mark, ascii_only
):
    tree = {"x": skipped, "a": first, "y": [skipped], "b": other}
    data = mark + json.dumps(tree, indent=indent, ensure_ascii=ascii_only).encode()

    found = walked(room, data, chunk=chunk)

    assert [value for each, value in found if each.key == "a"] == first
    assert [value for each, value in found if each.key == "b"] == (other if isinstance(other, list) else [other])
    for each, _ in found:
        assert data[each.start : each.start + len(each.data)] == each.data


@files
@given(tree=st.lists(values, max_size=5), indent=indents, chunk=st.integers(1, 40))
def test_a_file_may_be_a_list(room, tree, indent, chunk):
    assert [value for _, value in walked(room, json.dumps(tree, indent=indent).encode(), (), chunk)] == tree


@given(tree=st.dictionaries(texts, values, max_size=5), indent=indents)
def test_values_of_an_object_and_entries_of_a_list_are_found(tree, indent):
    data = json.dumps(tree, indent=indent).encode()
    found = members(data)

    assert {key: json.loads(data[slice(*span)]) for key, span in found.items()} == tree
    for key, value in tree.items():
        if isinstance(value, list):
            assert [json.loads(data[slice(*span)]) for span in items(data, found[key][0])] == value
        if isinstance(value, dict):
            assert list(members(data, found[key][0])) == list(value)


def test_the_last_of_two_equal_keys_counts_and_escapes_are_read():
    data = b'{"a": [1], "\\u0061" : [-2.5e1 ,3]}'

    assert [data[slice(*span)] for span in words(data, members(data)["a"])] == [b"-2.5e1", b"3"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not whole JSON, cut short perhaps: it ends at byte 0"),
        (b"\xef\xbb\xbf  ", "cut short perhaps: it ends at byte 5"),
        (b'{"a": [1, 2', "cut short perhaps"),
        (b'{"a": [{"b": "c', "cut short perhaps"),
        (b'{"x": "never ends', "cut short perhaps"),
        (b'{"x": "a\\', "cut short perhaps"),
        (b"17", r"at byte 0: expected \{ or \["),
        (b'{"a": [1] "b"', r"at byte 10: expected , or }"),
        (b'{"a": [1 2]}', r"at byte 9: expected , or \]"),
        (b'{"a": [1,]}', "at byte 9: expected a value"),
        (b'{"a" 1}', "expected : behind the key 'a'"),
        (b"{a: 1}", "expected a key in double quotes"),
        (b'{"a": [1]} x', "at byte 11: something behind the end"),
        (b'{"a": [1], "a": [2]}', "the key 'a' is there twice"),
        (b'{"a": [{]}]}', "not JSON in the value at byte 7"),
        (b'{"a": [1-1]}', "not JSON in the value at byte 7"),
        (b'{"a": ["\xff"]}', "not JSON in the value at byte 7"),
        (b'{"a": [' + b"9" * 5000 + b"]}", "not JSON in the value at byte 7"),
        (b'{"a": [' + b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"x": ' + b"[" * 100_000, "cut short perhaps"),
        (b"\xff\xfe{\0", "UTF-16 or UTF-32 text"),
    ],
)
def test_what_is_no_json_is_one_line_with_its_place(tmp_path, data, says):
    with pytest.raises(FormatError, match=says) as error:
        walked(tmp_path, data)

    assert str(tmp_path / "it.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_an_entry_that_is_too_long_is_refused_and_a_picture_that_nobody_wants_is_never_held(tmp_path, monkeypatch):
    picture = b'"' + b"A" * 100_000 + b'\\"B"'
    monkeypatch.setattr(json_walk, "ELEMENT_BYTES", 1000)
    most = []
    fetch = json_walk._Walk.fetch
    monkeypatch.setattr(
        json_walk._Walk, "fetch", lambda walk, keep: (fetch(walk, keep), most.append(len(walk.held)))[0]
    )

    found = walked(tmp_path, b'{"x": ' + picture + b', "y": [{"z": ' + picture + b'}], "a": [1]}', chunk=64)

    assert [value for _, value in found] == [1]
    assert max(most) < 1000
    with pytest.raises(FormatError, match="longer than 1000 bytes"):
        walked(tmp_path, b'{"a": [' + picture + b"]}", chunk=64)


def test_a_copy_has_other_bytes_in_their_places_alone(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(b'\xef\xbb\xbf{"a": [1.50, 22,3]}\r\n')
    [span, other, last] = words(old.read_bytes(), (10, 21))

    with rewriting(Source(old), old, new) as copy:
        copy.numbers(0, old.read_bytes(), [span, other, last], [7.25, None, 4.0], 3)

    assert new.read_bytes() == b'\xef\xbb\xbf{"a": [7.25, 22,4]}\r\n'
    with pytest.raises(DataError, match="name another file"), rewriting(Source(old), old, old):
        pass


@given(st.lists(st.floats(-1e7, 1e7) | st.integers(-(10**9), 10**9), min_size=1), indents)
def test_numbers_that_are_parsed_together_are_those_of_the_parser(numbers, indent):
    data = json.dumps({"n": 1, "keypoints": numbers, "z": ["]"]}, indent=indent).encode()

    rest, text = cut(data, pattern_of("keypoints"))

    np.testing.assert_array_equal(numbers_of(text), np.array(numbers, np.float64))
    assert json.loads(rest) == {"n": 1, "keypoints": [], "z": ["]"]}


@pytest.mark.parametrize("text", [b"1 2", b"1,,2", b"1,2,", b"--1", b"1e", b"-", b"1,-,3", b"e5"])
def test_what_is_no_list_of_numbers_is_left_to_the_parser(text):
    assert numbers_of(text) is None


@pytest.mark.parametrize(
    "data", [b'{"keypoints": []}', b'{"keypoints": ["1"]}', b'{"keypoints": [1], "keypoints": [2]}']
)
def test_lists_that_are_unusual_are_not_cut_out(data):
    assert cut(data, pattern_of("keypoints")) == (data, None)


def test_an_outline_has_the_keys_of_each_depth():
    seen = outline(b'\xef\xbb\xbf\n{"a": [{"b": "c", "d": {"e": 1}}], "f": "')

    assert not seen.is_list
    assert [seen.at(depth) for depth in range(1, 5)] == [{"a", "f"}, set(), {"b", "d"}, {"e"}]
    assert outline(b"image,x") is None
    assert outline(b"[[").is_list
