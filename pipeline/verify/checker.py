"""The checker: what a history proves of one subscription that takes every event of its topics. Pure.

Lost: an appended event neither answered 2xx nor buried. Out of order: the first success (or burial) of an event after
that of a later one of its key. Duplicates: successes beyond the first, more of them in all than the incidents allow.
Commit past unfinished: a commit written before everything below it was finished. Sent again: an attempt begun below
what was committed and acknowledged by then, more of them than the incidents allow. Stray: received, and
appended by nobody, in a history whose producer was sure of every append.

Lines are compared by their times, so all writers need one clock: one machine's, or clocks closer than ``skew_s``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from pipeline.errors import FormatUnreadable
from pipeline.verify.lines import Appended, Buried, Committed, Incident, Line, Received, Sent, Unsure
from pipeline.webhookid import id_parts

Partition = tuple[str, int]
FINDINGS_MAX = 100


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Counts, and the first `FINDINGS_MAX` findings in words. ``commits``: how many were looked at, one for each
    partition of a commit. ``recovery_s``: from the first incident on, the longest time that a partition with work
    finished nothing; None without incidents.
    """

    events: int
    delivered: int
    buried: int
    lost: int
    out_of_order: int
    duplicates: int
    duplicates_max: int
    commits: int
    commits_past_unfinished: int
    sent_again: int
    strays: int
    incidents: int
    recovery_s: float | None
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class _Event:
    __slots__ = ("appended_at", "finished_at", "key", "offset", "partition", "successes")

    def __init__(self, id_text: str, key: str | None) -> None:
        parts = id_parts(id_text)
        if parts is None:
            raise FormatUnreadable("id", id_text, "a webhook id such as evt_abcdefghij_0_17")
        self.partition: Partition = (parts[0], parts[1])
        self.offset, self.key = parts[2], key
        self.appended_at, self.finished_at = inf, inf
        self.successes = 0


def check(lines: Iterable[Line], *, skew_s: float = 0.0) -> Verified:
    """Raises `FormatUnreadable` for an id that is none of ours. Lines of one writer must be in their order."""
    ordered = sorted(lines, key=lambda line: line.at)
    events, disorder = _settled(ordered)
    appended = [event for event in events.values() if event.appended_at < inf]
    incidents = [line for line in ordered if isinstance(line, Incident)]
    lost = [f"lost: {name}" for name, event in events.items() if event.appended_at < inf and event.finished_at == inf]
    strays = [name for name, event in events.items() if event.appended_at == inf]
    duplicates = sum(max(event.successes - 1, 0) for event in appended)
    early, again = _early_commits(ordered, appended, skew_s), _sent_again(ordered, skew_s)
    sure = not any(isinstance(line, Unsure) for line in ordered)
    findings = [
        *disorder,
        *lost,
        *early,
        *_beyond_bounds(duplicates, again, incidents),
        *(f"stray: {name} was appended by nobody" for name in strays if sure),
    ]
    return Verified(
        events=len(appended),
        delivered=sum(event.successes > 0 for event in appended),
        buried=sum(event.successes == 0 and event.finished_at < inf for event in appended),
        lost=len(lost),
        out_of_order=len(disorder),
        duplicates=duplicates,
        duplicates_max=sum(incident.duplicates_max for incident in incidents),
        commits=sum(isinstance(line, Committed) and not line.acknowledged for line in ordered),
        commits_past_unfinished=len(early),
        sent_again=len(again),
        strays=len(strays),
        incidents=len(incidents),
        recovery_s=_recovery_s(appended, incidents[0].at) if incidents else None,
        findings=tuple(findings[:FINDINGS_MAX]),
    )


def _beyond_bounds(duplicates: int, again: list[str], incidents: list[Incident]) -> list[str]:
    """What is more than the incidents allow."""
    duplicates_max = sum(incident.duplicates_max for incident in incidents)
    many = [f"duplicates: {duplicates}, and {duplicates_max} were to be expected"]
    return [
        *(many if duplicates > duplicates_max else []),
        *(again if len(again) > sum(incident.again_max for incident in incidents) else []),
    ]


