"""Who imports whom, read from the source: for the tests of the house's directions and of dvc.yaml's deps."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = ("lmk", "pipelines", "flows")


def modules() -> dict[str, Path]:
    """All of our modules by their dotted name."""
    found = {}
    for top in OURS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_names(path: Path) -> set[str]:
    """Dotted names of everything a file imports at run time, at the top or inside a function."""
    names: set[str] = set()
    for node in _running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _running_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        nodes += [node, *_running_nodes(node)]
    return nodes


def needed_by(module: str) -> set[str]:
    """Our modules that a module needs, itself included, with the packages they lie in."""
    known, needed, queue = modules(), set(), [module]
    while queue:
        name = queue.pop()
        if name in needed or name not in known:
            continue
        needed.add(name)
        queue += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        queue += [other for other in imported_names(known[name]) if other in known]
    return needed
