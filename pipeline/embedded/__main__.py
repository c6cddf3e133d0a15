"""``python -m pipeline.embedded``: fetch Kafka and make its class-data archive now, not at the first start."""

from __future__ import annotations

import sys

from pipeline.embedded.preparing import prepare
from pipeline.errors import EmbeddedError

if __name__ == "__main__":
    try:
        prepare(lambda line: print(line, flush=True))  # noqa: T201 - a command: printing is its answer
    except EmbeddedError as error:
        sys.exit(f"error: {error}")
