"""What goes wrong in a simulated world, drawn from its seed; each thing is also put right again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.broker import TOPIC
from tests.simulation.world import Process

if TYPE_CHECKING:
    from tests.simulation.town import Town

PARTITIONS_MAX = 4
TROUBLE_S = 30.0
# Of the rough worlds, those in which offsets may come to mean something else.
ERAS_SHARE = 0.25


class Nemesis:
    """``town`` is where it strikes. `strike` does one thing, chosen by chance among those of the town's flavour."""

    def __init__(self, town: Town, *, rough: bool) -> None:
        self._town, self._world, self._chance = town, town.world, town.world.chance
        mild: list[Callable[[], None]] = [
            self.endpoint_turns_bad,
            self.endpoint_turns_bad,
            self.keys_hang,
            self.worker_joins,
            self.worker_stops,
            self.operator_releases,
            self.operator_pauses,
        ]
        hard = [
            self.worker_is_killed,
            self.worker_is_killed,
            self.worker_freezes,
            self.worker_freezes,
            self.worker_is_cut_off,
            self.broker_is_away,
            self.messages_are_lost,
            self.messages_are_lost,
            self.retention_strikes,
            self.log_is_compacted,
            self.operator_resets,
            self.operator_resets,
            self.pointer_is_deleted,
            self.topic_grows,
        ]
        self._deeds = mild + hard if rough else mild
        self._era = self._chance.choice([self.topic_is_made_again, self.log_is_truncated])
        if rough and self._chance.random() < ERAS_SHARE:
            self._deeds.append(self._era)
            self._later(1.0, TROUBLE_S, self._strike_era)

    def strike(self) -> None:
        if TOPIC in self._town.broker.log.topics:
            self._chance.choice(self._deeds)()

    def _strike_era(self) -> None:
        if TOPIC in self._town.broker.log.topics:
            self._era()

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def endpoint_turns_bad(self) -> None:
        endpoint = self._chance.choice(list(self._town.operators.endpoints.values()))
        modes = ["down", "refuses", "busy", "flaky", "resets", "slow", "hangs", "flaky", "resets"]
        endpoint.mode = self._chance.choice([*modes, "gone"])
        self._say(f"{endpoint.name} is {endpoint.mode}")
        self._later(0.5, 6.0, lambda: setattr(endpoint, "mode", "ok"))

    def keys_hang(self) -> None:
        endpoint = self._chance.choice(list(self._town.operators.endpoints.values()))
        keys = {self._chance.choice(self._town.keys)}
        endpoint.hanging_keys |= keys
        self._say(f"{endpoint.name} hangs for {keys}")
        self._later(1.0, 8.0, lambda: endpoint.hanging_keys.difference_update(keys))

    # -- workers -----------------------------------------------------------------------------------------------------

    def worker_joins(self) -> None:
        if len(self._town.crew.living()) < 4:
            self._town.crew.start()

    def worker_stops(self) -> None:
        process = self._someone()
        if process is not None and not process.frozen:
            self._town.crew.stop(process)
            self._later(0.1, 3.0, self._town.crew.start)

    def worker_is_killed(self) -> None:
        process = self._someone()
        if process is not None:
            self._say(f"kill -9 {process.name}")
            self._town.books.mark_dirty(process)
            process.kill()
            self._later(0.1, 5.0, self._town.crew.start)

    def worker_freezes(self) -> None:
        process = self._someone()
        if process is not None and not process.frozen:
            self._say(f"{process.name} freezes")
            process.freeze()
            self._later(0.5, 14.0, lambda: self._thaw(process))

    def worker_is_cut_off(self) -> None:
        process = self._someone()
        if process is not None:
            self._say(f"{process.name} is cut off from the broker")
            process.cut = True
            self._trouble()
            self._later(0.5, 14.0, lambda: setattr(process, "cut", False))

    # -- the broker --------------------------------------------------------------------------------------------------

    def broker_is_away(self) -> None:
        self._say("the broker is away")
        self._world.broker_down = True
        self._trouble()
        self._later(0.5, 5.0, lambda: setattr(self._world, "broker_down", False))

    def messages_are_lost(self) -> None:
        self._say("messages are lost")
        self._world.request_loss, self._world.answer_loss = 0.1, 0.2
        self._trouble()
        self._later(0.5, 6.0, self._no_loss)

    def _no_loss(self) -> None:
        self._world.request_loss = self._world.answer_loss = 0.0

    # -- the log -----------------------------------------------------------------------------------------------------

    def retention_strikes(self) -> None:
        partition = self._town.some_partition()
        part = self._town.broker.part((TOPIC, partition))
        start = self._chance.randint(part.start, part.end)
        self._say(f"retention takes {TOPIC}/{partition} up to {start}")
        self._town.broker.log.trim(TOPIC, partition, start)

    def log_is_compacted(self) -> None:
        partition = self._town.some_partition()
        part = self._town.broker.part((TOPIC, partition))
        going = {record.offset for record in part.records if self._chance.random() < 0.3}
        self._say(f"compaction takes {sorted(going)} of {TOPIC}/{partition}")
        part.records = [record for record in part.records if record.offset not in going]
        for ledger in self._town.books.ledgers:
            ledger.excused |= {((TOPIC, partition), offset) for offset in going}

    def log_is_truncated(self) -> None:
        """An unclean leader election; until the new leader has settled nobody appends there."""
        partition = self._town.some_partition()
        part = self._town.broker.part((TOPIC, partition))
        if self._town.is_open(partition):
            # A log ends behind a record, or where it starts: what is compacted has been replicated before.
            to = self._chance.choice([part.start, *(record.offset + 1 for record in part.records)])
            self._say(f"the log of {TOPIC}/{partition} ends at {to}, no more at {part.end}")
            self._town.operators.eras.truncate((TOPIC, partition), to)
            self._town.closed.add(partition)
            self._later(0.1, 12.0, lambda: self._town.closed.discard(partition))

    def topic_is_made_again(self) -> None:
        partitions = len(self._town.broker.topic(TOPIC).partitions)
        self._say(f"{TOPIC} is deleted")
        self._town.operators.eras.delete()
        self._later(0.05, self._chance.choice([0.3, 8.0]), lambda: self._make_again(partitions))
        self._later(2.0, 20.0, self._town.operators.look_after_eras)

    def _make_again(self, partitions: int) -> None:
        self._say(f"{TOPIC} is made again")
        self._town.operators.eras.make_again(partitions)

    def topic_grows(self) -> None:
        if len(self._town.broker.log.topics[TOPIC].partitions) < PARTITIONS_MAX:
            self._say("a partition is added")
            self._town.add_partition()

    # -- operators ---------------------------------------------------------------------------------------------------

    def operator_releases(self) -> None:
        self._town.operators.release_keys()

    def operator_pauses(self) -> None:
        name = self._chance.choice(list(self._town.operators.endpoints))
        self._town.operators.set_state(name, "paused")
        self._later(0.5, 4.0, lambda: self._town.operators.set_state(name, "active"))

    def operator_resets(self) -> None:
        name, partition = self._chance.choice(list(self._town.operators.ledgers)), self._town.some_partition()
        part = self._town.broker.part((TOPIC, partition))
        self._town.operators.reset(name, (TOPIC, partition), self._chance.randint(part.start, part.end))

    def pointer_is_deleted(self) -> None:
        name, partition = self._chance.choice(list(self._town.operators.ledgers)), self._town.some_partition()
        ledger = self._town.operators.ledgers[name]
        if (TOPIC, partition) not in ledger.resets:
            self._say(f"somebody deletes the pointer of {ledger.group} for {TOPIC}/{partition}")
            self._town.broker.committed[ledger.group].pop((TOPIC, partition), None)
            ledger.dirty.add((TOPIC, partition))
            ledger.deleted_at[TOPIC, partition] = self._world.now

    # -- chance ------------------------------------------------------------------------------------------------------

    def _someone(self) -> Process | None:
        living = self._town.crew.living()
        return self._chance.choice(living) if living else None

    def _thaw(self, process: Process) -> None:
        if process.alive and process.frozen:
            self._say(f"{process.name} goes on")
            process.thaw()

    def _trouble(self) -> None:
        self._world.trouble_until = self._world.now + TROUBLE_S

    def _later(self, least_s: float, most_s: float, undo: Callable[[], object]) -> None:
        self._world.at(self._chance.uniform(least_s, most_s), undo)

    def _say(self, what: str) -> None:
        self._world.note("nemesis", what)
