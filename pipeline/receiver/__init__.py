"""A sample webhook receiver: verifies every delivery, remembers what came, and fails on request.

It is what `pipeline receiver` runs, what the demo and tests deliver to, and an example of what a receiver must do: read
the body as it comes, verify before anything else, answer by status alone, expect an id more than once.

``POST`` or ``PUT`` to any path is a delivery: 204 when verified, 401 when not, the failing status while it fails or for
poison. ``GET /received`` lists the latest deliveries as JSON, oldest first; ``DELETE /received`` forgets them;
``GET /healthz`` is 200. The history has no one to protect it: listen on loopback.
"""

from __future__ import annotations

from pipeline.receiver.received import Received, ReceiverSettings
from pipeline.receiver.receiver import Receiver, serve

__all__ = ["Received", "Receiver", "ReceiverSettings", "serve"]
