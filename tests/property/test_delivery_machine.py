"""The delivery core under everything that can happen to it, in any order, and the drain at the end.

The rules of `pipeline.delivery.core` are the invariants; `delivery_model` says them again and compares.
"""

from __future__ import annotations

import os
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.lanes import Lane
from pipeline.delivery.settings import CoreSettings
from tests.property.delivery_choices import (
    BATCH_BYTES_MAX,
    BATCH_MAX,
    CHANGES,
    DOWN,
    DRAWS,
    KEYS,
    LATE,
    PICKS,
    RECORDS,
    RESULTS,
    SECONDS,
    SETTINGS,
    VERDICTS,
    New,
    Turn,
)
from tests.property.delivery_invariants import check
from tests.property.delivery_log import Outstanding, PartitionLog, Tenure
from tests.property.delivery_model import Model

T = TypeVar("T")
PARTITIONS = 3
# Enough for every retry, probe and dead-letter append of the longest log the machine can write.
DRAIN_STEPS_MAX = 5_000


class DeliveryMachine(RuleBasedStateMachine):
    """Everything a rim may do, in any order."""

    @initialize(core_settings=SETTINGS, new=RECORDS)
    def begin(self, core_settings: CoreSettings, new: list[New]) -> None:
        self.model = Model(core_settings)
        self.logs = [PartitionLog(number) for number in range(PARTITIONS)]
        self.late: list[tuple[Lane, Outstanding]] = []
        for log in self.logs:
            self.model.assign(log)
            self._fetch(log.number, new)

    # -- the log -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.tenures and self.model.core.has_room)
    @rule(pick=PICKS, markers=st.integers(1, 5))
    def read_over_control_records(self, pick: int, markers: int) -> None:
        tenure = self._tenure(pick)
        tenure.log.end += markers
        self._receive(tenure)

    def _fetch(self, pick: int, new: list[New]) -> None:
        """Read on: what lies there already (after a rewind or a crash), else new records with gaps between them."""
        if not self.model.tenures or not self.model.core.has_room_for((tenure := self._tenure(pick)).log.number):
            return
        if tenure.read >= tenure.log.end:
            for gap, key, size in new:
                tenure.log.append(gap, key, size)
        self._receive(tenure)

    def _receive(self, tenure: Tenure) -> None:
        records = tenure.log.between(tenure.read, tenure.log.end)[:BATCH_MAX]
        more = tenure.log.between(records[-1].offset + 1, tenure.log.end) if records else []
        next_offset = records[-1].offset + 1 if more else tenure.log.end
        self.model.core.receive(tenure.log.number, records, next_offset)
        tenure.receive(records, next_offset)

    # -- attempts and their results ----------------------------------------------------------------------------------

    @rule(turns=st.lists(st.tuples(PICKS, RECORDS, RESULTS, SECONDS), min_size=1, max_size=4), draw=DRAWS)
    def work_goes_on(self, turns: list[Turn], draw: float) -> None:
        """Records are read, attempts begin, and some that are under way end, in any order."""
        for pick, new, results, seconds in turns:
            self._fetch(pick, new)
            self.model.act()
            for result_pick, result in results:
                if self.model.outstanding:
                    self._end(_picked(list(self.model.outstanding), result_pick), result, draw)
            self.every_rule_holds()
            self.model.now += seconds

    @rule(turns=st.integers(1, 8), kind=PICKS, draw=DRAWS)
    def endpoint_is_down(self, turns: int, kind: int, draw: float) -> None:
        """Attempts fail, and what is tried again fails again; some hang, some ask for time."""
        for turn in range(turns):
            self.model.act()
            for number, lane in enumerate(list(self.model.outstanding)):
                how = DOWN[(kind + turn + number) % len(DOWN)]
                if how != "hangs":
                    self._end(lane, how, draw)
            self.every_rule_holds()
            self.model.now = self.model.core.next_wakeup(self.model.now) or self.model.now

    @rule(turns=st.integers(2, 6), how=st.sampled_from(["ok", "batch", "reject"]))
    def endpoint_takes_or_rejects_everything(self, turns: int, how: str) -> None:
        for _ in range(turns):
            self.model.act()
            for lane, left in list(self.model.outstanding.items()):
                self._end(lane, how if left.kind == "send" else "ok", 0.5)

    @rule(draw=DRAWS, rare=st.integers(0, 5))
    def endpoint_is_gone(self, draw: float, rare: int) -> None:
        sent = [lane for lane, left in self.model.outstanding.items() if left.kind == "send"]
        if sent and rare == 0:
            self._end(sent[0], "gone", draw)

    def _end(self, lane: Lane, result: str, draw: float) -> None:
        """One result comes; what has to be read again for it is read, or has vanished."""
        model = self.model
        if isinstance(lane.head, int):
            if result == "vanished":
                return model.vanish(lane)
            if model.outstanding[lane].kind == "fetch":
                return model.fetched(lane, well=result in ("ok", "batch"))
            model.read_again(lane)
        if model.outstanding[lane].kind == "bury":
            return model.bury_acknowledged(lane) if result in ("ok", "batch") else model.bury_failed(lane)
        if result == "batch":
            return model.succeed(lane, events_max=2 + int(draw * 4), bytes_max=int(draw * 200))
        if result in ("ok", "vanished"):
            return model.succeed(lane)
        if result == "untried":
            return model.untried(lane)
        return model.fail(lane, VERDICTS[result], draw)

    @precondition(lambda self: self.model.tenures)
    @rule(pick=PICKS, key=KEYS)
    def operator_releases(self, pick: int, key: bytes | None) -> None:
        self.model.release(self._tenure(pick), key)

    # -- time --------------------------------------------------------------------------------------------------------

    @rule(s=st.floats(0.001, 12))
    def time_passes(self, s: float) -> None:
        self.model.now += s
        self.model.core.tick(self.model.now)

    @rule()
    def next_wakeup_comes(self) -> None:
        self.model.act()
        self.model.now = self.model.core.next_wakeup(self.model.now) or self.model.now
        self.model.act()

    # -- owners ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.tenures)
    @rule(pick=PICKS)
    def commit(self, pick: int) -> None:
        self.model.commit(self._tenure(pick))

    @precondition(lambda self: self.model.tenures)
    @rule(pick=PICKS, how=CHANGES, to=st.integers(0, 40))
    def owner_changes(self, pick: int, how: str, to: int) -> None:
        """``revoke`` and handing over are orderly, with a commit; a crash has none. ``moved``: a stock tool set the
        cursor, back or forward, with the empty metadata such tools write. ``compacted``: the record at the cursor is
        gone when the next owner comes.
        """
        tenure = self._tenure(pick)
        log = tenure.log
        if how == "drain":
            tenure.draining = True
            self.model.core.drain(log.number)
            return
        if how in ("revoke", "handed over", "compacted"):
            self.model.commit(tenure)
        self.late += self.model.revoke(tenure)
        if how == "moved":
            log.committed, log.floor = (min(to, log.end), ""), min(to, log.end)
            log.finished.clear()
        if how == "compacted":
            log.records.pop(log.committed[0], None)
        if how not in ("revoke", "crashed"):
            self.model.assign(log)

    @precondition(lambda self: len(self.model.tenures) < PARTITIONS)
    @rule()
    def free_partitions_are_assigned(self) -> None:
        for log in self.logs:
            if log.number not in self.model.tenures:
                self.model.assign(log)

    @precondition(lambda self: self.late)
    @rule(pick=PICKS, how=LATE)
    def late_result(self, pick: int, how: str) -> None:
        """Whatever comes for a partition that was taken away counts for nothing."""
        core, now = self.model.core, self.model.now
        lane, left = self.late[pick % len(self.late)]
        before = self._everything_counted()
        if how == "ok":
            core.succeeded(lane, now)
        elif how in ("fail", "gone"):
            core.failed(lane, VERDICTS[how], now, 0.5)
        elif how == "payload":
            core.payload(lane, left.tenure.unsettled[left.offset])
        elif how == "vanished":
            core.vanished(lane, now)
        elif how == "untried":
            core.untried(lane)
        elif how == "buried":
            core.buried(lane)
        else:
            core.bury_failed(lane, now)
        assert self._everything_counted() == before

    def _everything_counted(self) -> tuple[object, ...]:
        core = self.model.core
        commits = [core.commit_of(number) for number in core.partitions]
        in_flight = [*core.limiter.in_flight, *core.limiter.slow]
        return core.settled, core.held_bytes, core.gone, core.breaker.state, core._burying, commits, in_flight

    # -- what always holds, and what holds in the end ----------------------------------------------------------------

    @invariant()
    def every_rule_holds(self) -> None:
        if hasattr(self, "model"):
            check(self.model, BATCH_MAX, BATCH_BYTES_MAX)

    def teardown(self) -> None:
        """Once failures stop and operators release what they hold, everything is settled and the lag is 0."""
        if not hasattr(self, "model") or self.model.core.gone:
            return
        for log in self.logs:
            tenure = self.model.tenures.get(log.number)
            if tenure is not None and tenure.draining:
                self.model.commit(tenure)
                self.model.revoke(tenure)
            if log.number not in self.model.tenures:
                self.model.assign(log)
        for _ in range(DRAIN_STEPS_MAX):
            if not self._drain_once():
                break
        self.every_rule_holds()
        for log in self.logs:
            assert self.model.core.commit_of(log.number) == (log.end, AckMap(), {}), "lag"
            assert log.finished.issuperset(record.offset for record in log.between(log.floor, log.end)), "lost"
        assert self.model.core.held_bytes == 0

    def _drain_once(self) -> bool:
        """One turn of a rim to which nothing bad happens any more; False when nothing is left to wait for."""
        model = self.model
        for tenure in model.tenures.values():
            if tenure.read < tenure.log.end and model.core.has_room_for(tenure.log.number):
                self._receive(tenure)
            for key in (b"a", b"b", b"", None):
                model.release(tenure, key)
        model.act()
        if not model.outstanding:
            due = model.core.next_wakeup(model.now)
            if due is None:
                return any(tenure.read < tenure.log.end for tenure in model.tenures.values())
            model.now = due
        for lane, left in list(model.outstanding.items()):
            if left.kind == "fetch":
                model.fetched(lane)
                continue
            if isinstance(lane.head, int):
                model.read_again(lane)
            (model.succeed if left.kind == "send" else model.bury_acknowledged)(lane)
        return True

    # -- picking -----------------------------------------------------------------------------------------------------

    def _tenure(self, pick: int) -> Tenure:
        return _picked(list(self.model.tenures.values()), pick)


def _picked(choices: list[T], pick: int) -> T:
    return choices[pick % len(choices)]


TestDelivery = pytest.mark.timeout(300)(DeliveryMachine.TestCase)
TestDelivery.settings = settings(stateful_step_count=100 if os.environ.get("CI") else 50)
