"""Stream: a segment that is being filled, who reads from it, and who fills it."""

from __future__ import annotations

from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.segment import Held, Segment

Place = tuple[str, int]
"""Topic and partition."""


class Stream:
    """One position of one partition that moves on. The tail is a stream like any other, never held back.

    ``assignment`` numbers the stay at a reader; it is None while nobody reads for this stream. ``lead_bytes`` is how
    far (in bytes appended) the foremost feed has come; ``ahead_bytes`` lies before it, unread by anybody.
    """

    __slots__ = (
        "assignment",
        "at_end",
        "feeds",
        "idle_since_s",
        "lead_bytes",
        "number",
        "paused",
        "place",
        "queued",
        "reader",
        "retry",
        "sated",
        "segment",
        "stopped",
        "turn_bytes",
        "waiting",
    )

    def __init__(self, number: int, place: Place, offset: int, held: Held, now_s: float) -> None:
        self.number, self.place = number, place
        self.segment = Segment(offset, held)
        self.feeds: dict[Feed, None] = {}  # dicts, not sets: the order is the same in every run
        self.waiting: dict[Feed, None] = {}
        self.lead_bytes = 0
        self.reader: int | None = None
        self.assignment: int | None = None
        self.at_end = False
        # The position was refused or the topic is doubtful: no reading until the log has been asked.
        self.stopped = False
        self.retry = False  # the answer was "that position is fine": try again at the next tick
        self.paused = False
        self.sated = False
        self.turn_bytes = 0
        self.queued = number
        self.idle_since_s: float | None = now_s

    @property
    def next_offset(self) -> int:
        return self.segment.next_offset

    @property
    def ahead_bytes(self) -> int:
        return self.segment.appended_bytes - self.lead_bytes

    def attach(self, feed: Feed) -> None:
        feed.placed(self)
        self.feeds[feed] = None
        self.idle_since_s = None

    def detach(self, feed: Feed, now_s: float) -> None:
        """The feed reads elsewhere or no more; without feeds the stream is idle."""
        feed.placed(None)
        del self.feeds[feed]
        self.waiting.pop(feed, None)
        if not self.feeds:
            self.idle_since_s = now_s

    def roused(self) -> list[Feed]:
        """The waiting feeds that now have something; they wait no more."""
        if not self.waiting:
            return []
        roused = [feed for feed in self.waiting if feed.position < self.segment.next_offset]
        for feed in roused:
            del self.waiting[feed]
        return roused
