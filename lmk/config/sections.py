"""The sections of a parameter file, typed, with nothing left to the code.

A file has one section per class below; a path into it is `section.field`, as in `refine.last`.  There are no defaults
here: `profiles/default.yaml` is what `lmk clean` uses, the top-level `params.yaml` is what `dvc repro` uses, and both
have to be complete, so that a reader of the file sees all there is to see.  Budgets are in images seen, lengths on a
face in pixels of a 256-pixel heatmap, whatever the sizes of network and photograph.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmk.config.base import AnyHeatmapNetwork, AnyNetwork, AnyRefiner, Count, Fraction, Name, Rate, Section
from lmk.limits import BATCH, COUNT, LARGEST_BOX, OUTSIDE, PERCENT, RATE, SEED, SMALLEST_BOX, THREADS, TURN
from lmk.names import Folder, Links
from lmk.registry import REFINERS, Origin


class ByFolder(Section):
    """The first folder of an image's name that is called train, val or test."""

    by: Literal["folder"]


class ByList(Section):
    """A CSV file, `image,split`, that lists every image."""

    by: Literal["list"]
    file: str


class AtRandom(Section):
    """Whole images, drawn by a seed: the same ones whatever else is in the set."""

    by: Literal["random"]
    val: Fraction  # share of the images
    test: Fraction
    seed: Annotated[int, Field(ge=0, le=SEED)]


class ByGroup(Section):
    """As at random, but images of one person, animal or video are never on both sides."""

    by: Literal["group"]
    pattern: str  # regular expression on the image's name; images that agree in its group (…) belong together
    val: Fraction
    test: Fraction
    seed: Annotated[int, Field(ge=0, le=SEED)]


SplitParams = Annotated[ByFolder | ByList | AtRandom | ByGroup, Field(discriminator="by")]


class DataParams(Section):
    """Where the images and their human labels are, and how they are read."""

    root: str  # folder (or file) that `format` reads
    format: str | None  # a name in lmk.registry.FORMATS; null looks at the files
    scheme: str | None  # a shipped scheme, or the path of a scheme's JSON file; null takes what the labels say
    images: str | None  # folder that the labels' names of images start from; null is that of the labels
    origin: Origin | None  # where positions count from, if it is not where the format's do
    split: SplitParams | None  # how images are split; null keeps what the labels say
    truth: str | None  # long CSV of exact positions, for rendered images; only `evaluate` reads it
    links: Links  # that lead out of the folder: `refuse` them, or `follow` them, if you trust whoever made it
    box_scale: Annotated[
        float, Field(ge=SMALLEST_BOX, le=LARGEST_BOX)
    ]  # side of the network's crop / longer side of the human points' bounds

    @property
    def folder(self) -> Folder:
        """What is read, with what is allowed in it."""
        return Folder(Path(self.root), self.links, Path(self.images) if self.images else None)

    @property
    def pictures(self) -> Folder:
        """The folder that names of images start from."""
        return self.folder.root


class TrainingParams(Section):
    """One loop trains every network."""

    seed: Annotated[int, Field(ge=0, le=SEED)]
    threads: Annotated[int, Field(ge=1, le=THREADS)]  # on processors, not on a GPU; sums are rounded by their number
    images: Count  # budget: images seen, counted with repetition
    epochs: Count  # maximum passes over each image; small sets, and their noise, are memorised quickly
    memorised: Annotated[float, Field(gt=0, lt=1)]  # share of the labels' noise that a network may memorise; larger
    # trains longer after each search
    held_out: Fraction  # share of the labelled points that is not learnt, to measure what networks memorise
    batch: Annotated[int, Field(gt=0, le=BATCH)]
    optimiser: Literal["adamw", "rmsprop"]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, le=RATE)]
    schedule: Literal["cosine", "step"]
    step_at: list[Fraction]  # `step`: shares of the budget after which the rate is multiplied …
    step_factor: Annotated[float, Field(gt=0, le=1)]  # … by this
    averaging: Fraction  # decay of the averaged weights; 0 keeps the last ones
    patience: Count | None  # stop after so many looks at `val` without gain; null never stops early
    look_every: Count  # images between two looks at `val`, and between two checkpoints


class AugmentationParams(Section):
    """What is done to every training image, drawn afresh each time."""

    rotation: Annotated[float, Field(ge=0, le=TURN)]  # standard deviation, degrees
    scale: Fraction  # standard deviation of the relative size
    shift: Fraction  # standard deviation, relative to the crop
    flip: bool  # mirror half of the images, where the scheme has mirror pairs
    colour: Fraction  # strength of brightness, contrast and channel changes
    occlusion: Fraction  # probability of a covered rectangle


class AlternationParams(Section):
    """How searching and training take turns."""

    teach: Literal["human", "refined"]  # labels that the next network learns; human ones without likely gross errors
    stop: (
        bool  # if a network agrees no better with held-out human points than the one before, keep the labels of before
    )


