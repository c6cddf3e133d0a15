"""`make bench`: what a delivery costs here. `python -m bench.<name> --help` tells of each bench and its options."""

from __future__ import annotations

import sys

from bench.bridge import main

if __name__ == "__main__":
    sys.exit(main())
