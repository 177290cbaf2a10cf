"""Parameters: one YAML file, typed, with nothing left to the code.

A file has one section per class below; a path into it is `section.field`, as in `alignment.prior_weight`.  There are
no defaults here: `profiles/default.yaml` is what `lmk clean` uses, the top-level `params.yaml` is what `dvc repro`
uses, and both have to be complete, so that a reader of the file sees all there is to see.  Budgets are in images seen,
lengths on a face in pixels of a 256-pixel heatmap, whatever the sizes of network and photograph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lmk.errors import ConfigError, UnknownName

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Extent = Annotated[float, Field(gt=0, le=128)]  # half of a 256-pixel heatmap: more is not a neighbourhood
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Frozen; unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataParams(Section):
    """Where the images and their human labels are, and how they are read."""

    root: str  # folder (or file) that `format` reads
    format: str  # a name in lmk.formats.READERS
    scheme: str  # a shipped scheme, or the path of a scheme's JSON file
    truth: str | None  # long CSV of exact positions, for rendered images; only `evaluate` reads it
    box_scale: PositiveFloat  # side of the network's crop / longer side of the human points' bounds


class HourglassParams(Section):
    """A stack of hourglasses that draws one heatmap per point."""

    kind: Literal["hourglass"]
    stacks: PositiveInt
    width: PositiveInt  # channels
    depth: PositiveInt  # halvings inside one hourglass
    input_size: PositiveInt  # pixels of the square crop
    heatmap_size: PositiveInt
    sigma: PositiveFloat  # of the training target, pixels of a 256-pixel heatmap
    loss: Literal["cross_entropy", "chi_square", "star"]  # of heatmaps; chi_square is Eq. 9, star is STAR's (CVPR 2023)

    @model_validator(mode="after")
    def _sizes_fit(self) -> HourglassParams:
        if self.input_size % (4 * 2**self.depth):
            raise ValueError(f"input_size must be a multiple of {4 * 2**self.depth} (4 times 2 to the depth)")
        if self.input_size / self.heatmap_size not in (1, 2, 4):
            raise ValueError("input_size must be 1, 2 or 4 times heatmap_size")
        return self


class ResNetParams(Section):
    """A ResNet that regresses the coordinates: "Reg" of the paper's Table 7."""

    kind: Literal["resnet"]
    width: PositiveInt  # channels of the first stage, doubled at every further one
    depth: PositiveInt  # residual blocks a stage
    input_size: Annotated[int, Field(gt=0, multiple_of=32)]


class CorrectionParams(Section):
    """A unit on top of a detector that is trained already, which stays as it is; see lmk/models/corrections.py."""

    kind: Literal["ghcu", "pca", "shaped", "upright"]
    detector: HourglassParams

    @property
    def input_size(self) -> int:
        """Pixels of the square crop."""
        return self.detector.input_size


ModelParams = Annotated[HourglassParams | ResNetParams | CorrectionParams, Field(discriminator="kind")]


class TrainingParams(Section):
    """One loop trains every network."""

    seed: NonNegativeInt
    images: PositiveInt  # budget: images seen, counted with repetition
    epochs: PositiveInt  # but each image so often at most: a small set is soon learnt by heart, with all its noise
    by_heart: Annotated[
        float, Field(gt=0, lt=1)
    ]  # how much of a label's noise networks should know; sets later `epochs`
    held_out: Fraction  # part of the labelled points that is not learnt, to see what networks know by heart
    batch: PositiveInt
    optimiser: Literal["adamw", "rmsprop"]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    schedule: Literal["cosine", "step"]
    step_at: list[Fraction]  # `step`: parts of the budget after which the rate is cut …
    step_factor: Annotated[float, Field(gt=0, le=1)]  # … to this part of itself
    averaging: Fraction  # decay of the averaged weights; 0 keeps the last ones
    patience: PositiveInt | None  # stop after so many looks at `val` without gain; null never stops early
    look_every: PositiveInt  # images between two looks at `val`, and between two checkpoints


class AugmentationParams(Section):
    """What is done to every training image, drawn afresh each time."""

    rotation: NonNegativeFloat  # standard deviation, degrees
    scale: Fraction  # standard deviation of the relative size
    shift: Fraction  # standard deviation, parts of the crop
    flip: bool  # mirror half of the images, where the scheme has mirror pairs
    colour: Fraction  # strength of brightness, contrast and channel changes
    occlusion: Fraction  # probability of a covered rectangle


class AlignmentParams(Section):
    """Search for the label that dataset and detector agree on (Eq. 8 of the paper)."""

    window: Extent  # full width of the search, pixels of a 256-pixel heatmap
    template: Extent  # full width of the Gaussian that the heatmap is compared with, the same
    step: Extent  # distance between candidates, the same; the best is refined by a parabola
    prior_weight: NonNegativeFloat  # lambda = sigma2^2 / sigma1^2; larger trusts the human more
    floor: Annotated[float, Field(gt=0, lt=1)]  # least value of each 1-D profile of the template, for the division
    observation: Literal["updated", "human"]  # what `align` starts from after the first iteration
    mirror: bool  # average the heatmaps of an image and its mirror image
    views: Annotated[int, Field(ge=4)]  # how many slightly different views of an image `consensus` reads
    teach: Literal["human", "refined"]  # labels that the next network learns from; human ones without gross errors
    stop: bool  # repeat the last labels once an iteration's network agrees less with the humans than the one before


