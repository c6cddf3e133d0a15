"""What operators do in a simulated town: subscribe, pause, reset with a tool, release keys, put right what stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from pipeline.kafka.offsets import Committed
from pipeline.names import dead_letter_topic_of, group_of
from pipeline.record import Record
from pipeline.subscription import StoredSubscription, subscription_from
from tests.simulation.broker import TOPIC, Broker, Place, drive
from tests.simulation.endpoint import Arrival, Endpoint
from tests.simulation.eras import Eras
from tests.simulation.ledger import Ledger
from tests.simulation.world import Violation

# The type that those with a filter want.
MADE = b"made"
FILTER = {"exact": {"type": MADE.decode()}}
# A reset is done again after so long, until a worker has taken it.
AGAIN_S = 12.0


class Operators:
    """``endpoints`` and ``ledgers`` by the name of their subscription."""

    def __init__(
        self,
        broker: Broker,
        *,
        on_arrival: Callable[[Arrival], None],
        on_known: Callable[[str, Sequence[Record], float], None],
        ledgers: Callable[[], Iterable[Ledger]],
    ) -> None:
        self._broker, self._world, self._chance = broker, broker.world, broker.world.chance
        self._on_arrival, self._on_known = on_arrival, on_known
        self.endpoints: dict[str, Endpoint] = {}
        self.shadow = self._endpoint("shadow")
        self.ledgers: dict[str, Ledger] = {}
        self.filters: dict[str, Any] = {}
        self.eras = Eras(broker, ledgers)

    def subscribe(self, name: str) -> None:
        group, latest = group_of("app", name), self._chance.random() < 0.3
        spec = self._some_spec(name)
        parts = self._broker.log.topics[TOPIC].partitions
        self._broker.log.create(dead_letter_topic_of(group), len(parts))
        self.endpoints[name] = self._endpoint(f"endpoint of {name}")
        ledger = self.ledgers[name] = Ledger(self._world, self._broker, group, str(spec["ordering"]))
        self.filters[name] = spec["filters"]
        starts = {(TOPIC, number): part.end if latest else part.start for number, part in enumerate(parts)}
        self._broker.committed[group] = {place: Committed(start, "") for place, start in starts.items()}
        for (topic, number), start in starts.items():
            for record in parts[number].records:
                self._owe(name, record)
                if record.offset < start:
                    ledger.excused.add(((topic, number), record.offset))
        row = StoredSubscription(spec=subscription_from(spec))
        drive(self._broker.subscriptions.put(name, msgspec.json.encode(row), based_on=None))
        self._say(f"subscribes {name}: {spec}")

    def _endpoint(self, name: str) -> Endpoint:
        endpoint = Endpoint(self._world, name)
        endpoint.on_arrival, endpoint.on_known = self._on_arrival, self._on_known
        endpoint.events_max = self._chance.choice([0, 0, 0, 1, 3])
        return endpoint

    def _some_spec(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "topics": [TOPIC],
            "endpoint": {"url": "https://receiver.example/hook"},
            "ordering": self._chance.choice(["key", "key", "key", "partition", "none"]),
            "on_dead_letter": self._chance.choice(["continue", "continue", "park", "block"]),
            "in_flight_max": self._chance.choice([1, 3, 8]),
            "filters": self._chance.choice([[], [], [], [FILTER]]),
            "format": self._chance.choice(["binary", "binary", "batch"]),
            "batch": {"max_events": self._chance.choice([2, 5, 100]), "linger_ms": self._chance.choice([0, 20, 400])},
            "retry": {
                "schedule_s": self._chance.choice([[0.5], [0.3, 2.0], [0.2, 0.5, 1.0, 2.0, 4.0]]),
                "give_up_after_s": self._chance.choice([10, 259_200]),
            },
        }

    def appended(self, record: Record) -> None:
        """An event was published."""
        for name in self.ledgers:
            self._owe(name, record)

    def _owe(self, name: str, record: Record) -> None:
        if is_wanted(self.filters[name], record):
            place = record.topic, record.partition
            self.ledgers[name].appended(record)
            if record.offset < self.eras.overrun.get(place, 0):
                self.ledgers[name].excused.add((place, record.offset))

    def set_state(self, name: str, state: str) -> None:
        row = self._broker.subscriptions.get(name)
        assert row is not None
        stored = row_of(row.value)
        if state == "paused" and stored.state != "active":
            return
        self._say(f"{name}: {stored.state} ({stored.reason}) -> {state}")
        changed = msgspec.structs.replace(stored, state=state, reason="", generation=stored.generation + 1)
        drive(self._broker.subscriptions.put(name, msgspec.json.encode(changed), based_on=row.version))

    def put_right(self) -> None:
        """When things are quiet: set going what stands, let go what is held. Raises `Violation` for what should not
        stand.
        """
        self.release_keys()
        for name, row in self._broker.subscriptions.rows().items():
            stored = row_of(row.value)
            if stored.state == "blocked" and not self.eras.excuses(stored.reason):
                raise Violation(f"{name} is blocked: {stored.reason}")
            if stored.state != "active":
                self._begin_again(name)
                self._give_pointers(name)
                self.eras.resumed(self.ledgers[name].group)
                self.set_state(name, "active")

    def look_after_eras(self) -> None:
        """Somebody heard the alarm, and says where to start."""
        for name, row in self._broker.subscriptions.rows().items():
            stored = row_of(row.value)
            if stored.state == "blocked" and TOPIC in self._broker.log.topics:
                self._begin_again(name)
                self._give_pointers(name)
                self.eras.resumed(self.ledgers[name].group)
                self.set_state(name, "active")

    def release_keys(self) -> None:
        for name, row in self._broker.parked.rows().items():
            self._say(f"releases {name}")
            drive(self._broker.parked.put(name, None, based_on=row.version))

    def _give_pointers(self, name: str) -> None:
        """Where a pointer is missing, the operator says to begin at the log's start."""
        ledger = self.ledgers[name]
        known = self._broker.committed[ledger.group]
        for number, part in enumerate(self._broker.log.topics[TOPIC].partitions):
            if (TOPIC, number) not in known:
                self._say(f"{name}: {TOPIC}/{number} begins at {part.start}")
                self.reset(name, (TOPIC, number), part.start)

    def _begin_again(self, name: str) -> None:
        """Where the topic was made again, at its beginning; where the log's end went back, there."""
        unstarted = self.eras.unstarted.get(self.ledgers[name].group, ())
        for number, part in enumerate(self._broker.log.topics[TOPIC].partitions):
            place = TOPIC, number
            if place in unstarted:
                self.reset(name, place, part.start)
            elif place in self.eras.overrun:
                self.reset(name, place, self.eras.truncated[place])

    def reset(self, name: str, place: Place, to: int) -> None:
        """With a tool that knows nothing of us; done again until a worker has taken it."""
        ledger = self.ledgers[name]
        if place in ledger.resets:
            return
        ledger.resets[place] = to
        ledger.dirty.add(place)
        self.eras.started(ledger.group, place)
        # Some tools leave the metadata as it was.
        self._reset_again(name, place, keeps_metadata=self._chance.random() < 0.3)

    def _reset_again(self, name: str, place: Place, keeps_metadata: bool) -> None:
        ledger = self.ledgers[name]
        if place in ledger.resets:
            self._say(f"resets {name} {place} to {ledger.resets[place]}")
            known = self._broker.committed[ledger.group].get(place)
            stands = known is not None and f".{ledger.resets[place]}." in (known.metadata or "").partition(".n")[0]
            if known is not None and keeps_metadata and stands and known.offset == ledger.resets[place]:
                del ledger.resets[place]  # nothing was changed, and nobody can tell
                return
            metadata = known.metadata if known is not None and keeps_metadata else ""
            self._broker.committed[ledger.group][place] = Committed(ledger.resets[place], metadata)
            self._world.at(AGAIN_S, self._reset_again, name, place, keeps_metadata)

    def left(self) -> list[str]:
        """How each subscription stands."""
        rows = [row_of(row.value) for row in self._broker.subscriptions.rows().values()]
        return [f"{row.spec.name} {row.state} ({row.reason})" for row in rows]

    def _say(self, what: str) -> None:
        self._world.note("operator", what)


def is_wanted(filters: Sequence[object], record: Record) -> bool:
    """Whether ``filters``, of which there is one kind here, take ``record``."""
    return not filters or record.header("ce_type") == MADE


def row_of(value: bytes) -> StoredSubscription:
    return msgspec.json.decode(value, type=StoredSubscription)
