"""What parameters may name, and the file behind each name.

Nothing is imported until it is asked for, so that `--help` can list names at once.  A new network, refiner or format is
a file and a line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One name."""

    place: str  # module:object
    says: str  # what it is, for --help
    corrects: bool = False  # a network on top of a detector that is trained already

    def load(self) -> Any:
        """The object."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


NETWORKS = {
    "hourglass": Entry("lmk.models.hourglass:StackedHourglass", "stacked hourglasses, a heatmap for each landmark"),
    "resnet": Entry("lmk.models.resnet:ResNetRegressor", "a ResNet that regresses all coordinates"),
    "ghcu": Entry(
        "lmk.models.corrections:HeatmapCorrection", "the paper's unit from heatmaps to points", corrects=True
    ),
    "pca": Entry(
        "lmk.models.corrections:ShapeCorrection", "a shape model that is fitted to the heatmaps", corrects=True
    ),
    "shaped": Entry(
        "lmk.models.corrections:ShapedCorrection", "that fit, and a network that corrects it", corrects=True
    ),
    "upright": Entry(
        "lmk.models.corrections:Upright", "a second detector that sees faces turned upright", corrects=True
    ),
}
REFINERS = {
    "align": Entry("lmk.refine:align", "the paper's search around each point"),
    "consensus": Entry("lmk.refine:consensus", "all human points of the set against several views"),
    "keep": Entry("lmk.refine:keep", "moves nothing: the control of every experiment"),
}
FORMATS = {
    "csv": Entry("lmk.formats.long_csv:read_long_csv", "one CSV file, a row for each point"),
    "pts": Entry("lmk.formats.pts:read_pts_folder", "a .pts file beside each image"),
}