class Iteration(Section):
    """One round: search with the model of `prev`, then train that model on with what was found."""

    prev: Name
    refiner: Name  # one of the section `refiners`
    images: Annotated[int, Field(ge=0, le=COUNT)]  # training budget after the search; 0 keeps the network as it is
    learning_rate: Rate


class RefineParams(Section):
    """The rounds, in order, and the one whose labels are used."""

    last: Name
    schedule: dict[Name, Iteration]

    @model_validator(mode="after")
    def _is_a_chain(self) -> RefineParams:
        known = ["i00"]
        for name, iteration in self.schedule.items():
            if name == "i00":
                raise ValueError("i00 is the human label; iterations start at i01")
            if not re.fullmatch(r"i\d\d", name):
                raise ValueError(f"an iteration is called i01 to i99, not {name!r}")
            if iteration.prev not in known:
                raise ValueError(f"{name} follows {iteration.prev!r}, which is not before it; before it: {known}")
            known.append(name)
        if self.last not in known:
            raise ValueError(f"last is {self.last!r}, which is not in the schedule; known: {known}")
        return self

    def chain(self, name: str | None = None) -> list[str]:
        """Names from i00 to `name` (to `last` when none is given), each the parent of the next."""
        names = [name or self.last]
        while names[0] != "i00":
            names.insert(0, self.schedule[names[0]].prev)
        return names


class DownstreamParams(Section):
    """Models trained from scratch on human and on refined labels, to see whether cleaning pays."""

    images: Count
    learning_rate: Rate
    models: dict[Name, AnyNetwork]

    @model_validator(mode="after")
    def _what_lies_beneath_comes_first(self) -> DownstreamParams:
        for name, model in self.models.items():
            if model.beneath is not None and self.beneath(name) is None:
                raise ValueError(
                    f"models.{name}.detector: {name} corrects a detector that is not among the models before it; add a "
                    "model with the same parameters before it"
                )
        return self

    def beneath(self, name: str) -> Name | None:
        """The model that another one stands on: the last one before it with just these parameters."""
        wanted, before = self.models[name].beneath, list(self.models)[: list(self.models).index(name)]
        return next((other for other in reversed(before) if self.models[other] == wanted), None)


class EvaluationParams(Section):
    """How errors are stated."""

    normaliser: str  # of the scheme, or `box` (the side of the human points' bounds), or `image` (its width)
    failure: Annotated[
        float, Field(gt=0, le=PERCENT)
    ]  # an error above this, in % of the normaliser, is a failure; the AUC ends there


class ValidationParams(Section):
    """What a set of annotations must fulfil."""

    outside: Annotated[float, Field(ge=0, le=OUTSIDE)]  # how far a point may lie outside its image, relative to its box


class AuditParams(Section):
    """What the labels of the last iteration must not be."""

    seconds: Annotated[float, Field(gt=0, le=86400)]  # that one question of a gate may take; more is a mistake in it
    gates: dict[Name, str]  # conditions in SQL over the table `points`; docs/audit.md


class Params(Section):
    """A whole parameter file."""

    data: DataParams
    model: AnyHeatmapNetwork  # the detector that judges labels draws heatmaps
    training: TrainingParams
    augmentation: AugmentationParams
    refiners: dict[Name, AnyRefiner]  # that iterations name
    alternation: AlternationParams
    refine: RefineParams
    downstream: DownstreamParams
    evaluation: EvaluationParams
    validation: ValidationParams
    audit: AuditParams

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> Params:
        used = {iteration.refiner for iteration in self.refine.schedule.values()}
        known = ", ".join(sorted(self.refiners)) or "none"
        for name, iteration in self.refine.schedule.items():
            if iteration.refiner not in self.refiners:
                raise ValueError(
                    f"refine.schedule.{name}.refiner: unknown refiner {iteration.refiner!r}; known in section "
                    f"refiners: {known}"
                )
        for name in self.refiners:
            if name not in used:
                raise ValueError(
                    f"refiners.{name}: no iteration of refine.schedule uses it, so it would have no effect; remove "
                    "it, or let an iteration name it"
                )
        filled = {column for refiner in self.refiners.values() for column in type(refiner).fills}
        evidence = {column for entry in REFINERS.values() for column in entry.load().Params.fills}
        dead = {
            name: sorted(set(re.findall(r"\w+", gate)) & evidence - filled) for name, gate in self.audit.gates.items()
        }
        if any(dead.values()):
            reads = ", ".join(f"{name} reads {columns[0]}" for name, columns in dead.items() if columns)
            first = next(name for name, columns in dead.items() if columns)
            raise ValueError(
                f"audit.gates.{first}: {reads}, which no refiner of refine.schedule fills ({known}), so it could never "
                f"break; remove it, as with --set audit.gates.{first}=null"
            )
        return self
