"""Parameter files: read, changed by `--set`, checked; every mistake is one line that says where."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from lmk.config.base import Section, first_mistake
from lmk.config.sections import Params
from lmk.config.yaml_text import parse_yaml
from lmk.errors import ConfigError, UnknownName
from lmk.limits import PARAMETER_BYTES
from lmk.reading import read_text

_SEARCH = "of a refiner of kind align"
# What an older lmk called it, and what it is called now; the longest names first.
RENAMED = {
    **{f"alignment.{field}": f"refiners.NAME.{field}, {_SEARCH}"
       for field in ("window", "template", "step", "prior_weight", "floor", "observation")},
    "alignment.mirror": "refiners.NAME.mirror",
    "alignment.views": "refiners.NAME.views, of a refiner of kind consensus",
    "alignment.teach": "alternation.teach",
    "alignment.stop": "alternation.stop",
    "alignment": "two sections, refiners and alternation",
    "training.by_heart": "training.memorised",
}  # fmt: skip

NAMED = ("audit.gates", "downstream.models", "refine.schedule", "refiners")  # mappings from which null takes a name out

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
    missing = f"no such parameter file; shipped profiles: {', '.join(known_profiles())}"
    raw = parse_yaml(read_text(path, PARAMETER_BYTES, ConfigError, missing), str(path), "cannot be read as YAML")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a parameter file is a mapping of sections, not {raw!r:.40}")
    _check_renamed(raw, str(path))
    for setting in settings:
        _apply(raw, setting)
    where = " ".join([str(path), *(f"--set {setting}" for setting in settings)])
    return parse_section(Params, raw, where)


def parse_section(kind: type[AnySection], raw: Any, where: str) -> AnySection:
    """Check a mapping against its class; the first mistake becomes one line."""
    try:
        return kind.model_validate(raw)
    except ValidationError as cause:
        path, what, more = first_mistake(cause)
        if what == "unknown key" and (known := _fields_at(kind, path[:-1])):
            what = f"unknown key; known: {', '.join(known)}"
        tail = f" (and {more} more)" if more else ""
        place = ".".join(map(str, path))
        raise ConfigError(f"{where}: {place}: {what}{tail}" if path else f"{where}: {what}{tail}") from cause


def _check_renamed(raw: dict[str, Any], where: str) -> None:
    """Refuse names of an older lmk, with the new one."""
    for old, new in RENAMED.items():
        section, _, field = old.partition(".")
        if section in raw and (not field or (isinstance(raw[section], dict) and field in raw[section])):
            raise ConfigError(f"{where}: {old}: is now {new}; see docs/parameters.md")


def _fields_at(kind: Any, path: Sequence[Any]) -> list[str]:
    """Field names of the section that `path` leads to; a part is a field or a key of a mapping."""
    for part in path:
        named = [section for section in _sections(kind) if part in section.model_fields]
        if named:
            kind = named[0].model_fields[part].annotation
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
        raise ConfigError(f"--set {setting}: write section.field=value, as in refiners.consensus.views=16")
    for old, new in RENAMED.items():
        if path == old or path.startswith(f"{old}."):
            raise ConfigError(f"--set {setting}: {old} is now {new}; see docs/parameters.md")
    value = parse_yaml(text, f"--set {setting}", "the value is not YAML")
    place = raw
    for parent in parents:
        if not isinstance(place.get(parent), dict):
            known = ", ".join(sorted(str(key) for key in place))
            raise ConfigError(f"--set {setting}: there is no section {parent!r}; known: {known}")
        place = place[parent]
    if value is None and ".".join(parents) in NAMED:
        place.pop(last, None)
    else:
        place[last] = value
