"""Provenance: what files of any lmk say, with types."""

from __future__ import annotations

import pytest

from lmk.provenance import Provenance


def test_what_a_file_says_is_read_and_what_is_not_known_is_kept():
    written = {"producer": "lmk 1 refine", "refiner": "align", "parameters": {"window": 17.0}, "colour": ["red"]}

    found = Provenance.of(written)

    assert (found.producer, found.refiner, found.parameters) == ("lmk 1 refine", "align", {"window": 17.0})
    assert (found.parent, found.stopped, found.memorised) == (None, None, None)
    assert found.written == written


@pytest.mark.parametrize("key", ["memorised", "by_heart"])
def test_a_key_under_its_old_name_is_read(key):
    found = Provenance.of({key: 0.25, "disagreement": 3})

    assert (found.memorised, found.disagreement) == (0.25, 3.0)
    assert found.written == {key: 0.25, "disagreement": 3}


def test_the_iteration_names_a_parent_better_than_the_digest_of_its_file():
    assert Provenance.of({"parent": "abc", "parent_iteration": "i01"}).made_from == "i01"
    assert Provenance.of({"parent": "abc"}).made_from == "abc"
    assert Provenance.of({}).made_from is None


@pytest.mark.parametrize("odd", [None, "17", [1], True])
def test_values_of_another_type_are_taken_for_unknown(odd):
    found = Provenance.of({"parameters": odd, "memorised": odd, "stopped": odd})

    assert found.parameters == {}
    assert found.memorised is None
    assert found.stopped in (None, str(odd))
