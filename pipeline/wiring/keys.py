"""The keys that seal secrets: from the configuration, or a file that is its owner's alone."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import DeclarationInvalid
from pipeline.sealing import KeyRing, parse_key


def make_keyring(config: Config) -> KeyRing:
    """The keys that seal secrets. Raises `DeclarationInvalid` saying how to make one where there is none."""
    given = config.settings.secrets
    if given.keys:
        return KeyRing([parse_key(text) for text in given.keys])
    file = config.path(given.key_file)
    if not file.exists():
        raise DeclarationInvalid("secrets.keys", "", f"a sealing key here or in {file}; `pipeline dev` makes one")
    return KeyRing([parse_key(line) for line in file.read_text(encoding="utf-8").split()])


def ensure_key_file(file: Path) -> None:
    """Make a sealing key, never readable by anybody but its owner, unless there is one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(made, "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor, not a path
            out.write(f"local:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
