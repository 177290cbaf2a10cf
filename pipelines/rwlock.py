"""Mend the list of files that DVC is at work on, where a kill has left it empty: `python -m pipelines.rwlock`.

DVC writes `.dvc/tmp/rwlock` in place.  Killed within that moment, it leaves the file empty or cut, and every later
command of DVC that runs a stage fails (docs/decisions/0018).  What the file held is of no use then: it names processes
that were running.  It is removed only while nobody is writing it, which DVC's own guard tells.
"""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path


def mend(repo: Path) -> bool:
    """Remove a damaged list, and say so; one that is whole, or being written, stays."""
    place = repo / ".dvc" / "tmp"
    path = place / "rwlock"
    if not path.is_file() or _is_whole(path):
        return False
    with (place / "rwlock.lock").open("a") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody is writing it
            return False
        if _is_whole(path):
            return False
        path.unlink(missing_ok=True)
    print(f"{path}: was left damaged by a run of DVC that was killed, and is removed", file=sys.stderr)
    return True


def _is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True  # removed meanwhile
    except (ValueError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    mend(Path())
