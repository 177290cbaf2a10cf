"""Where positions count from, and the way to our convention and back.

Ours: the centre of the top-left pixel is (0, 0), so the image's left edge is at -0.5.  A format says what its origin
is; its reader and its writer handle numbers as they stand in the file, and this module alone adds to them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Origin = Literal["centre", "one", "corner"]
Points = NDArray[np.float64]

# What the file says of the point that is at (0, 0) for us, the centre of the top-left pixel.
DECIMALS = 9  # that people write at most; a file with more is kept to the last bit in nearly all cases
OFFSETS: dict[Origin, float] = {
    "centre": 0.0,  # pixels are counted from 0, and a pixel's centre is a whole number
    "one": 1.0,  # pixels are counted from 1, as MATLAB does; a pixel's centre is a whole number
    "corner": 0.5,  # lengths from the image's top-left corner, as drawing programs have them
}


def to_ours(numbers: Points, origin: Origin) -> Points:
    """Positions in our convention from numbers of a file, any shape; NaN stays NaN."""
    return numbers - OFFSETS[origin]


def from_ours(points: Points, origin: Origin) -> Points:
    """Numbers of a file from positions in our convention, any shape; NaN stays NaN.

    A number that was read comes back as it was: the nearest one with few decimals that has just this position.
    """
    numbers = points + OFFSETS[origin]
    plain = np.round(numbers, DECIMALS)
    return np.where(to_ours(plain, origin) == points, plain, numbers)


def text_of(number: float, decimals: int) -> str:
    """A number with so many decimals, or with all that it has where these would change it."""
    text = f"{number:.{decimals}f}"
    return text if float(text) == number else repr(number)
