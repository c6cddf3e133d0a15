"""A lane: the FIFO of one key in one partition of one run, with at most one attempt in flight.

A lane that waits or hangs keeps positions, not payloads: records give way to their offsets. Before its turn comes it is
FETCHING, so that what is read again takes no slot of what is to be sent. Behind the head payloads come first, then
positions: what stands behind a position is read again after it anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from pipeline.delivery.states import IN_FLIGHT, NEW, READY
from pipeline.record import Record

if TYPE_CHECKING:
    from pipeline.delivery.verdict import Verdict
    from pipeline.delivery.watermark import Watermark


class Held:
    """Payload bytes that a run holds in memory."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class Part:
    """One partition of a run. ``name`` is whatever the caller knows it by; ``live`` ends with revoke.

    ``attempts`` maps the offset of a failing head to (failed attempts, when the first failed); ``parked`` maps a parked
    key to the reason of the dead letter that parked it. ``in_flight`` counts sends and buries whose results are
    outstanding, ``burying`` the buries among them. ``held`` are the lanes that wait for an operator, ``held_keys`` the
    keys that did under an earlier owner and have not come up again, None where only attempts tell of them.
    """

    __slots__ = (
        "attempts",
        "burying",
        "draining",
        "held",
        "held_bytes",
        "held_keys",
        "held_of_run",
        "in_flight",
        "lanes",
        "live",
        "name",
        "parked",
        "watermark",
    )

    def __init__(self, name: Hashable, watermark: Watermark, held_of_run: Held) -> None:
        self.name = name
        self.held_of_run = held_of_run
        self.watermark = watermark
        self.lanes: dict[bytes, Lane] = {}
        self.live = True
        self.draining = False
        self.in_flight = 0
        self.burying = 0
        self.held_bytes = 0
        self.held: set[Lane] = set()
        self.held_keys: set[bytes] | None = None
        self.parked: dict[bytes, str] = {}
        self.attempts: dict[int, tuple[int, float]] = {}

    def hold(self, payload: int) -> None:
        """``payload`` bytes more are in memory, less when negative."""
        self.held_bytes += payload
        self.held_of_run.total += payload


class Lane:
    """The handle of its own attempt: what `Core.actions` gives out and the results come back with.

    ``head`` is a `Record` that holds ``head_bytes``, or a bare offset when the payload has to be read again.
    ``attempts`` counts
    failed attempts of the head; the attempt under way is number ``attempts + 1``. ``verdict`` is the last failure's;
    ``expired`` says that the head was given up for its age.
    """

    __slots__ = (
        "attempts",
        "expired",
        "first_failed_at",
        "head",
        "head_bytes",
        "key",
        "last_failed_at",
        "part",
        "queue",
        "standing",
        "state",
        "verdict",
    )

    def __init__(self, part: Part, key: bytes | None, head: Record) -> None:
        self.part = part
        self.key = key
        self.head: Record | int = head
        self.head_bytes = payload_bytes(head)
        self.queue: deque[Record | int] | None = None
        self.state = READY
        self.standing = NEW
        self.attempts = 0
        self.first_failed_at: float | None = None
        self.last_failed_at: float | None = None
        self.expired = False
        self.verdict: Verdict | None = None

    @property
    def offset(self) -> int:
        head = self.head
        return head if isinstance(head, int) else head.offset

    def push(self, record: Record) -> None:
        """``record`` joins the lane, with its payload while the lane is being sent and all ahead of it is in memory."""
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        if (self.state is READY or self.state is IN_FLIGHT) and not (queue and isinstance(queue[-1], int)):
            self.part.hold(payload_bytes(record))
            queue.append(record)
        else:
            queue.append(record.offset)

    def next_head(self) -> bool:
        """Step to the next event of the key; False when there is none and the lane ends."""
        queue = self.queue
        if not queue:
            return False
        self.head = queue.popleft()
        self.head_bytes = payload_bytes(self.head)
        if self.verdict is not None or self.attempts:
            self.start_afresh()
        return True

    def start_afresh(self) -> None:
        """Forget what is known of earlier attempts with the head."""
        self.attempts = 0
        self.first_failed_at = None
        self.last_failed_at = None
        self.verdict = None
        self.expired = False

    def forget_payloads(self) -> None:
        """Let records give way to their offsets."""
        self.forget_followers()
        self.part.hold(-self.head_bytes)
        self.head, self.head_bytes = self.offset, 0

    def forget_followers(self) -> None:
        """`forget_payloads` of what stands behind the head; costs what is in memory, not what stands in line."""
        queue, positions = self.queue, list[int]()
        while queue and not isinstance(item := queue[0], int):
            self.part.hold(-payload_bytes(item))
            positions.append(item.offset)
            queue.popleft()
        if queue is not None:
            queue.extendleft(reversed(positions))

    def followers(self, events_max: int, bytes_max: int) -> list[Record]:
        """Up to ``events_max`` events of ``bytes_max`` bytes behind the head, in order, that may go in one request;
        `Core.succeeded` counts them, `Core.failed` leaves them where they are. Those whose payloads are not in memory,
        or that failed before, end the row: they are heads first.
        """
        found: list[Record] = []
        for item in self.queue or ():
            if len(found) >= events_max or isinstance(item, int) or item.offset in self.part.attempts:
                break
            bytes_max -= payload_bytes(item)
            if bytes_max < 0:
                break
            found.append(item)
        return found

    def positions_behind(self, count_max: int) -> list[int]:
        """Up to ``count_max`` positions right behind the head that may be read again with it: of events that never
        failed, since those that did are tried with few others or none.
        """
        found: list[int] = []
        for item in self.queue or ():
            if len(found) >= count_max or not isinstance(item, int) or item in self.part.attempts:
                break
            found.append(item)
        return found

    def put_back(self, records: Iterable[Record], bytes_max: int) -> None:
        """The payloads of the positions right behind the head, in order: up to the first that is not the next one,
        until ``bytes_max`` are reached.
        """
        queue, restored = self.queue, list[Record]()
        for record in records:
            if not queue or queue[0] != record.offset or bytes_max <= 0:
                break
            queue.popleft()
            restored.append(record)
            bytes_max -= payload_bytes(record)
            self.part.hold(payload_bytes(record))
        if queue is not None:
            queue.extendleft(reversed(restored))


def payload_bytes(item: Record | int) -> int:
    """What an event of a lane holds in memory beyond its position: the bytes of value, key and headers."""
    if isinstance(item, int):
        return 0
    held = len(item.value or b"") + len(item.key or b"")
    for name, value in item.headers:
        held += len(name) + len(value or b"")
    return held


def reason_of(lane: Lane) -> str:
    """The dead letter's reason (closed list) for the lane's head as it stands."""
    if lane.expired:
        return "expired"
    if lane.verdict is not None and lane.verdict.reason:
        return lane.verdict.reason
    return lane.part.parked.get(lane.key, "exhausted") if lane.key is not None else "exhausted"
