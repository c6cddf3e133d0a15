"""A receiver that can be killed: python -m tests.e2e.receiver_process SECRET PORT HISTORY DELAY_S

Every answer is written to HISTORY before it is given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from pipeline.receiver import ReceiverSettings, serve
from pipeline.testing import WebhookReceiver
from pipeline.verify import HistoryWriter


def main(secret: str, port: str, history: str, delay_s: str) -> None:
    async def run() -> None:
        record = HistoryWriter(Path(history), "receiver")
        receiver = WebhookReceiver(secret, settings=ReceiverSettings(delay_s=float(delay_s)), record=record)
        await serve(receiver, port=int(port), host="127.0.0.1", on_ready=lambda url: None)

    uvloop.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
