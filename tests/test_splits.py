"""Splits: whole images, whole groups, the shares that were asked for, and the same ones again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lmk.config import SplitParams, default_profile, load_params
from lmk.errors import ConfigError, DataError, FormatError
from lmk.splits import with_splits
from tests.history.sets import make, scattered


def how(**said):
    return TypeAdapter(SplitParams).validate_python(said)


def split(images, **said):
    """The split of each image."""
    numbers = [images[:place].count(image) for place, image in enumerate(images)]
    labels = make(images, scattered(len(images), 0), instances=numbers)
    found = with_splits(labels, how(**said)).instances
    return list(zip(found["image"], found["split"], strict=True))


@given(count=st.integers(5, 60), val=st.floats(0, 0.4), test=st.floats(0, 0.4), seed=st.integers(0, 100))
def test_at_random_the_shares_are_those_asked_for_and_images_are_whole(count, val, test, seed):
    images = [f"{number // 2:03d}.jpg" for number in range(count)]  # two objects in most
    found = dict(split(images, by="random", val=val, test=test, seed=seed))

    total = len(found)
    for name, share in (("val", val), ("test", test)):
        assert abs(list(found.values()).count(name) - share * total) <= 1
    assert set(split(images, by="random", val=val, test=test, seed=seed)) == set(found.items())


def test_an_image_stays_where_it_is_when_others_come():
    """As far as shares allow: most of the test images are those of before."""
    some = dict(split([f"{n}.jpg" for n in range(200)], by="random", val=0.1, test=0.2, seed=1))
    more = dict(split([f"{n}.jpg" for n in range(220)], by="random", val=0.1, test=0.2, seed=1))

    stayed = [more[image] == "test" for image, side in some.items() if side == "test"]
    assert np.mean(stayed) > 0.9


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 20)), min_size=8, max_size=60, unique=True), st.integers(0, 9)
)
def test_nobody_is_on_both_sides(who, seed):
    images = [f"person{person}_{number}.jpg" for person, number in who]
    found = split(images, by="group", pattern=r"^person(\d+)_", val=0.2, test=0.2, seed=seed)

    sides = {}
    for image, side in found:
        sides.setdefault(image.partition("_")[0], set()).add(side)
    assert all(len(found) == 1 for found in sides.values())


def test_folders_and_lists_are_taken_as_they_are(tmp_path):
    images = ["a/train/1.jpg", "a/val/2.jpg", "test/3.jpg"]
    assert [side for _, side in split(images, by="folder")] == ["train", "val", "test"]
    (tmp_path / "s.csv").write_text("image,split\n" + "".join(f"{image},val\n" for image in [*images, "other.jpg"]))
    assert {side for _, side in split(images, by="list", file=str(tmp_path / "s.csv"))} == {"val"}


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"by": "folder"}, DataError, r"a\.jpg lies in no folder called train, val, test"),
        ({"by": "group", "pattern": "x(.)", "val": 0.1, "test": 0.1, "seed": 0}, DataError, r"does not match a\.jpg"),
        ({"by": "group", "pattern": "a", "val": 0.1, "test": 0.1, "seed": 0}, ConfigError, "has no group"),
        (
            {"by": "group", "pattern": "(a", "val": 0.1, "test": 0.1, "seed": 0},
            ConfigError,
            "is not a regular expression",
        ),
        ({"by": "random", "val": 0.5, "test": 0.5, "seed": 0}, ConfigError, "leave some to train on"),
        ({"by": "list", "file": "nowhere.csv"}, FormatError, "nowhere.csv: cannot be read"),
    ],
)
def test_what_cannot_be_split_is_said(said, kind, message):
    with pytest.raises(kind, match=message):
        split(["a.jpg", "b.jpg"], **said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,set\na.jpg,val\n", "the header must be image,split"),
        ("image,split\na.jpg,dev\n", "one of train, val, test"),
        ("image,split\na.jpg,val\n", r"no line for b\.jpg"),
    ],
)
def test_a_list_that_says_too_little_is_refused(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises((FormatError, DataError), match=message):
        split(["a.jpg", "b.jpg"], by="list", file=str(tmp_path / "s.csv"))


def test_parameters_say_it():
    params = load_params(default_profile(), ["data.split={by: random, val: 0.1, test: 0.2, seed: 3}"])
    assert params.data.split == how(by="random", val=0.1, test=0.2, seed=3)
    with pytest.raises(ConfigError, match=r"data\.split"):
        load_params(default_profile(), ["data.split={by: magic}"])
