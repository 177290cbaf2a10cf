"""`python -m lmk` is `lmk`."""

import sys

from lmk.cli import main

if __name__ == "__main__":
    sys.exit(main())