class Iteration(Section):
    """One round: search with the model of `prev`, then train that model on with what was found."""

    prev: Name
    refiner: Literal["align", "consensus", "keep"]  # a test holds these to lmk.refine.REFINERS
    images: NonNegativeInt  # training budget after the search
    learning_rate: PositiveFloat


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

    images: PositiveInt
    learning_rate: PositiveFloat
    models: dict[Name, ModelParams]

    @model_validator(mode="after")
    def _detectors_come_first(self) -> DownstreamParams:
        for name, model in self.models.items():
            if isinstance(model, CorrectionParams) and self.detector_of(name) is None:
                raise ValueError(f"{name} corrects a detector that is not among the models before it; add that one")
        return self

    def detector_of(self, name: str) -> Name | None:
        """The model that a correction is put on: the last one before it with just these sizes."""
        model, before = self.models[name], list(self.models)[: list(self.models).index(name)]
        wanted = model.detector if isinstance(model, CorrectionParams) else None
        return next((other for other in reversed(before) if self.models[other] == wanted), None)


class EvaluationParams(Section):
    """How errors are stated."""

    normaliser: str  # of the scheme, or `box` (the side of the human points' bounds), or `image` (its width)
    failure: PositiveFloat  # an error above this, in % of the normaliser, is a failure; the AUC ends there


class ValidationParams(Section):
    """What a set of annotations must fulfil."""

    outside: NonNegativeFloat  # how far a point may lie outside its image, parts of the box


class AuditParams(Section):
    """What the labels of the last iteration must not be."""

    gates: dict[Name, str]  # conditions in SQL over the table `points`; docs/audit.md


class Params(Section):
    """A whole parameter file."""

    data: DataParams
    model: HourglassParams  # the detector that judges labels draws heatmaps
    training: TrainingParams
    augmentation: AugmentationParams
    alignment: AlignmentParams
    refine: RefineParams
    downstream: DownstreamParams
    evaluation: EvaluationParams
    validation: ValidationParams
    audit: AuditParams


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads it: 1e-3 is a number, not a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)

AnySection = TypeVar("AnySection", bound=Section)


def known_profiles() -> list[str]:
    """Names of the parameter files that are shipped with the package."""
    folder = resources.files("lmk.profiles")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def profile_path(name: str) -> Path:
    """A parameter file that is shipped with the package."""
    if name not in known_profiles():
        raise UnknownName("profile", name, known_profiles())
    return Path(str(resources.files("lmk.profiles").joinpath(f"{name}.yaml")))


def default_profile() -> Path:
    """What `lmk clean` uses where nothing else is named."""
    return profile_path("default")


def load_params(path: Path, settings: Sequence[str] = ()) -> Params:
    """Read a parameter file and apply `section.field=value` settings to it."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as cause:
        shipped = ", ".join(known_profiles())
        raise ConfigError(f"{path}: no such parameter file; shipped profiles: {shipped}") from cause
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise ConfigError(f"{path}: cannot be read as YAML ({_one_line(cause)})") from cause
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a parameter file is a mapping of sections, not {raw!r:.40}")
    for setting in settings:
        _apply(raw, setting)
    where = " ".join([str(path), *(f"--set {setting}" for setting in settings)])
    return parse_section(Params, raw, where)


def parse_section(kind: type[AnySection], raw: Any, where: str) -> AnySection:
    """Check a mapping against its class; the first mistake becomes one line."""
    try:
        return kind.model_validate(raw)
    except ValidationError as cause:
        errors = cause.errors()
        first, more = errors[0], len(errors) - 1
        path = ".".join(str(part) for part in _without_tag(first["loc"]))
        what = _explain(kind, first)
        tail = f" (and {more} more)" if more else ""
        raise ConfigError(f"{where}: {path}: {what}{tail}" if path else f"{where}: {what}{tail}") from cause


def _without_tag(loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop what pydantic puts behind the name of a downstream model: the member of the union that it took."""
    return loc[:3] + loc[4:] if loc[:2] == ("downstream", "models") else loc


def _explain(kind: type[Section], error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = _fields_at(kind, error["loc"][:-1])
        return f"unknown key; known: {', '.join(known)}" if known else "unknown key"
    if error["type"] == "missing":
        return "missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return message if error["type"] == "value_error" else f"{message}, not {error['input']!r:.60}"


def _fields_at(kind: Any, path: Sequence[Any]) -> list[str]:
    """Field names of the section that `path` leads to; a part may be a field, a key of a mapping or a union's tag."""
    for part in path:
        sections = _sections(kind)
        tagged = [
            s for s in sections if "kind" in s.model_fields and part in get_args(s.model_fields["kind"].annotation)
        ]
        named = [s for s in sections if part in s.model_fields]
        if named:
            kind = named[0].model_fields[part].annotation
        elif tagged:
            kind = tagged[0]
    return sorted({name for section in _sections(kind) for name in section.model_fields})


def _sections(kind: Any) -> list[type[Section]]:
    """The classes of sections inside a type, however wrapped."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    return [section for inner in get_args(kind) for section in _sections(inner)]


def _apply(raw: dict[str, Any], setting: str) -> None:
    path, separator, text = setting.partition("=")
    *parents, last = path.split(".")
    if not separator or not parents or not all([*parents, last]):
        raise ConfigError(f"--set {setting}: write section.field=value, as in alignment.prior_weight=0.1")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as cause:
        raise ConfigError(f"--set {setting}: the value is not YAML ({_one_line(cause)})") from cause
    place = raw
    for parent in parents:
        if not isinstance(place.get(parent), dict):
            known = ", ".join(sorted(str(key) for key in place))
            raise ConfigError(f"--set {setting}: there is no section {parent!r}; known: {known}")
        place = place[parent]
    place[last] = value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
