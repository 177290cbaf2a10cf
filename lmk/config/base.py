"""What every section of a parameter file is, and what sections that are chosen by `kind` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError
from pydantic_core import PydanticCustomError

from lmk.errors import ConfigError, UnknownName
from lmk.limits import COUNT, HEATMAP_SIGMA, INPUT_SIZE, RATE
from lmk.registry import NETWORKS, REFINERS, Entry, entry

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Extent = Annotated[float, Field(gt=0, le=128)]  # half of a 256-pixel heatmap: more is not a neighbourhood
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0, le=COUNT)]
Rate = Annotated[float, Field(gt=0, le=RATE)]
INSIDE = "inside"  # the type of a mistake inside a section that is chosen by its kind


class Section(BaseModel):
    """Frozen; unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def changed(self, **values: Any) -> Self:
        """The section with other values, checked as if they had been read from a file."""
        try:
            return type(self).model_validate(
                {**{name: getattr(self, name) for name in type(self).model_fields}, **values}
            )
        except ValidationError as cause:
            path, what, _ = first_mistake(cause)
            raise ConfigError(f"{'.'.join(map(str, path))}: {what}") from cause


class NetworkParams(Section):
    """What the parameters of every network have; its own are beside it, in the file that the registry names."""

    kind: str  # a name in lmk.registry.NETWORKS

    if TYPE_CHECKING:

        @property
        def input_size(self) -> int:
            """Pixels of the square crop that the network sees: a field, or that of the network beneath."""

    @property
    def beneath(self) -> NetworkParams | None:
        """The network that has to be trained before this one, which stands on it; None for most."""
        return None


class HeatmapParams(NetworkParams):
    """What the parameters of a network that draws heatmaps have."""

    input_size: Annotated[int, Field(gt=0, le=INPUT_SIZE)]  # pixels of the square crop
    heatmap_size: Annotated[int, Field(gt=0, le=INPUT_SIZE)]
    sigma: Annotated[float, Field(gt=0, le=HEATMAP_SIGMA)]  # of the training target, pixels of a 256-pixel heatmap


class RefinerParams(Section):
    """What the parameters of every refiner have; its own are beside it, in the file that the registry names."""

    fills: ClassVar[frozenset[str]] = frozenset()  # columns of evidence that this refiner has something to say in

    kind: str  # a name in lmk.registry.REFINERS
    mirror: bool  # average the heatmaps of an image and its mirror image


def first_mistake(error: ValidationError) -> tuple[tuple[Any, ...], str, int]:
    """Where the first mistake is, what it is, and how many more there are."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    path: tuple[Any, ...] = tuple(first["loc"])
    if first["type"] == INSIDE:
        inner = first["ctx"]
        return (*path, *inner["path"]), inner["what"], more + inner["more"]
    if first["type"] == "extra_forbidden":
        return path, "unknown key", more
    if first["type"] == "missing":
        return path, "missing", more
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return path, message if first["type"] == "value_error" else f"{message}, not {first['input']!r:.60}", more


def _refuse(path: tuple[Any, ...], what: str, more: int = 0) -> NoReturn:
    raise PydanticCustomError(INSIDE, "{what}", {"path": path, "what": what, "more": more})


def _network(raw: Any) -> NetworkParams:
    found: NetworkParams = _by_kind("network", NETWORKS, NetworkParams, raw)
    return found


def _heatmap_network(raw: Any) -> HeatmapParams:
    found = _network(raw)
    if not isinstance(found, HeatmapParams):
        _refuse(("kind",), f"a {found.kind} draws no heatmaps, which the search looks at; use a hourglass")
    return found


def _refiner(raw: Any) -> RefinerParams:
    found: RefinerParams = _by_kind("refiner", REFINERS, RefinerParams, raw)
    return found


def _by_kind(what: str, known: dict[str, Entry], base: type[Section], raw: Any) -> Any:
    """Check a mapping against the class of its kind."""
    if isinstance(raw, base):
        return raw
    if not isinstance(raw, dict):
        _refuse((), f"want a mapping with a kind, not {raw!r:.60}")
    if "kind" not in raw:
        _refuse(("kind",), f"missing; known: {', '.join(sorted(known))}")
    try:
        place = entry(what, str(raw["kind"]), known)
    except UnknownName as error:
        _refuse(("kind",), str(error))
    kind: type[Section] = place.load().Params
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        path, mistake, more = first_mistake(error)
        if mistake == "unknown key":
            mistake = f"unknown key; known: {', '.join(sorted(kind.model_fields))}"
        _refuse(path, mistake, more)


AnyNetwork = Annotated[SerializeAsAny[NetworkParams], BeforeValidator(_network)]
AnyHeatmapNetwork = Annotated[SerializeAsAny[HeatmapParams], BeforeValidator(_heatmap_network)]
AnyRefiner = Annotated[SerializeAsAny[RefinerParams], BeforeValidator(_refiner)]
