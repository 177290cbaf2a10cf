"""What parameters may name, and the file behind each name.

Nothing is imported until it is asked for, so that `--help` can list names at once, and a stage depends on the files
that its parameters name and on no others.  A new network, refiner or format is a file and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple, get_args

from lmk.errors import UnknownName


class Entry(NamedTuple):
    """One name."""

    place: str  # module:object
    says: str  # what it is, for --help
    corrects: bool = False  # a network on top of a detector that is trained already

    @property
    def module(self) -> str:
        """The dotted name of the file."""
        return self.place.partition(":")[0]

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
    "pca": Entry("lmk.models.shapes:ShapeCorrection", "a shape model that is fitted to the heatmaps", corrects=True),
    "shaped": Entry("lmk.models.shapes:ShapedCorrection", "that fit, and a network that corrects it", corrects=True),
    "upright": Entry("lmk.models.upright:Upright", "a second detector that sees faces turned upright", corrects=True),
}
REFINERS = {
    "align": Entry("lmk.refine.align:ALIGN", "the paper's search around each point"),
    "consensus": Entry("lmk.refine.consensus:CONSENSUS", "all human points of the set against several views"),
    "keep": Entry("lmk.refine.align:KEEP", "moves nothing: the control of every experiment"),
}
FORMATS = {
    "300w-lp": Entry("lmk.formats.lp300w:LP300W", "a .mat file beside each image, of 300W-LP or AFLW2000-3D"),
    "aflw": Entry("lmk.formats.aflw:AFLW", "AFLW's SQLite database, or AFLWinfo_release.mat"),
    "coco": Entry("lmk.formats.coco:COCO", "COCO keypoints, one JSON file"),
    "coco-wholebody": Entry("lmk.formats.coco_wholebody:COCO_WHOLEBODY", "COCO-WholeBody: body, feet, face and hands"),
    "cofw": Entry("lmk.formats.cofw:COFW", "COFW's .mat files with the pictures inside"),
    "csv": Entry("lmk.formats.long_csv:CSV", "one CSV file, a row for each point"),
    "cvat": Entry("lmk.formats.cvat:CVAT", "CVAT for images 1.1, an XML file"),
    "deeplabcut": Entry("lmk.formats.deeplabcut:DEEPLABCUT", "DeepLabCut's tables of labels, or a whole project"),
    "dlib": Entry("lmk.formats.dlib_xml:DLIB", "XML of dlib and its imglab"),
    "hf-parquet": Entry("lmk.formats.hf_parquet:HF_PARQUET", "Parquet of Hugging Face: objects with keypoints"),
    "label-studio": Entry("lmk.formats.label_studio:LABEL_STUDIO", "tasks of Label Studio, one JSON file"),
    "labelme": Entry("lmk.formats.labelme:LABELME", "a JSON file of LabelMe beside each image"),
    "ljson": Entry("lmk.formats.ljson:LJSON", "an .ljson file of menpo beside each image"),
    "merl-rav": Entry("lmk.formats.merl_rav:MERL_RAV", "MERL-RAV's .pts files, whose signs say what is occluded"),
    "pts": Entry("lmk.formats.pts:PTS", "a .pts file beside each image"),
    "sleap": Entry("lmk.formats.sleap:SLEAP", "a .slp file of SLEAP"),
    "spiga": Entry("lmk.formats.spiga:SPIGA", "faces of SPIGA, one JSON file"),
    "tps": Entry("lmk.formats.tps:TPS", "one .tps file of tpsDig, y from the bottom of the image"),
    "wflw": Entry("lmk.formats.wflw:WFLW", "WFLW's lists: a line a face with box, attributes and image"),
    "wide-csv": Entry("lmk.formats.wide_csv:WIDE_CSV", "one CSV file, a row for each object and columns of landmarks"),
    "yolo": Entry("lmk.formats.yolo:YOLO", "YOLO pose: data.yaml, and a text file an image"),
}


Origin = Literal["centre", "one", "corner", "fraction", "percent", "bottom"]  # lmk/formats/pixels.py has their meaning
ORIGINS: tuple[Origin, ...] = get_args(Origin)


def entry(kind: str, name: str, known: Mapping[str, Entry]) -> Entry:
    """The entry of a name that a user wrote."""
    if name not in known:
        raise UnknownName(kind, name, known)
    return known[name]
