"""When offsets begin to mean something else: the topic is deleted and made again, or the end of the log goes back.

What the promises do not cover is what the log lost. What they do: nothing of the new topic is delivered before an
operator has said where to start, under no other id than its own, and whoever stood beyond a log's end stops, loudly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.webhookid import id_prefix
from tests.simulation.broker import TOPIC, Broker, Place
from tests.simulation.ledger import At, Ledger

# Why a subscription may stand after its topic was made again, and after the log's end went back.
MADE_AGAIN = ("topic-recreated", "topic-not-found", "position-beyond-end")
TRUNCATED = ("position-beyond-end",)
# Workers look so often whether a topic is another (`BridgeSettings.topic_check_s`), and then it takes a while.
UNAWARE_S_MAX = 15.0
# A run that was stopped begins afresh; what it sent before may take so long to arrive.
AWARE_S_MAX = 2.0


class Eras:
    """``ledgers`` gives all that are kept. ``unstarted``: places of a group that nobody said where to start since;
    ``overrun``: offsets below may have been given out twice, from ``truncated`` on, and which of two events a pointer
    means nobody knows.
    """

    def __init__(self, broker: Broker, ledgers: Callable[[], Iterable[Ledger]]) -> None:
        self._broker, self._ledgers = broker, ledgers
        self.unstarted: dict[str, set[Place]] = {}
        self.overrun: dict[Place, int] = {}
        self.truncated: dict[Place, int] = {}
        self._lost: set[bytes | None] = set()
        self._made_again_at: float | None = None
        self._aware_at: dict[str, float] = {}

    def is_lost(self, value: bytes | None) -> bool:
        """Whether the log lost the event: what is still under way of it counts no more."""
        return value in self._lost

    def delete(self) -> None:
        """Of all that a group has done in the topic nothing means anything any more."""
        self._made_again_at = float("inf")
        self._aware_at.clear()
        places = [(TOPIC, number) for number in range(len(self._broker.topic(TOPIC).partitions))]
        self._broker.delete_topic(TOPIC)
        self.overrun.clear()
        self.truncated.clear()
        for ledger in self._ledgers():
            self.unstarted[ledger.group] = set(places)
            for place in places:
                self._forget(ledger, place, 0)
                ledger.resets.pop(place, None)

    def truncate(self, place: Place, to: int) -> None:
        end = self._broker.part(place).end
        self.overrun[place] = max(end, self.overrun.get(place, 0))
        self.truncated[place] = min(to, self.truncated.get(place, to))
        self._broker.truncate(place, to)
        for ledger in self._ledgers():
            self._forget(ledger, place, to)
            if ledger.resets.get(place, 0) > to:
                ledger.resets[place] = to

    def make_again(self, partitions: int) -> None:
        self._broker.log.create(TOPIC, partitions)
        self._made_again_at = self._broker.world.now

    def resumed(self, group: str) -> None:
        """An operator set it going: it begins afresh everywhere."""
        self._aware_at[group] = self._broker.world.now + AWARE_S_MAX

    def may_be_unaware(self, group: str, webhook_id: str) -> bool:
        """Whether a worker may not know yet that the topic is another: until it looks again it reads on where it was,
        and what it finds there goes under ids that the old topic never came to.
        """
        world, made_at = self._broker.world, self._made_again_at
        topic = self._broker.log.topics.get(TOPIC)
        if made_at is None or (topic is not None and webhook_id.startswith(id_prefix(topic.topic_id))):
            return False
        looked_at = max(made_at + UNAWARE_S_MAX, world.trouble_until)
        return world.now < min(looked_at, self._aware_at.get(group, looked_at))

    def started(self, group: str, place: Place) -> None:
        """An operator said where to start; partitions above look as if they were added later, and begin at 0."""
        self.unstarted[group] = {one for one in self.unstarted.get(group, ()) if one < place}

    def _forget(self, ledger: Ledger, place: Place, first: int) -> None:
        known = ledger.records[place]
        for offset in [offset for offset in known if offset >= first]:
            self._lost.add(known.pop(offset).value)
        sets: list[set[At]] = [
            ledger.settled,
            ledger.ever,
            ledger.excused,
            ledger.attempted,
            ledger.told,
            ledger.taken,
            ledger.exposed,
            ledger.unknown,
        ]
        for ats in sets:
            ats.difference_update([at for at in ats if at[0] == place and at[1] >= first])
        ledger.dirty.add(place)

    def excuses(self, reason: str) -> bool:
        """Whether a subscription may be blocked for ``reason``."""
        again = self._made_again_at is not None and reason.startswith(MADE_AGAIN)
        truncated = bool(self.overrun) and reason.startswith(TRUNCATED)
        return again or truncated or reason.startswith("pointer-missing")
