"""Replays: a window of a subscription's topics sent once more, to its endpoint or a shadow, beside live delivery."""

from __future__ import annotations

from pipeline.replay.asked import Bound, ReplayAsked, duration_ms
from pipeline.replay.replays import ReplayPlan, Replays
from pipeline.replay.window import WindowPart

__all__ = ["Bound", "ReplayAsked", "ReplayPlan", "Replays", "WindowPart", "duration_ms"]
