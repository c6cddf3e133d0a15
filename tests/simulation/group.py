"""The bridge's group: who owns which partition, by generations, with members that are late, silent or gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.kafka.membership import MembershipSettings
from tests.fakes.log import MemoryLog
from tests.simulation.world import Process, World

Place = tuple[str, int]
TICK_S = 0.5


class Group:
    """The coordinator. Cooperative: a partition goes to its next owner when the last one gave it up or was expelled."""

    def __init__(self, world: World, log: MemoryLog, expelled: Callable[[Process, list[Place]], None]) -> None:
        self._world, self._log, self._expelled = world, log, expelled
        self.members: dict[str, Member] = {}
        self.heard_at: dict[str, float] = {}
        self.owner: dict[Place, str] = {}
        self._leaving: set[Place] = set()
        self.generation = 0
        world.at(TICK_S, self._tick)

    def join(self, member: Member) -> None:
        self.members[member.process.name] = member
        self.heard_at[member.process.name] = self._world.now
        self.generation += 1

    def leave(self, name: str) -> None:
        self.members.pop(name, None)
        self._free(name)

    def heard(self, name: str) -> bool:
        """A heartbeat; False: nobody of that name is a member any more."""
        if name not in self.members:
            return False
        self.heard_at[name] = self._world.now
        return True

    def given_up(self, name: str, places: list[Place]) -> None:
        """In troubled times its last commit may have been lost, however much later the next owner begins; one whose
        session is as good as over, and who only waits to be expelled, commits nothing (a lease is counted from sooner).
        """
        member = self.members.get(name)
        if member is not None:
            is_over = self._world.now - self.heard_at[name] >= member.settings.session_timeout_s - TICK_S
            if is_over or self._world.now < self._world.trouble_until:
                self._expelled(member.process, places)
        for place in places:
            if self.owner.get(place) == name:
                del self.owner[place]
                self._leaving.discard(place)

    def _tick(self) -> None:
        now = self._world.now
        if self._world.broker_down:
            self.heard_at = dict.fromkeys(self.heard_at, now)  # nobody is expelled by a coordinator that is away
        for name, member in list(self.members.items()):
            if now - self.heard_at[name] >= member.settings.session_timeout_s:
                self._world.note("group", f"expels {name}")
                self._expelled(member.process, [place for place, owner in self.owner.items() if owner == name])
                self.leave(name)
        self._balance()
        self._world.at(TICK_S, self._tick)

    def _free(self, name: str) -> None:
        for place in [place for place, owner in self.owner.items() if owner == name]:
            del self.owner[place]
            self._leaving.discard(place)
        self.generation += 1

    def _balance(self) -> None:
        names = sorted(self.members)
        topics = sorted({topic for member in self.members.values() for topic in member.topics})
        places = [(t, p) for t in topics if t in self._log.topics for p in range(len(self._log.topics[t].partitions))]
        for place in [place for place in self.owner if place not in places and place not in self._leaving]:
            self._revoke(place)
        for number, place in enumerate(places):
            if not names:
                return
            target, owner = names[(number + self.generation) % len(names)], self.owner.get(place)
            if owner is None:
                self.owner[place] = target
                self._say(self.members[target].receive_assigned, self.members[target], place)
            elif owner != target and place not in self._leaving:
                self._revoke(place)

    def _revoke(self, place: Place) -> None:
        self._leaving.add(place)
        member = self.members[self.owner[place]]
        self._say(member.receive_revoked, member, place)

    def _say(self, receive: Callable[[list[Place]], None], member: Member, place: Place) -> None:
        """What is said to a member arrives in the order in which it was said."""
        member.next_word_at = max(member.next_word_at, self._world.now + self._world.latency())
        self._world.at(member.next_word_at - self._world.now, receive, [place])


class Member:
    """What `pipeline.kafka.membership.Membership` is to a worker."""

    def __init__(self, group: Group, process: Process, settings: MembershipSettings, listener: Any) -> None:
        self._group, self.process, self.settings, self._listener = group, process, settings, listener
        self.topics: tuple[str, ...] = ()
        self.positions: dict[Place, int] = {}
        self.next_word_at = 0.0
        self._owned: set[Place] = set()
        self._words: list[Callable[[], None]] = []
        self._heard_at = float("-inf")
        self._polled_at = process.world.now
        self._renewed_at = float("-inf")
        self._changes = self._changes_known = 0
        self._stopping = self._joined = False
        self._joined_at = 0.0

    def start(self) -> None:
        self.process.world.at(self.process.world.latency(), self._join)
        self._beat()

    def set_topics(self, topics: Iterable[str]) -> None:
        self.topics = tuple(sorted(topics))

    def may_act(self, now: float) -> bool:
        return now - self._heard_at < self.settings.session_timeout_s and self._changes == self._changes_known

    def is_alive(self) -> bool:
        return not self._stopping

    async def stop(self) -> None:
        self._stopping = True
        owned = sorted(self._owned)
        if owned:
            await self._listener.revoked(owned)
        self._owned.clear()
        self.process.world.at(self.process.world.latency(), self._group.leave, self.process.name)

    # -- its thread --------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        """A request to the coordinator, sent again until it arrives."""
        process, world = self.process, self.process.world
        if not process.alive or self._stopping:
            return
        if process.cut or process.frozen or world.broker_down:
            world.at(TICK_S, self._join)
            return
        self._group.join(self)
        self._joined, self._joined_at = True, world.now

    def _beat(self) -> None:
        process, world = self.process, self.process.world
        if not process.alive or self._stopping:
            return
        if not process.frozen:
            self._polled_at = world.now
            if self._joined and not process.cut and not world.broker_down:
                world.at(world.latency(), self._heartbeat_arrives, world.now)
        world.at(TICK_S, self._beat)

    def _heartbeat_arrives(self, issued_at: float) -> None:
        known = self._group.heard(self.process.name)
        self.process.world.at(
            self.process.world.latency(), self.process.in_thread, lambda: self._answered(known, issued_at)
        )

    def _answered(self, known: bool, issued_at: float) -> None:
        if self.process.cut or self._stopping or not self._joined:
            return
        if not known and issued_at >= self._joined_at:
            self._lost()  # else it is an answer to whom it was before it joined again
        elif known and self._owned:
            # The lease: a commit in the group that was taken, counted from when it was issued.
            self._heard_at = max(self._heard_at, issued_at)

    def _lost(self) -> None:
        owned, self._owned = sorted(self._owned), set()
        self._heard_at = float("-inf")
        self._changes += 1
        self.process.tell(self._tell_lost, owned, self._changes)
        self._joined = False
        self.process.world.at(self.process.world.latency(), self._join)

    def receive_assigned(self, places: list[Place]) -> None:
        self._hear(lambda: self._assigned(places))

    def receive_revoked(self, places: list[Place]) -> None:
        self._hear(lambda: self._revoked(places))

    def _hear(self, word: Callable[[], None]) -> None:
        self._words.append(word)
        if len(self._words) == 1:
            self._listen()

    def _listen(self) -> None:
        """While it is out of reach what is said to it waits, in its order."""
        process, world = self.process, self.process.world
        if process.alive and (process.cut or world.broker_down):
            world.at(TICK_S, self._listen)
            return
        words, self._words = self._words, []
        for word in words:
            process.in_thread(word)

    def _assigned(self, places: list[Place]) -> None:
        if self._stopping:
            return
        if any(self._group.owner.get(place) != self.process.name for place in places):
            return  # an answer of a generation that is over
        self._heard_at = max(self._heard_at, self._polled_at)
        self._owned.update(places)
        self._changes += 1
        self.process.tell(self._tell_assigned, places, self._changes)

    def _revoked(self, places: list[Place]) -> None:
        if self._stopping or any(self._group.owner.get(place) != self.process.name for place in places):
            return
        self._owned.difference_update(places)
        self._changes += 1
        self.process.tell(self._begin_revoking, places, self._changes)

    # -- on the loop -------------------------------------------------------------------------------------------------

    def _tell_assigned(self, places: list[Place], change: int) -> None:
        self._changes_known = change
        self._listener.assigned(places)

    def _tell_lost(self, places: list[Place], change: int) -> None:
        for place in places:
            self.positions.pop(place, None)
        self._listener.lost(places)
        self._changes_known = change

    def _begin_revoking(self, places: list[Place], change: int) -> None:
        self._changes_known = change
        for place in places:
            self.positions.pop(place, None)
        task = self.process.loop.create_task(self._listener.revoked(places))
        task.add_done_callback(
            lambda _: self.process.world.at(
                self.process.world.latency(), self._group.given_up, self.process.name, places
            )
        )