def _settled(ordered: list[Line]) -> tuple[dict[str, _Event], list[str]]:
    """Events by id with their times, and what finished out of its key's order."""
    events: dict[str, _Event] = {}
    for line in ordered:
        if isinstance(line, Appended):
            events.setdefault(line.id, _Event(line.id, line.key)).appended_at = line.at
    found: list[str] = []
    latest: dict[tuple[Partition, str], int] = defaultdict(lambda: -1)
    for line in ordered:
        succeeded = isinstance(line, Received) and 200 <= line.status < 300
        if not (succeeded or isinstance(line, Buried)):
            continue
        assert isinstance(line, Received | Buried)
        key = line.key if isinstance(line, Received) else None
        event = events.setdefault(line.id, _Event(line.id, key))
        event.successes += succeeded
        if event.finished_at < inf:
            continue
        event.finished_at = line.at
        if event.key is None:
            continue
        lane = (event.partition, event.key)
        if event.offset < latest[lane]:
            found.append(f"out of order: {line.id} (key {event.key}) after offset {latest[lane]}")
        latest[lane] = max(latest[lane], event.offset)
    return events, found


def _early_commits(ordered: list[Line], appended: list[_Event], skew_s: float) -> list[str]:
    """Commits that passed an event which was not finished when they were written."""
    offsets: dict[Partition, list[int]] = defaultdict(list)
    through: dict[Partition, list[tuple[float, int]]] = defaultdict(list)
    for event in sorted(appended, key=lambda event: event.offset):
        last = through[event.partition][-1] if through[event.partition] else (-inf, -1)
        offsets[event.partition].append(event.offset)
        through[event.partition].append(max(last, (event.finished_at, event.offset)))
    found = []
    for line in ordered:
        if not isinstance(line, Committed) or line.acknowledged:
            continue
        place = (line.topic, line.partition)
        below = bisect_left(offsets[place], line.offset)
        if below and (worst := through[place][below - 1])[0] > line.at + skew_s:
            found.append(f"commit past unfinished: {line.topic}{line.partition} to {line.offset}, before {worst[1]}")
    return found


def _sent_again(ordered: list[Line], skew_s: float) -> list[str]:
    """Attempts of what was committed before they began. A cursor moved back is committed there first."""
    committed: dict[Partition, tuple[float, int]] = {}
    found = []
    for line in ordered:
        if isinstance(line, Committed) and line.acknowledged:
            committed[line.topic, line.partition] = (line.at, line.offset)
        elif isinstance(line, Sent) and (parts := id_parts(line.id)) is not None:
            at, offset = committed.get((parts.prefix, parts.partition), (inf, 0))
            if parts.offset < offset and at + skew_s < line.at:
                found.append(f"sent again: {line.id} by {line.by}, after {offset} was committed")
    return found


def _recovery_s(appended: Iterable[_Event], since: float) -> float:
    """The longest time from ``since`` on that a partition with work finished nothing."""
    by_partition: dict[Partition, list[_Event]] = defaultdict(list)
    for event in appended:
        if since < event.finished_at < inf:
            by_partition[event.partition].append(event)
    longest = 0.0
    for events in by_partition.values():
        before = since
        for event in sorted(events, key=lambda event: event.finished_at):
            longest = max(longest, event.finished_at - max(before, event.appended_at))
            before = event.finished_at
    return round(longest, 3)


def row_of(name: str, verified: Verified) -> Mapping[str, object]:
    """The checker's row, as tables show it."""
    return {
        "history": name,
        "events": verified.events,
        "lost": verified.lost,
        "out of order": verified.out_of_order,
        "duplicates": f"{verified.duplicates} of {verified.duplicates_max}",
        "again": verified.sent_again,
        "commits": verified.commits,
        "early": verified.commits_past_unfinished,
        "recovery s": verified.recovery_s,
    }
