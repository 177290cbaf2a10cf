"""Where positions count from, and the way to our convention and back.

Ours: the centre of the top-left pixel is (0, 0), so the image's left edge is at -0.5.  A format says what its origin
is; its reader and its writer handle numbers as they stand in the file, and this module alone changes them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lmk.registry import Origin

Points = NDArray[np.float64]

# What the file says of the point that is at (0, 0) for us, the centre of the top-left pixel.
DECIMALS = 9  # that people write at most; a file with more is kept to the last bit in nearly all cases
DECIMALS_OF_A_PIXEL = 3  # a 64th, the finest step of a set, is .015625: with three decimals it is read as the same
OFFSETS: dict[Origin, float] = {
    "centre": 0.0,  # pixels are counted from 0, and a pixel's centre is a whole number
    "one": 1.0,  # pixels are counted from 1, as MATLAB does; a pixel's centre is a whole number
    "corner": 0.5,  # lengths from the image's top-left corner, as drawing programs have them
}
WHOLE: dict[Origin, float] = {"fraction": 1.0, "percent": 100.0}  # what the image's far edge is at; its near one at 0
IN_WORDS: dict[Origin, str] = {
    "centre": "pixels from 0, at their centres",
    "one": "pixels from 1, at their centres",
    "corner": "pixels from the image's top-left corner",
    "fraction": "shares of the image's width and height, from its top-left corner",
    "percent": "per cent of the image's width and height, from its top-left corner",
    "bottom": "pixels from the image's bottom edge upwards, and from 0 to the right",
}


def to_ours(numbers: Points, origin: Origin, sizes: Points | None = None) -> Points:
    """Positions in our convention from numbers of a file; NaN stays NaN.

    Args:
        numbers: (..., 2) x and y as they stand in the file.
        origin: where they count from.
        sizes: (..., 2) width and height of the image of each; only `SIZED` origins need them.
    """
    if origin in OFFSETS:
        return numbers - OFFSETS[origin]
    assert sizes is not None
    if origin == "bottom":
        return _upside_down(numbers, sizes)
    return numbers / WHOLE[origin] * sizes - 0.5


def from_ours(points: Points, origin: Origin, sizes: Points | None = None) -> Points:
    """Numbers of a file from positions in our convention; NaN stays NaN.

    A number that was read comes back as it was: the nearest one with few decimals that has just this position.
    """
    if origin in OFFSETS:
        numbers = points + OFFSETS[origin]
    else:
        assert sizes is not None
        numbers = _upside_down(points, sizes) if origin == "bottom" else (points + 0.5) / sizes * WHOLE[origin]
    plain = np.round(numbers, DECIMALS)
    return np.where(to_ours(plain, origin, sizes) == points, plain, numbers)


def _upside_down(points: Points, sizes: Points) -> Points:
    # A difference has errors in its last bits; a number with few decimals comes back without them.
    return np.stack([points[..., 0], np.round(sizes[..., 1] - points[..., 1], DECIMALS + 2)], -1)


def texts_of(numbers: Points, decimals: int) -> list[list[str]]:
    """(n, …) numbers as n lists of text; `text_of`, faster."""
    shortened = np.round(numbers, decimals) == numbers
    if shortened.all():
        pattern = f"%.{decimals}f"
        return [[pattern % number for number in row] for row in numbers.reshape(len(numbers), -1).tolist()]
    return [[text_of(number, decimals) for number in row] for row in numbers.reshape(len(numbers), -1).tolist()]


SIZED = frozenset({*WHOLE, "bottom"})  # origins whose numbers mean nothing without the image's size


def pixel_of(origin: Origin, sizes: Points) -> Points:
    """How long a pixel is in numbers of the file, for images of these sizes (..., 2)."""
    return WHOLE[origin] / sizes if origin in WHOLE else np.ones_like(sizes)


def decimals_of(pixel: Points) -> int:
    """Decimals with which the finest step of a set is read as the same, where a pixel is so long at least."""
    shortest = float(np.min(pixel, initial=1.0))
    return DECIMALS_OF_A_PIXEL + max(0, math.ceil(-math.log10(shortest)))


def text_of(number: float, decimals: int) -> str:
    """A number with so many decimals, or with all that it has where these would change it; never as 1e-5."""
    text = f"{number:.{decimals}f}"
    return text if float(text) == number else np.format_float_positional(number)
