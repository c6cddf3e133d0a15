"""Schemas by subject and by id: one face, two registries behind it.

``local`` keeps them in a compacted topic, ``remote`` asks a Confluent-compatible registry over HTTP (and is imported
from its file, because it brings an HTTP client).
"""

from __future__ import annotations

from pipeline.registry.face import Registered, Registry
from pipeline.registry.local import LocalRegistry

__all__ = ["LocalRegistry", "Registered", "Registry"]
