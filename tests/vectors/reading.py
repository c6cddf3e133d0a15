"""Reads the files beside this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def vectors(name: str) -> Any:
    """What ``name`` (such as ``json/strict.json``) holds."""
    return json.loads((_HERE / name).read_text())
