"""One process: what is started, the worker that delivers, the HTTP surface over both."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.gateway.app import build_app
from pipeline.gateway.parts import GatewayParts
from pipeline.pull import CursorKeeper, KeeperSettings
from pipeline.push import lookout, sweeping
from pipeline.push.clock import SYSTEM_CLOCK
from pipeline.push.counting import CountingHooks, RunCounts, bounded
from pipeline.push.history import recorded
from pipeline.push.lookout import Lookout
from pipeline.push.senders import make_sender
from pipeline.push.sweeping import Sweeper
from pipeline.push.worker import Worker
from pipeline.wiring.configured import named_instance
from pipeline.wiring.ground import PARKED, RUNS, SUBSCRIPTIONS, TALLIES
from pipeline.wiring.services import Services


class Node(Services):
    """One process' parts over one Kafka. Make it on the running loop, `start`, take what you need, `stop`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.worker: Worker | None = None

    async def stop(self) -> None:
        """Stop what runs, in reverse; the worker drains and commits first."""
        if self.worker is not None:
            await self.worker.stop()
            self.worker = None
        await super().stop()

    async def start_worker(self) -> Worker:
        """Join the bridge and deliver."""
        await self._journal.start()
        self._undo.push_async_callback(self._journal.stop)
        make = make_sender if self._history is None else recorded(make_sender, self._history)
        settings = named_instance(self.settings.bridge)
        counts = RunCounts(
            self.table(TALLIES), self.table(RUNS), settings.instance, SYSTEM_CLOCK, self.hooks.on_consumer_error
        )
        parts = self.worker_parts._replace(hooks=CountingHooks(self.hooks, counts))
        worker = self.worker = Worker(parts, settings, sender_of=make)
        await worker.start()
        self._watch(worker)
        counts.start(partial(bounded, worker.keepers))
        self._undo.push_async_callback(counts.stop)
        sweeper = Sweeper(self.table(PARKED), self.table(SUBSCRIPTIONS), self.table(RUNS))
        self.go_round(sweeper.sweep, sweeping.EVERY_S)
        return worker

    def _watch(self, worker: Worker) -> None:
        """Look after the worker's runs for those who ask how they are."""
        looks = lookout.Parts(self.view, self.admin, self.hooks, self.happenings, SYSTEM_CLOCK)
        watching = Lookout(looks, lambda: worker.keepers)
        self.go_round(watching.look, self.settings.bridge.lag_check_s)
        self.metrics.watch(watching.run_states, watching.place_states)

    def gateway_app(self) -> Callable[..., object]:
        """The HTTP surface over this node, as ASGI."""
        return build_app(
            GatewayParts(
                namespace=self.settings.namespace,
                publisher=self.publisher,
                reader=self.reader,
                log=self.view,
                catalogue=self.catalog,
                admin=self.admin,
                default_type=self.event_type,
                cursors=self.cursors,
                subscriptions=self.subscriptions,
                replays=self.replays,
                redrives=self.redrives,
                runs=self.runs,
                dead_letters=self.dead_letters,
                discards=self.discards,
                edits=self.edits,
                parked_keys=self.parked_keys,
                resets=self.resets,
                trials=self.trials,
                attempts=self.attempts,
                probing=self.probing,
                ready=self._not_ready,
                healthy=self._not_healthy,
                metrics=self.metrics.text,
                limits=self.settings.limits,
            )
        )

    async def _not_ready(self) -> list[str]:
        try:
            await self.admin.cluster_id()
        except PipelineError as error:
            return [str(error)]
        return self._not_healthy()

    def _not_healthy(self) -> list[str]:
        if self.worker is not None and not self.worker.is_healthy():
            return ["the bridge's worker has ended"]
        return []

    def cursor_keeper(self) -> CursorKeeper:
        """Keeps named cursors from expiring on the broker; run it beside a gateway."""
        return CursorKeeper(
            self.cursors, KeeperSettings(), jitter=lambda: secrets.randbelow(1000) / 1000, hooks=self.hooks
        )


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[Node]:
    """A started node for the length of a block."""
    node = Node(config)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
