"""From any format to any other: what both carry comes through, number for number."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lmk.annotations import make_set
from lmk.formats.base import Trait
from lmk.formats.exchange import format_named, said_by, write
from lmk.registry import FORMATS
from lmk.scheme import parse_scheme
from tests.formats.sets import sized
from tests.formats.test_contract import read_again

ALL = {name: format_named(name) for name in FORMATS}
BOTH = [name for name, form in ALL.items() if form.read and form.write and form.sizes is None]
PAIRS = [(one, other) for one in BOTH for other in BOTH if one != other]
NO_VAL = {"merl-rav"}  # whose folders are trainset and testset
WING = parse_scheme('{"name": "wing", "points": ["tip", "root", "bend"]}', "wing")


@st.composite
def carried(draw, traits, splits):
    """A set that says no more than two formats carry: 64ths of a pixel, or whole ones, inside of the images."""
    rows = []
    images = draw(st.integers(1, 3))
    for image in range(images):
        split = draw(st.sampled_from(splits)) if Trait.SPLIT in traits else "train"
        folder = {"train": "trainset/train", "val": "val", "test": "testset/test"}[split]
        for instance in range(draw(st.integers(1, 2)) if Trait.SEVERAL in traits else 1):
            for landmark in range(WING.size):
                x, y = (draw(st.integers(64, 500 * 64)) / 64 for _ in "xy")
                if Trait.SUBPIXEL not in traits:
                    x, y = round(x), round(y)
                gone = landmark > 0 and Trait.MISSING in traits and draw(st.booleans())
                seen = 1 if Trait.OCCLUSION in traits and draw(st.booleans()) else 2
                rows.append((f"{folder}/{image} a.jpg", instance, landmark, *((np.nan,) * 2 if gone else (x, y)),
                             0 if gone else seen, split))  # fmt: skip
    columns = ["image", "instance", "landmark", "x", "y", "visibility", "split"]
    return sized(make_set(pd.DataFrame(rows, columns=columns), WING, {}, "drawn"))


def what_it_says(annotations, traits):
    """The points, visibilities and splits of a set, by image and order."""
    instances = annotations.instances
    names = instances["image"].str.removesuffix(".jpg").tolist()
    order = instances.groupby("image").cumcount().tolist()
    splits = instances["split"].tolist() if Trait.SPLIT in traits else [""] * len(names)
    seen = annotations.column("visibility") if Trait.OCCLUSION in traits else annotations.labelled
    points = np.round(np.nan_to_num(annotations.points, nan=-1e9), 6)  # per cent of an image are no exact pixels
    return sorted(zip(names, order, splits, seen.tolist(), points.tolist(), strict=True))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda name: name)
@settings(
    max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_what_two_formats_carry_comes_through_from_one_to_the_other(one, other, data):
    traits = ALL[one].carries & ALL[other].carries
    drawn = data.draw(carried(traits, ["train", "test"] if {one, other} & NO_VAL else ["train", "val", "test"]))
    assert {trait for trait in said_by(drawn) if trait is not Trait.NAMES} <= traits | {Trait.SUBPIXEL}

    with TemporaryDirectory() as folder:
        write(ALL[one], drawn, Path(folder) / "first")
        first = sized(read_again(one, Path(folder) / "first", drawn))
        write(ALL[other], first, Path(folder) / "second")
        second = read_again(other, Path(folder) / "second", first)

    assert what_it_says(first, traits) == what_it_says(drawn, traits)
    assert what_it_says(second, traits) == what_it_says(drawn, traits)
    assert second.scheme.names == WING.names
