"""What a terminal shows: progress of long work, and one line for every mistake."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable

from lmk.errors import LmkError, enough_memory

_HINTS = {
    errno.ENOSPC: "; make room, or name another place",
    errno.EACCES: "; make it yours, or name another place",
    errno.EROFS: "; name a place that you may write to",
    errno.EISDIR: "; name a file",
    errno.ENOTDIR: "; a file is where a folder should be, name another place",
}


def warn(message: str) -> None:
    """Say on one line what somebody should know, while the work goes on."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


class Progress:
    """Call it with (done, total) and, where there is one, a note; it says how fast it goes and what time is left."""

    def __init__(self, title: str, unit: str, clock: Callable[[], float] = time.monotonic):
        self.title, self.unit, self.clock = title, unit, clock
        self.started = self.said = clock()
        self.first: int | None = None  # where this process took up the work
        self.in_terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = self.clock()
        if self.first is None:
            self.first = 0
            if done < total:  # nothing is known of what came before
                self.first, self.started = done, now
        if done < total and now - self.said < (0.2 if self.in_terminal else 10):
            return
        self.said = now
        line = self.line(done, total, now, note)
        if self.in_terminal:
            print(f"\r\x1b[2K{line}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def line(self, done: int, total: int, now: float, note: str) -> str:
        """What is shown: title, count, note, speed, time left."""
        elapsed = max(now - self.started, 1e-6)
        rate = (done - (self.first or 0)) / elapsed
        parts = [f"{self.title}: {done}/{total} {self.unit}"]
        if note:
            parts.append(note)
        if rate > 0:
            parts.append(f"{rate:.0f} {self.unit}/s" if rate >= 10 else f"{rate:.1f} {self.unit}/s")
            left = (total - done) / rate
            parts.append(f"{_clock(left)} left" if done < total else f"took {_clock(elapsed)}")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def run_cleanly(work: Callable[[], None]) -> int:
    """Turn a user's mistake, or what the system refuses, into one line and an exit code."""
    try:
        with enough_memory("this work", "model.input_size, training.batch or the images"):
            work()
        sys.stdout.flush()  # now, where a disk that is full can still be told
    except LmkError as error:
        print(f"lmk: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left, as `head` does; nothing more can be said to it.
        _print_no_more()
        return 0
    except UnicodeEncodeError as error:
        print(f"lmk: {error.object!r:.80}: not text in UTF-8", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lmk: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else "writing: "
        hint = _HINTS.get(error.errno or 0, "")
        print(f"lmk: {place}{error.strerror or error}{hint}; nothing was left half written", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # what could not be written is what was printed
            _print_no_more()
        return 1
    return 0


def _print_no_more() -> None:
    """Else Python tries again when it ends, and says so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
