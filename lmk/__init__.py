"""`lmk` corrects noisy landmark labels, and shows what it did.

`import lmk` offers what a notebook wants (see docs/python.md), and loads it when it is first used.
"""

from typing import Any

__version__ = "0.1.0"
_OFFERED = ("AnnotationSet", "audit", "clean", "compare", "read", "schemes", "write")


def __getattr__(name: str) -> Any:
    """What `lmk.notebook` has under this name."""
    if name not in _OFFERED:
        raise AttributeError(f"module 'lmk' has no attribute {name!r}; it offers {', '.join(_OFFERED)}")
    from importlib import import_module

    notebook = import_module("lmk.notebook")
    # All at once, and after the modules lmk.clean, lmk.audit and lmk.schemes, which go by the same names, are loaded.
    import_module("lmk.schemes")
    globals().update({each: getattr(notebook, each) for each in _OFFERED})
    return globals()[name]


def __dir__() -> list[str]:
    """For completion in a notebook."""
    return [*globals(), *_OFFERED]
