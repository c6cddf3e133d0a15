"""What the bridge costs and what it withstands, part by part: `python -m bench PART --help` tells of each.

python -m bench [PART] [options]      bridge where no part is named
python -m bench all                   every part in turn, as `make bench` does
"""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = ("bridge", "latency", "isolation", "catchup", "crash", "dispatch")


def main(argv: list[str]) -> int:
    if argv[:1] == ["all"]:
        return max(_run(part, argv[1:]) for part in PARTS)
    if argv[:1] and argv[0] in PARTS:
        return _run(argv[0], argv[1:])
    return _run("bridge", argv)


def _run(part: str, options: list[str]) -> int:
    if "--json" not in options:
        print(f"\n{part}", flush=True)
    status: int = import_module(f"bench.{part}").main(options)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
