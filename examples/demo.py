"""The whole story on a real Kafka, told in under two minutes: `make demo`, or `KEEP=1 make demo` to look around after.

Exit status 0 only if every check held. Nothing outlives this program: no process, no file.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from examples.story.telling import main

    sys.exit(main())
