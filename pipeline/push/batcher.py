"""Batcher: in front of a sender, makes one request of the heads of many lanes (``format: batch``).

Each lane gives one event at a time, so order per key needs nothing more; what is refused is narrowed down as
`pipeline.delivery.batching` says. Limits: ``max_events``, ``max_bytes``, ``linger_ms`` of the subscription; what waits
here and is under way is bounded by what its caller lets be in flight. A worker that may not act sends nothing: batches
wait `AGAIN_S` and look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipeline.delivery.batching import TOO_LARGE, ByteCap, Narrowing, events_max_of, may_narrow
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Position, Record
from pipeline.subscription import Subscription
from pipeline.webhook.bundle import BundledEvent, EventRenderer
from pipeline.webhook.sender import Sender

AGAIN_S = 0.2
Done = Callable[[Any, Reply | Fault], None]


class _Item:
    """One event and whom to tell of it."""

    __slots__ = ("arg", "attempt", "done", "event", "is_dead")

    def __init__(self, event: BundledEvent, attempt: int, done: Done, arg: Any) -> None:
        self.event, self.attempt, self.done, self.arg = event, attempt, done, arg
        self.is_dead = False


class _Batch:
    """Items on their way, and the state of their narrowing; ``last`` is what its last request came to."""

    __slots__ = ("is_broken", "items", "last", "narrowing")

    def __init__(self, items: list[_Item]) -> None:
        self.items = items
        self.narrowing: Narrowing[int] = Narrowing(range(len(items)))
        self.last: Reply | Fault | None = None
        self.is_broken = False


class Batcher:
    """Stands in the place of ``sender``; ``may_act`` is asked before every request."""

    def __init__(
        self, sender: Sender, spec: Subscription, renderer: EventRenderer, *, may_act: Callable[[], bool]
    ) -> None:
        self._sender, self._limits, self._renderer, self._may_act = sender, spec.batch, renderer, may_act
        self._rejects = frozenset(spec.retry.reject_status)
        self._retries = len(spec.retry.schedule_s)
        self._cap = ByteCap(spec.batch.max_bytes)
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, list[_Item]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._under_way: set[_Batch] = set()
        self._is_closed = False

    def send(self, record: Record, attempt: int, done: Done, arg: Any, origin: Position | None = None) -> None:
        """See `Sender.send`: ``done`` is called once for each event."""
        item = _Item(self._renderer.rendered(record, origin), attempt, done, arg)
        last = attempt > self._retries
        events_max = events_max_of(attempt - 1, self._limits.max_events, is_last_chance=last)
        waiting = self._open.setdefault(events_max, [])
        if waiting and _size(waiting) + len(item.event.json) + 1 > self._cap.now:
            self._flush(events_max)
            waiting = self._open.setdefault(events_max, [])
        waiting.append(item)
        if len(waiting) >= events_max:
            self._flush(events_max)
        elif events_max not in self._timers:
            timer = self._loop.call_later(self._limits.linger_ms / 1000, self._flush, events_max)
            self._timers[events_max] = timer

    def abort(self, arg: object) -> None:
        """Break off the attempt with this very ``arg``; the others of its batch are sent again without it, at once."""
        for events_max, waiting in self._open.items():
            self._open[events_max] = [item for item in waiting if item.arg is not arg]
        for batch in list(self._under_way):
            hit = [item for item in batch.items if item.arg is arg and not item.is_dead]
            for item in hit:
                item.is_dead = True
            if hit and not batch.is_broken:
                batch.is_broken = True
                self._sender.abort(batch)
                # Later this turn, when all that go with it have been named.
                self._loop.call_soon(self._begin_again, batch)

    async def close(self) -> None:
        self._is_closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._open.clear()
        await self._sender.close()

    def _flush(self, events_max: int) -> None:
        timer = self._timers.pop(events_max, None)
        if timer is not None:
            timer.cancel()
        items = self._open.pop(events_max, [])
        if items:
            self._begin(items)

    def _begin(self, items: list[_Item]) -> None:
        batch = _Batch(items)
        self._under_way.add(batch)
        self._request(batch)

    def _begin_again(self, batch: _Batch) -> None:
        self._under_way.discard(batch)
        left = [batch.items[place] for place in batch.narrowing.without(frozenset())]
        alive = [item for item in left if not item.is_dead]
        if alive and not self._is_closed:
            self._begin(alive)

    def _request(self, batch: _Batch) -> None:
        if self._is_closed or batch.is_broken:
            return
        if not self._may_act():
            self._loop.call_later(AGAIN_S, self._request, batch)
            return
        items = [batch.items[place] for place in batch.narrowing.request]
        events = [item.event for item in items]
        self._sender.send(events, max(item.attempt for item in items), self._answered, batch)

    def _answered(self, batch: _Batch, result: Reply | Fault) -> None:
        narrowing, batch.last = batch.narrowing, result
        if isinstance(result, Reply) and 200 <= result.status < 300:
            self._cap.taken()
            narrowing.taken()
        elif isinstance(result, Reply) and may_narrow(result.status, asked_to_wait=result.retry_after is not None):
            if result.status == TOO_LARGE:
                self._cap.refused(_size([batch.items[place] for place in narrowing.request]))
            narrowing.refused(result.status)
        else:
            narrowing.give_up()
        for row, delivered, refused_alone in narrowing.ended():
            item = batch.items[row]
            outcome = result if delivered or refused_alone else self._in_company(result, len(batch.items))
            if not item.is_dead:
                item.done(item.arg, outcome)
        if narrowing.request:
            self._request(batch)
        else:
            self._under_way.discard(batch)

    def _in_company(self, result: Reply | Fault, count: int) -> Reply | Fault:
        """What a refusal of several events says of one of them: never that it is this one that is rejected for good."""
        if isinstance(result, Reply) and result.status in self._rejects and count > 1:
            return Fault(FaultKind.PROTOCOL, f"status {result.status} to a batch it was in", result.elapsed_s)
        return result


def _size(items: list[_Item]) -> int:
    """Bytes of the array."""
    return 1 + sum(len(item.event.json) + 1 for item in items)
