"""What the bridge costs and what it withstands, part by part: `python -m bench PART --help` tells of each.

python -m bench [PART] [options]      bridge where no part is named
python -m bench all [--json]          every part in turn, then one table, as `make bench` does

Behind each figure stands what is aimed at and whether this machine reached it; only what must never be (an event lost,
twice, out of order, lag left) makes the exit status 1.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import msgspec

from bench.figures import Report, table
from pipeline.errors import PipelineError

PARTS = ("bridge", "latency", "isolation", "catchup", "crash", "dispatch")


def main(argv: list[str]) -> int:
    part, options = (argv[0], argv[1:]) if argv[:1] and argv[0] in (*PARTS, "all") else ("bridge", argv)
    as_json = "--json" in options
    reports = [_reported(name, options, as_json) for name in (PARTS if part == "all" else (part,))]
    if not as_json:
        print()
        print("\n".join(table(reports)))
    return int(any(report.faults for report in reports))


def _reported(part: str, options: list[str], as_json: bool) -> Report:
    """A part that cannot be measured is a fault, and the others have their turn all the same."""
    if not as_json:
        print(f"\n{part}", flush=True)
    try:
        report: Report = import_module(f"bench.{part}").report(options)
    except (RuntimeError, PipelineError) as error:
        report = Report(bench=part, told={}, figures=[], faults=[f"could not be measured: {error}"])
    if as_json:
        told = msgspec.to_builtins({"figures": report.figures, "faults": report.faults, "skipped": report.skipped})
        print(json.dumps({"bench": part, **report.told, **told}), flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
