"""Once failures stop, batches are as large as before: what waited as positions is read again together.

One lane for each partition (``ordering: partition``), where one request for each event would cost the most.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.owned import REREAD_SHARE
from pipeline.delivery.settings import CoreSettings, LimiterSettings
from pipeline.delivery.verdict import Verdict, VerdictKind
from pipeline.record import Record
from pipeline.subscription import RetryPolicy

FAILED = Verdict(VerdictKind.RETRY, "exhausted", "status 500")
HOT, OTHER = 0, 1
BYTES_MAX = 2_000
SIZES = st.integers(0, 100)


class Rim:
    """Reads on whenever there is room, reads again at once what it is asked to, and sends batches of ``batch_max``."""

    def __init__(self, count: int, batch_max: int, *, fetches_max: int, size: int) -> None:
        self.batch_max, self.now = batch_max, 0.0
        self.log = {at: Record("t", HOT, at, 0, None, b"x" * size) for at in range(count)}
        limiter = LimiterSettings(in_flight_max=4, slow_after_s=1e9)
        self.core = Core(
            CoreSettings(
                retry=RetryPolicy(schedule_s=(1.0,) * 9),
                ordering="partition",
                fetches_max=fetches_max,
                held_bytes_max=BYTES_MAX,
                limiter=limiter,
            )
        )
        self.core.assign(HOT, 0)
        self.read = 0
        self.requests: list[int] = []
        self.rereads = 0

    def receive(self, most: int = 10) -> None:
        while self.read < len(self.log) and self.core.has_room_for(HOT):
            until = min(self.read + most, len(self.log))
            self.core.receive(HOT, [self.log[at] for at in range(self.read, until)], until)
            self.read = until

    def begin(self) -> list[Lane]:
        """The attempts that begin now."""
        begun: list[Lane] = []
        while any(actions := self.core.actions(self.now)):
            begun += actions.sends
            for lane in actions.fetches:
                self.rereads += 1
                self.core.payload(lane, self.log[lane.offset], [self.log[at] for at in self.core.behind(lane)])
        return begun

    def succeed(self, lane: Lane) -> None:
        behind = lane.followers(self.batch_max - 1, 10**9)
        self.requests.append(1 + len(behind))
        self.core.succeeded(lane, self.now, 1 + len(behind))

    def fail(self, lane: Lane) -> None:
        """And wait until it may be tried again."""
        self.core.failed(lane, FAILED, self.now, 0.5)
        self.now += 120.0


@given(
    count=st.integers(1, 200),
    batch_max=st.integers(1, 40),
    fetches_max=st.integers(1, 60),
    failures=st.integers(1, 4),
    size=SIZES,
)
def test_after_failures_a_batch_takes_what_may_be_read_again_at_a_time(
    count: int, batch_max: int, fetches_max: int, failures: int, size: int
) -> None:
    rim = Rim(count, batch_max, fetches_max=fetches_max, size=size)
    for _ in range(failures):
        rim.receive()
        (lane,) = rim.begin()
        rim.fail(lane)
    while rim.core.settled < count:
        rim.receive()
        (lane,) = rim.begin()
        rim.succeed(lane)
    at_once = min(fetches_max, 1 + BYTES_MAX // (REREAD_SHARE * max(size, 1)))
    assert rim.rereads <= failures + 2 + -(-count // at_once)
    assert len(rim.requests) <= rim.rereads * -(-at_once // batch_max) + -(-count // batch_max) + 1
    assert rim.core.commit_of(HOT).offset == count
    assert rim.core.held_bytes == 0


@given(count=st.integers(20, 120), failing=st.sets(st.integers(0, 119), max_size=6), size=SIZES)
def test_what_fails_on_the_way_holds_up_nothing_but_itself(count: int, failing: set[int], size: int) -> None:
    rim = Rim(count, batch_max=10, fetches_max=30, size=size)
    order: list[int] = []
    while rim.core.settled < count:
        rim.receive()
        (lane,) = rim.begin()
        if lane.offset in failing:
            failing.discard(lane.offset)
            rim.fail(lane)
            continue
        behind = [record.offset for record in lane.followers(9, 10**9)]
        taken = [lane.offset]
        for at in behind:
            if at in failing:
                break
            taken.append(at)
        order += taken
        rim.core.succeeded(lane, rim.now, len(taken))
    assert order == list(range(count))


@given(size=st.integers(10, 100), fetches_max=st.integers(2, 40))
def test_what_another_partition_holds_leaves_room_for_what_is_read_again(size: int, fetches_max: int) -> None:
    """``OTHER`` never ends and keeps memory full: ``HOT`` goes on in batches all the same, and memory is bounded."""
    rim = Rim(100, batch_max=100, fetches_max=fetches_max, size=size)
    rim.receive()
    (lane,) = rim.begin()
    rim.core.assign(OTHER, 0)
    rim.fail(lane)
    other = Record("t", OTHER, 0, 0, None, b"x" * BYTES_MAX)
    rim.core.receive(OTHER, [other], 1)
    _, lane = sorted(rim.begin(), key=lambda begun: begun.part.name != OTHER)
    assert not rim.core.has_room
    while rim.core.settled < rim.read:
        assert rim.core.held_bytes <= BYTES_MAX + BYTES_MAX // REREAD_SHARE + 2 * payload_bytes(rim.log[0])
        rim.succeed(lane)
        if rim.core.settled < rim.read:
            (lane,) = rim.begin()
    at_once = min(fetches_max, BYTES_MAX // (REREAD_SHARE * size))
    assert max(rim.requests) >= min(at_once, rim.read - 1)
