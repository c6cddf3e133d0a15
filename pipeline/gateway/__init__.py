"""The HTTP surface: events in, events out, cursors and subscriptions, by request and response."""

from __future__ import annotations

from pipeline.gateway.app import build_app
from pipeline.gateway.parts import GatewayLimits, GatewayParts

__all__ = ["GatewayLimits", "GatewayParts", "build_app"]
