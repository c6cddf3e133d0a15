"""Topics as files: declarations are read, compared with the broker, and applied as far as nothing can be lost.

``declarations`` reads ``topics/*.yaml`` and ``schemas/*.avsc``, ``plan`` compares (pure), ``apply`` acts.
"""

from __future__ import annotations

from pipeline.topics.apply import TopicsAdmin, apply, read_live
from pipeline.topics.declarations import load_schemas, load_topics
from pipeline.topics.plan import Allowed, LiveTopic, Plan, Step, plan

__all__ = [
    "Allowed",
    "LiveTopic",
    "Plan",
    "Step",
    "TopicsAdmin",
    "apply",
    "load_schemas",
    "load_topics",
    "plan",
    "read_live",
]
