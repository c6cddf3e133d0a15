"""Events going out by request: ``GET /v1/topics/{topic}/events``, at once or held until something comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import InputError
from pipeline.format.structured import batch_to_json
from pipeline.gateway.asking import exposed_topic, preferred_wait_s, query_of, truth, unless_gone, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.problems import GatewayRefusal
from pipeline.gateway.verbs import Verb
from pipeline.pull import Page, PartitionGap, Wanted

POLL_PARAMETERS = ("limit", "timeout", "strict")
LIMIT_DEFAULT = 100
_TIMEOUT_MS_MAX = 10**9
BATCH_TYPE = "application/cloudevents-batch+json"


class Poll(NamedTuple):
    """What a poll asks; ``applied`` is the answer to its ``Prefer``, None when it expressed no wait or ``timeout``
    won.
    """

    wanted: Wanted
    applied: str | None


class LongPolls:
    """The seats for polls that wait; one for the whole gateway."""

    def __init__(self, seats: int) -> None:
        self._seats, self.waiting = seats, 0

    @contextmanager
    def seat(self, wait_s: float) -> Iterator[None]:
        if wait_s <= 0:
            yield
            return
        if self.waiting >= self._seats:
            raise GatewayRefusal("overloaded", "too many polls wait already (long_polls_max)", retryable=True)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


class EventsOut:
    def __init__(self, parts: GatewayParts, long_polls: LongPolls) -> None:
        self._parts, self._long_polls = parts, long_polls

    def verbs(self) -> list[Verb]:
        return [Verb("GET", "/v1/topics/{topic}/events", self.poll)]

    async def poll(self, request: Request) -> Response:
        topic = exposed_topic(request)
        query = query_of(request, "from", "lastEventId", *POLL_PARAMETERS)
        if "from" in query and "lastEventId" in query:
            raise InputError("lastEventId", query["lastEventId"], "either from or lastEventId, which mean the same")
        start = query.get("from", query.get("lastEventId"))
        poll = poll_of(request, query, self._parts)
        if start is not None and start.startswith("@"):
            start = await self._parts.cursors.token(start[1:], topic)
        page = await self.held(request, poll, lambda: self._parts.reader.read(topic, start, poll.wanted))
        following = f"/v1/topics/{topic}/events?from={quote(page.next_cursor)}&limit={poll.wanted.limit}"
        return page_response(page, poll, following)

    async def held(self, request: Request, poll: Poll, read: Callable[[], Awaitable[Page]]) -> Page:
        """The page, within a seat while it waits; given up when the client hangs up."""
        with self._long_polls.seat(poll.wanted.wait_s):
            return await (unless_gone(request, read()) if poll.wanted.wait_s > 0 else read())


def poll_of(request: Request, query: Mapping[str, str], parts: GatewayParts) -> Poll:
    """``limit``, ``timeout`` (milliseconds, wins) or ``Prefer: wait`` (seconds), both capped, and ``strict``."""
    settings = parts.reader.settings
    limit = whole_number("limit", query.get("limit", str(LIMIT_DEFAULT)), 1, settings.limit_max)
    strict = truth("strict", query.get("strict", "false"))
    applied = None
    if "timeout" in query:
        wait_s = whole_number("timeout", query["timeout"], 0, _TIMEOUT_MS_MAX) / 1000
    else:
        wait_s = preferred_wait_s(request) or 0
    wait_s = min(wait_s, settings.wait_s_max)
    if "timeout" not in query and preferred_wait_s(request) is not None:
        applied = f"wait={wait_s:.0f}"
    return Poll(Wanted(limit=limit, wait_s=wait_s, strict=strict), applied)


def page_response(page: Page, poll: Poll, following: str) -> Response:
    headers = {
        "event-cursor": page.next_cursor,
        "event-caught-up": "true" if page.caught_up else "false",
        "event-lag": str(page.lag),
        "cache-control": "no-store",
        "vary": "Prefer",
        "link": f'<{following}>; rel="next"',
    }
    if poll.applied is not None:
        headers["preference-applied"] = poll.applied
    if page.gaps:
        headers["event-gap"] = gap_header(page.gaps)
    return Response(batch_to_json(page.events), 200, headers, BATCH_TYPE)


def gap_header(gaps: Sequence[PartitionGap]) -> str:
    """A structured field (RFC 8941 list): ``3;from=100;until=250`` for each partition, ``until`` exclusive."""
    return ", ".join(f"{gap.partition};from={gap.first};until={gap.until}" for gap in gaps)
