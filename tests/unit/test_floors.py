"""The import floors of ``pyproject.toml`` say the same thing in their two places."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PURE_FLOORS = 4  # errors, names, values, what decides


def contracts() -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}


def test_every_file_of_the_pure_floors_is_held_to_be_pure() -> None:
    lowest = contracts()["floors"]["layers"][-PURE_FLOORS:]
    rooms = {name for floor in lowest for name in re.findall(r"\w+", floor)}
    built = {f"pipeline.{name}" for name in rooms if any((ROOT / "pipeline").glob(f"{name}*"))}
    assert set(contracts()["pure"]["source_modules"]) == built


def test_the_lowest_floor_is_the_errors() -> None:
    assert contracts()["floors"]["layers"][-1] == "errors"
