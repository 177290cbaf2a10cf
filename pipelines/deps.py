"""`python -m pipelines.deps`: write into dvc.yaml which of our files each stage runs.

A stage depends on the modules that it imports, read from the source, and on what its parameters name.  So a change
anywhere else, a new detector for one, runs nothing again.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import yaml

from lmk.config import load_params
from lmk.registry import FORMATS, NETWORKS, REFINERS

ROOT = Path(__file__).parent.parent
OURS = ("lmk", "pipelines", "flows")
STAGES = ("ingest", "validate", "baseline", "refine", "audit", "labels", "downstream", "evaluate", "report")


@cache
def modules() -> dict[str, Path]:
    """All of our modules by their dotted name."""
    found = {}
    for top in OURS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Dotted names of everything that a file imports at run time, at the top or inside a function."""
    names: set[str] = set()
    for node in _running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _running_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        nodes += [node, *_running_nodes(node)]
    return nodes


def needed_by(*names: str) -> set[str]:
    """Our modules that some modules need, themselves included, with the packages they lie in."""
    known, queue = modules(), list(names)
    needed: set[str] = set()
    while queue:
        name = queue.pop()
        if name in needed or name not in known:
            continue
        needed.add(name)
        queue += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        queue += [other for other in imported_names(known[name]) if other in known]
    return needed


def files_of(stage: str) -> list[str]:
    """The files of ours that a stage runs or reads, relative to the repository, in order."""
    needed = needed_by(f"pipelines.{stage}", *_named(stage)) - {"pipelines", "lmk.registry"}
    files = {modules()[name] for name in needed}
    # What lies beside a module and is no module is read by it: templates, styles, scripts, schemes.
    for folder in {path.parent for path in files if path.name == "__init__.py"}:
        files |= {path for path in folder.iterdir() if path.suffix in (".j2", ".css", ".js")}
    if "lmk.scheme" in needed and "lmk.ingest" in needed:
        files |= set((ROOT / "lmk" / "schemes").glob("*.json"))
    return sorted(str(path.relative_to(ROOT)) for path in files)


def _named(stage: str) -> set[str]:
    """The modules behind what the sections of a stage name: networks, refiners, formats.

    The registry itself is no dependency: a line more in it changes nothing for anybody who does not name it.
    """
    params = load_params(ROOT / "params.yaml")
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    sections = [str(path).partition(".")[0] for path in listed.get("do", listed)["params"]]
    found: set[str] = set()
    if "data" in sections and "lmk.formats" in needed_by(f"pipelines.{stage}"):
        found |= {entry.module for name, entry in FORMATS.items() if params.data.format in (None, name)}
    if "model" in sections:
        found.add(NETWORKS[params.model.kind].module)
    if "downstream" in sections:
        found |= {NETWORKS[model.kind].module for model in params.downstream.models.values()}
    if "refiners" in sections:
        found |= {REFINERS[refiner.kind].module for refiner in params.refiners.values()}
    return found


def written(text: str) -> str:
    """The text of dvc.yaml with the files of every stage as they are."""
    for stage in STAGES:
        lines = "".join(f"{{indent}}- {name}\n" for name in files_of(stage))
        pattern = (
            rf"(\n  {stage}:\n(?:(?!\n  \w).)*?\n)((\s+)- (?:lmk|pipelines)/\S+\n(?:\s+- (?:lmk|pipelines)/\S+\n)*)"
        )
        found = re.search(pattern, text, re.DOTALL)
        assert found, f"dvc.yaml: stage {stage} lists no file of ours"
        text = text[: found.start(2)] + lines.format(indent=found[3]) + text[found.end(2) :]
    return text


if __name__ == "__main__":
    place = ROOT / "dvc.yaml"
    place.write_text(written(place.read_text(encoding="utf-8")), encoding="utf-8")
