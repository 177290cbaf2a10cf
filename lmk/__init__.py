"""`lmk` finds what a landmark dataset's annotators meant."""

__version__ = "0.1.0"
