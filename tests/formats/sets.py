"""Sets of all sorts, for tests that every format has to pass."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from lmk.annotations import SPLITS, make_set
from lmk.formats.base import Trait
from lmk.formats.exchange import read
from lmk.names import Folder
from lmk.scheme import parse_scheme

SCHEMES = [
    parse_scheme('{"name": "wing", "points": ["tip", "root"]}', "wing"),
    parse_scheme('{"name": "three", "points": 3}', "three"),
]


def counted(size):
    """A scheme that only counts its points."""
    return parse_scheme(f'{{"name": "some", "points": {size}}}', "some")


WIDTH, HEIGHT = 640, 427  # of every image: some formats say how large images are, and some count in these
letters = st.text(st.characters(categories=("L", "N"), include_characters=" _-.(),'"), min_size=1, max_size=8)
stems = letters.map(lambda text: f"n{text}")  # no hidden files, and no `..`
texts = st.one_of(st.none(), letters.map(lambda text: f"w{text}"))
positions = st.tuples(st.integers(-(1 << 12), 1 << 15), st.integers(-(1 << 12), 1 << 15))


def table_of(form, path, scheme, with_images, images=None):
    """All parts of what a format reads as one table; images lie beside the labels, or in another folder."""
    folder = Folder(path, images=images)
    return pd.concat([part.table for part in read(form, folder, scheme, with_images).parts], ignore_index=True)


def sized(annotations, sizes=((4096, 2048), (512, 8192))):
    """The same set with sizes of images, of which positions are whole parts: shares of them are exact."""
    names = sorted(annotations.instances["image"].unique())
    width, height = np.array([sizes[names.index(name) % len(sizes)] for name in annotations.instances["image"]]).T
    return annotations.with_columns(width=width, height=height)


def placed(annotations, folder):
    """The headers of a set's images in a folder: all that says how large they are."""
    for image, width, height in annotations.instances[["image", "width", "height"]].itertuples(index=False):
        header(Path(folder, image), width, height)
    return folder


def header(file, width, height):
    """The start of an image."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height))


@st.composite
def sets(draw, missing=True, several=True, sizes=None):
    """A set as it may come out of a file: 64ths of a pixel, splits by folder or not, gaps, who labelled it."""
    scheme = draw(st.sampled_from(SCHEMES)) if sizes is None else counted(min(sizes))
    folders = draw(st.sampled_from(["by split", "none", "others"]))
    cells = st.one_of(positions, st.none()) if missing and draw(st.booleans()) else positions
    optional = draw(st.sets(st.sampled_from(["annotator", "source", "gross"])))
    rows = []
    for stem in draw(st.lists(stems, min_size=1, max_size=4, unique_by=str.casefold)):
        split = draw(st.sampled_from(SPLITS))
        folder = {"by split": f"{split}/", "none": "", "others": "deep/ä b/"}[folders]
        for instance in draw(st.sampled_from([[0], [0, 1], [3]])) if several else [0]:
            about = {name: draw(texts) for name in sorted(optional)}
            for landmark in range(scheme.size):
                where = draw(cells)
                x, y = (np.nan, np.nan) if where is None else (where[0] / 64, where[1] / 64)
                visibility = 0 if where is None else draw(st.sampled_from([1, 2]))
                rows.append((f"{folder}{stem}.jpg", instance, landmark, x, y, visibility, split, *about.values()))
    columns = ["image", "instance", "landmark", "x", "y", "visibility", "split", *sorted(optional)]
    table = pd.DataFrame(rows, columns=columns).assign(width=WIDTH, height=HEIGHT)
    return make_set(table, scheme, {}, "drawn")


def frame_of(annotations):
    """A set's long table."""
    return annotations.frame


def renamed(annotations, name):
    """The same set with other names of images: `name` of the old one."""
    instances = annotations.instances.assign(image=annotations.instances["image"].map(name))
    return replace(annotations, instances=instances)


def elsewhere(annotations, rng):
    """The same set with every labelled point somewhere else, at least a 64th of a pixel away."""
    steps = rng.integers(1, 300, annotations.points.shape) * rng.choice([-1, 1], annotations.points.shape)
    return annotations.moved(annotations.points + steps / 64, 1, {}, {})


def in_whole_numbers(form, annotations):
    """The same set with positions that a format can say: whole numbers where it has no others."""
    if Trait.SUBPIXEL in form.carries:
        return annotations
    x, y = (np.rint(annotations.column(name)) + 0.0 for name in ("x", "y"))  # which makes 0 of -0
    return annotations.with_columns(x=x, y=y)
