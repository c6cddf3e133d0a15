"""The kill matrix: `python -m tests.mutation [part of a name]`. Exit status 1 when a fault lives."""

from __future__ import annotations

import sys

from tests.mutation.faults import FAULTS, Fault
from tests.mutation.planting import SUITES, kill_matrix, simulated_matrix
from tests.mutation.system import SYSTEM_FAULTS


def main(part: str = "") -> int:
    chosen = [fault for fault in FAULTS if part in fault.name]
    say(f"{'planted fault':<48}{'breaks':<46}" + "".join(f"{suite:<10}" for suite in SUITES))
    wrong = 0
    for fault, killed in kill_matrix([None, *chosen]):
        is_wrong = any(killed.values()) == (fault is None)
        wrong += is_wrong
        say(line_of(fault, killed) + ("<-- WRONG" if is_wrong else ""))
    of_system = [fault for fault in SYSTEM_FAULTS if part in fault.name]
    say("")
    say(f"{'planted in the bridge':<48}{'breaks':<46}what the simulation says")
    for fault, said in simulated_matrix([None, *of_system]):
        is_wrong = bool(said) == (fault is None)
        wrong += is_wrong
        name, breaks = ("none", "nothing") if fault is None else (fault.name, fault.breaks)
        say(f"{name:<48}{breaks:<46}{said[:160] or 'alive'}" + (" <-- WRONG" if is_wrong else ""))
    say(f"{len(chosen)} faults planted in the core, {len(of_system)} around it, {wrong} wrong")
    return 1 if wrong else 0


def line_of(fault: Fault | None, killed: dict[str, bool]) -> str:
    name, breaks = ("none", "everything passes") if fault is None else (fault.name, fault.breaks)
    cells = {True: "killed", False: "alive", None: ""}
    return f"{name:<48}{breaks:<46}" + "".join(f"{cells[killed.get(suite)]:<10}" for suite in SUITES)


def say(line: str) -> None:
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
