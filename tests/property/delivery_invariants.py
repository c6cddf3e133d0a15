"""What holds after every step, whatever happened: see the rules of `pipeline.delivery.core`."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.owned import REREAD_SHARE
from tests.property.delivery_log import Tenure
from tests.property.delivery_model import Model


def check(model: Model, batch_max: int, batch_bytes_max: int) -> None:
    model.check_probe()
    check_limits(model, batch_max, batch_bytes_max)
    for tenure in model.tenures.values():
        check_commit(model, tenure)
        check_held_bytes(model, tenure)


def check_limits(model: Model, batch_max: int, batch_bytes_max: int) -> None:
    settings, core = model.settings, model.core
    assert settings.limiter.in_flight_min <= core.limiter.cap <= settings.limiter.in_flight_max
    assert len(core.limiter.in_flight) <= settings.limiter.in_flight_max
    assert len(core.limiter.slow) <= settings.limiter.slow_max
    sends = {lane for lane, left in model.outstanding.items() if left.kind == "send"}
    assert {*core.limiter.in_flight, *core.limiter.slow} == sends
    fetches = {lane for lane, left in model.outstanding.items() if left.kind == "fetch"}
    rereads = (core._queues.rereads, core._queues.other_rereads)
    # A partition that is being drained is told nothing more; what was being read for it does not count.
    assert {lane for lane in fetches if not lane.part.draining} == {lane for one in rereads for lane in one.fetching}
    assert all(sum(one.fetching.values()) + len(one.fetched) <= settings.fetches_max for one in rereads)
    assert len(model.outstanding) - len(sends) - len(fetches) <= settings.buries_max
    owed = sum(len(tenure.unsettled) for tenure in model.tenures.values())
    assert owed < settings.positions_max + batch_max
    under_way = sum(lane.head_bytes for lane in {*model.outstanding, *rereads[0].fetched, *rereads[1].fetched})
    held_max = settings.held_bytes_max + settings.held_bytes_max // REREAD_SHARE
    assert core.held_bytes < held_max + batch_bytes_max + under_way
    for tenure in model.tenures.values():
        check_share(model, tenure, owed)
    assert core.held_bytes == sum(part.held_bytes for part in core._parts.values())


def check_share(model: Model, tenure: Tenure, owed: int) -> None:
    """Of several partitions none may read on once it owes more than is left beside it."""
    core, settings, number = model.core, model.settings, tenure.log.number
    if len(model.tenures) > 1 and len(tenure.unsettled) > settings.positions_max - owed:
        assert not core.has_room_for(number)
    assert core.has_room or not core.has_room_for(number)


def check_commit(model: Model, tenure: Tenure) -> None:
    """The pointer passes nothing unfinished and claims nothing unfinished, and knows all that is finished."""
    log = tenure.log
    model.look_again(tenure)
    position, finished, attempts = model.core.commit_of(log.number)
    assert position == next(iter(tenure.unsettled), tenure.read)
    owed = [record.offset for record in log.between(log.floor, position)]
    assert log.finished.issuperset(owed), "committed past an unfinished event"
    for record in log.between(position, log.end):
        at = record.offset
        assert at not in finished or at in log.finished, "says finished what is not"
        assert at >= tenure.read or (at in finished) == (at not in tenure.unsettled)
    assert finished.above(tenure.read) == tenure.restored.above(tenure.read)
    known = {at: made for at, made in tenure.attempts.items() if at in tenure.unsettled or at >= tenure.read}
    assert attempts == known
    mine = [left for left in model.outstanding.values() if left.tenure is tenure and left.kind != "fetch"]
    assert model.core.in_flight_of(log.number) == len(mine)


def check_held_bytes(model: Model, tenure: Tenure) -> None:
    """What is counted is what lies in the lanes. A draining partition's lanes can no longer all be reached."""
    part = model.core._parts[tenure.log.number]
    assert part.held_bytes >= 0
    if not tenure.draining:
        lanes = {lane for lane in reachable(model) if lane.part is part}
        held = [payload_bytes(item) for lane in lanes for item in (lane.head, *(lane.queue or ()))]
        assert part.held_bytes == sum(held)
        assert not any(lane.head_bytes != payload_bytes(lane.head) for lane in lanes)


def reachable(model: Model) -> Iterator[Lane]:
    queues = model.core._queues
    yield from (*queues.ready, *queues.buries, *queues.rereads.line, *queues.other_rereads.line, *model.outstanding)
    for room in (queues.retries, queues.patient, queues.bury_retries):
        yield from (entry[2] for entry in room._heap)
    for part in model.core._parts.values():
        yield from (*part.lanes.values(), *part.held)
