"""H5 files as DeepLabCut has them written, made without PyTables."""

from __future__ import annotations

import h5py
import numpy as np


def as_h5(file, columns, paths, values, **attributes):
    """A table as pandas 1.5 wrote it with PyTables 3.8: `DataFrame.to_hdf(file, key="df_with_missing", mode="w")`."""
    with h5py.File(file, "w") as h5:
        group = h5.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        for axis, rows in (("axis0", columns), ("axis1", paths), ("block0_items", columns)):
            for level, words in enumerate(zip(*rows, strict=True)):
                known = sorted(set(words))
                group[f"{axis}_level{level}"] = np.array([word.encode() for word in known])
                group[f"{axis}_label{level}"] = np.array([known.index(word) for word in words], np.int8)
        group["block0_values"] = np.array(values, np.float64)
        for name, value in attributes.items():
            group["axis0_level1"].attrs[name] = value
