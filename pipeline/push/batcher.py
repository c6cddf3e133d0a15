"""Batcher: in front of a sender, makes one request of the events of many lanes (``format: batch``).

The heads that linger together go together; what room they leave is filled with the events behind them, in order, as
they are known when the request is made. What is refused is narrowed down as `pipeline.delivery.batching` says; a lane
of which something was taken says so and no more, and what is left of it is sent as its head another time. A rate counts
events: those behind heads and those of parts besides the heads that its caller counted. Limits:
``max_events``, ``max_bytes``, ``linger_ms`` of the subscription; what waits here and is under way is bounded by what
its caller lets be in flight and holds in memory. A worker that may not act sends nothing: batches wait `AGAIN_S` and
look again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from pipeline.delivery.batching import TOO_LARGE, ByteCap, Ended, events_max_of, may_narrow
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.push.batch import Batch, Behind, Done, Item, Lingering, size_of
from pipeline.record import Position, Record
from pipeline.subscription import Subscription
from pipeline.webhook.bundle import EventRenderer

AGAIN_S = 0.2


class SendsBundles(Protocol):
    """What a batcher stands in front of; see `pipeline.webhook.sender.Sender`."""

    def send(self, content: Any, attempt: int, done: Done, arg: Any, /) -> None: ...

    def abort(self, arg: object, /) -> None: ...

    async def close(self) -> None: ...


class Batcher:
    """Stands in the place of ``sender``; ``may_act`` is asked before every request."""

    def __init__(
        self,
        sender: SendsBundles,
        spec: Subscription,
        renderer: EventRenderer,
        *,
        behind: Behind,
        may_act: Callable[[], bool],
    ) -> None:
        self._sender, self._limits, self._renderer, self._may_act = sender, spec.batch, renderer, may_act
        self._behind = behind
        self._rejects = frozenset(spec.retry.reject_status)
        self._cap = ByteCap(spec.batch.max_bytes)
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Lingering] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._under_way: set[Batch] = set()
        self._is_closed = False

    def send(self, record: Record, attempt: int, done: Done, arg: Any, origin: Position | None = None) -> None:
        """See `Sender.send`. Each ends in one call of ``done``, or of `Behind.delivered`."""
        item = Item(self._renderer.rendered(record, origin), attempt, done, arg)
        is_last_chance = self._behind.is_last_chance(arg)
        events_max = events_max_of(attempt - 1, self._limits.max_events, is_last_chance=is_last_chance)
        waiting = self._open.setdefault(events_max, Lingering())
        if waiting.items and waiting.head_bytes + size_of(item.events[0]) > self._cap.now:
            self._flush(events_max)
            waiting = self._open.setdefault(events_max, Lingering())
        room = events_max - waiting.events - 1
        waiting.add(item, self._behind.records(arg, room) if room > 0 else ())
        if waiting.events >= events_max or waiting.size >= self._cap.now:
            self._flush(events_max)
        elif events_max not in self._timers:
            timer = self._loop.call_later(self._limits.linger_ms / 1000, self._flush, events_max)
            self._timers[events_max] = timer

    def flush(self) -> None:
        """Let nothing linger: what waits here is sent now."""
        for events_max in list(self._open):
            self._flush(events_max)

    def abort(self, arg: object) -> None:
        """Break off the attempt with this very ``arg``; the others of its batch are sent again without it, at once."""
        for waiting in self._open.values():
            waiting.items = [item for item in waiting.items if item.arg is not arg]
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
        waiting = self._open.pop(events_max, None)
        if waiting is not None and waiting.items:
            self._fill(waiting.items, events_max)
            self._begin(waiting.items, is_counted=True)

    def _fill(self, items: list[Item], events_max: int) -> None:
        """Add what stands behind the heads, shared out evenly, as far as ``events_max`` and the byte cap go."""
        room = events_max - len(items)
        bytes_left = self._cap.now - 1 - sum(size_of(item.events[0]) for item in items)
        for place, item in enumerate(items):
            share = -(-room // (len(items) - place))
            if share <= 0 or bytes_left <= 0:
                return
            bytes_left = self._fill_up(item, share, bytes_left)
            room -= len(item.behind)

    def _fill_up(self, item: Item, events_max: int, bytes_left: int) -> int:
        """Add up to ``events_max`` events that stand behind its head; what is left of the bytes, negative if none."""
        for record in self._behind.records(item.arg, events_max):
            event = self._renderer.rendered(self._behind.as_sent(record))
            bytes_left -= size_of(event)
            if bytes_left < 0:
                break
            item.behind.append(record)
            item.events.append(event)
        if item.behind:
            self._behind.went_along(len(item.behind))
        return bytes_left

    def _begin(self, items: list[Item], *, is_counted: bool = False) -> None:
        batch = Batch(items)
        batch.is_counted = is_counted
        self._under_way.add(batch)
        self._request(batch)

    def _begin_again(self, batch: Batch) -> None:
        self._under_way.discard(batch)
        left = set(batch.narrowing.without(frozenset()))
        alive = [item for row, item in enumerate(batch.items) if row in left and not item.is_dead]
        if alive and not self._is_closed:
            self._begin(alive)

    def _request(self, batch: Batch) -> None:
        if self._is_closed or batch.is_broken:
            return
        if not self._may_act():
            self._loop.call_later(AGAIN_S, self._request, batch)
            return
        requested = batch.requested()
        if not batch.is_counted:
            self._behind.went_along(len(requested))
        batch.is_counted = False
        # What stands behind a head goes for the first time.
        attempt = max(1 if item.taken else item.attempt for item, _ in requested)
        self._sender.send([event for _, event in requested], attempt, self._answered, batch)

    def _answered(self, batch: Batch, result: Reply | Fault) -> None:
        narrowing, company = batch.narrowing, self._in_company(result, len(batch.events))
        if isinstance(result, Reply) and 200 <= result.status < 300:
            self._cap.taken()
            for item, _ in batch.requested():
                item.taken.append(result)
            narrowing.taken()
        elif isinstance(result, Reply) and may_narrow(result.status, asked_to_wait=result.retry_after is not None):
            if result.status == TOO_LARGE:
                self._cap.refused(1 + sum(size_of(event) for _, event in batch.requested()))
            narrowing.refused(result.status)
        else:
            narrowing.give_up()
        for ended in narrowing.ended():
            self._tell(batch.items[ended.row], ended, result if ended.refused_alone else company)
        if narrowing.request:
            self._request(batch)
        else:
            self._under_way.discard(batch)

    def _tell(self, item: Item, ended: Ended[int], refusal: Reply | Fault) -> None:
        """``refusal``: what came of the head, if it was not taken."""
        if item.is_dead:
            return
        if not item.taken:
            if ended.is_untried:
                self._behind.untried(item.arg)
            else:
                item.done(item.arg, refusal)
        elif len(item.taken) == 1:
            item.done(item.arg, item.taken[0])
        else:
            behind = tuple(zip(item.behind, item.taken[1:], strict=False))  # those behind that were not taken stay
            self._behind.delivered(item.arg, item.taken[0], behind)

    def _in_company(self, result: Reply | Fault, count: int) -> Reply | Fault:
        """What a refusal of several events says of one of them: never that it is this one that is rejected for good."""
        if isinstance(result, Reply) and result.status in self._rejects and count > 1:
            return Fault(FaultKind.PROTOCOL, f"status {result.status} to a batch it was in", result.elapsed_s)
        return result
