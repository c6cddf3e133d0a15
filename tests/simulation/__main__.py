"""`python -m tests.simulation --seed N` prints the history of one seed; ``--seeds N --first M`` runs many.

Exit status 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterable

from tests.simulation.town import Town


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="the bridge in virtual time")
    parser.add_argument("--seed", type=int, help="live through this one and print what happened")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to live through")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no more seeds after so many seconds")
    parser.add_argument("--only", type=int, nargs="*", help="these seeds instead")
    parser.add_argument("--stop", action="store_true", help="stop at the first that fails")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return tell(given.seed)
    return run(given.only or range(given.first, given.first + given.seeds), given.seconds, stop=given.stop)


def tell(seed: int) -> int:
    town, why = lived(seed)
    for at, who, what in town.world.history:
        say(f"{at - 1000:9.3f}  {who:<22} {what}")
    say(f"seed {seed}: {why or 'every promise was kept'}")
    return 1 if why else 0


def run(seeds: Iterable[int], seconds: float, *, stop: bool = False) -> int:
    began, cpu_began, done, failed, virtual_s = time.monotonic(), time.process_time(), 0, [], 0.0
    commits = second = dead = 0
    for seed in seeds:
        if time.monotonic() - began >= seconds:
            break
        town, why = lived(seed)
        done += 1
        virtual_s += town.world.now - 1000.0
        for ledger in town.books.ledgers:
            commits += ledger.commits
            second += ledger.second_deliveries
            dead += ledger.buried_count
        if why:
            failed.append(seed)
            say(f"seed {seed}: {why.strip().splitlines()[-1]}")
            if stop:
                break
    cpu_s = max(time.process_time() - cpu_began, 1e-9)
    say(
        f"{done} seeds, {len(failed)} failed {failed[:20]}; {done / cpu_s * 60:,.0f} seeds and "
        f"{virtual_s / cpu_s * 60 / 86_400:.2f} simulated days per CPU minute; {commits:,} commits checked, "
        f"{second:,} second deliveries explained, {dead:,} dead letters"
    )
    return 1 if failed else 0


def lived(seed: int) -> tuple[Town, str]:
    """The town after its days, and why it failed, if it did."""
    town = Town(seed)
    try:
        town.live()
    except Exception:  # noqa: BLE001 - whatever it was, the seed failed, and its number is what is wanted
        return town, traceback.format_exc()
    return town, ""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings must be the same each time, or a seed would not repeat itself.
        os.execve(  # noqa: S606 - this very program
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main(sys.argv[1:]))
