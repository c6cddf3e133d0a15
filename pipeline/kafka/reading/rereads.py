"""Rereads: single records read again, wherever they lie; neighbours are read in one go.

Decides only: what is to be read goes out as orders for the one reader that serves re-reads. A partition is read upwards
through the offsets that are wanted; what lies further ahead than `NEAR` records is jumped to.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence

from pipeline.errors import PipelineError, TopicNotFound
from pipeline.kafka.reading.orders import REREAD, Bounds, LookUp, Order, Start, Stop
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

NEAR = 100
SILENT_TICKS_MAX = 1

Answer = Callable[[Record | PipelineError | None], None]


class Sweep:
    """One partition: the offsets wanted, ascending, and where its reading stands."""

    __slots__ = ("answers", "assignment", "position", "silent_ticks", "wanted")

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self.answers: dict[int, list[Answer]] = {}
        self.assignment: int | None = None
        self.position = 0
        self.silent_ticks = 0

    def settle(self, offset: int, outcome: Record | PipelineError | None) -> None:
        for answer in self.answers.pop(offset):
            answer(outcome)

    def settle_before(self, offset: int, outcome: PipelineError | None = None) -> None:
        """What was wanted below ``offset`` will not come any more."""
        count = bisect_left(self.wanted, offset)
        settled, self.wanted = self.wanted[:count], self.wanted[count:]
        for one in settled:
            self.settle(one, outcome)


class Rereads:
    """Each answer is called exactly once: with the record, with None (it is not on the log), or with an error."""

    def __init__(self, order: Callable[[Order], None], numbers: Iterator[int]) -> None:
        self._order, self._numbers = order, numbers
        self._sweeps: dict[Place, Sweep] = {}
        self._places: dict[int, Place] = {}

    def want(self, place: Place, offset: int, answer: Answer) -> None:
        sweep = self._sweeps.setdefault(place, Sweep())
        if offset in sweep.answers:
            sweep.answers[offset].append(answer)
            return
        sweep.answers[offset] = [answer]
        insort(sweep.wanted, offset)

    def begin(self) -> None:
        """Read what has been wanted since; call once per turn of the loop, so that neighbours are wanted together."""
        for place, sweep in self._sweeps.items():
            if sweep.assignment is None:
                self._start(place, sweep)

    def forgo(self, place: Place, offset: int, answer: Answer) -> None:
        """Nobody waits for this answer any more."""
        sweep = self._sweeps.get(place)
        if sweep is None or answer not in sweep.answers.get(offset, []):
            return
        sweep.answers[offset].remove(answer)
        if not sweep.answers[offset]:
            del sweep.answers[offset]
            sweep.wanted.remove(offset)
            self._go_on(place, sweep)

    # From the reader.

    def appended(self, assignment: int, records: Sequence[Record], size_bytes: int) -> None:  # noqa: ARG002 - as the board's
        place = self._places.get(assignment)
        if place is None:
            return
        sweep = self._sweeps[place]
        for record in records:
            if record.offset in sweep.answers:
                self._pass(sweep, record.offset)
                sweep.wanted.remove(record.offset)
                sweep.settle(record.offset, record)
        self._pass(sweep, records[-1].offset + 1)
        self._go_on(place, sweep)

    def _pass(self, sweep: Sweep, offset: int) -> None:
        """All between the position and ``offset`` has been seen; what lies below the position is still to be read."""
        first, until = bisect_left(sweep.wanted, sweep.position), bisect_left(sweep.wanted, offset)
        for gone in sweep.wanted[first:until]:
            sweep.settle(gone, None)
        del sweep.wanted[first:until]
        sweep.position = max(sweep.position, offset)

    def ended(self, assignment: int, offset: int) -> None:  # noqa: ARG002 - as the board's
        """Nothing comes after: what is wanted from the position on is not there."""
        place = self._places.get(assignment)
        if place is not None:
            sweep = self._sweeps[place]
            if sweep.wanted:
                self._pass(sweep, sweep.wanted[-1] + 1)
            self._go_on(place, sweep, anew=True)

    def refused(self, assignment: int) -> None:
        """The log does not hold the position, or the topic is doubtful: the bounds will tell."""
        place = self._places.get(assignment)
        if place is not None:
            self._stop(self._sweeps[place])
            self._order(LookUp(place))

    doubted = refused

    def broken(self, assignment: int, error: PipelineError) -> None:
        place = self._places.get(assignment)
        if place is not None:
            self._fail(place, error)

    def restart(self, reader: int) -> None:  # noqa: ARG002 - as the board's
        """The reader has begun afresh and knows of nothing."""
        self._places.clear()
        for sweep in self._sweeps.values():
            sweep.assignment = None
        self.begin()

    def bounds(self, place: Place, bounds: Bounds) -> None:
        sweep = self._sweeps.get(place)
        if sweep is None or sweep.assignment is not None:
            return
        sweep.settle_before(bounds.low)
        beyond = bisect_left(sweep.wanted, bounds.end)
        for offset in sweep.wanted[beyond:]:
            sweep.settle(offset, None)
        del sweep.wanted[beyond:]
        self._go_on(place, sweep)

    def no_bounds(self, place: Place, error: PipelineError) -> None:
        sweep = self._sweeps.get(place)
        if sweep is not None and (sweep.assignment is None or isinstance(error, TopicNotFound)):
            self._fail(place, error)

    def tick(self) -> None:
        """Call about once a second: a reader says nothing of a topic that does not exist, so ask when it is silent."""
        for place, sweep in self._sweeps.items():
            sweep.silent_ticks += 1
            if sweep.silent_ticks > SILENT_TICKS_MAX:
                self._order(LookUp(place))

    # Decisions.

    def _go_on(self, place: Place, sweep: Sweep, *, anew: bool = False) -> None:
        """Read on while something wanted is near; else begin again at the lowest that is wanted."""
        sweep.silent_ticks = 0
        if not sweep.wanted:
            self._stop(sweep)
            del self._sweeps[place]
            return
        ahead = bisect_left(sweep.wanted, sweep.position)
        is_near = ahead < len(sweep.wanted) and sweep.wanted[ahead] < sweep.position + NEAR
        if anew or sweep.assignment is None or not is_near:
            self._stop(sweep)
            self._start(place, sweep)

    def _start(self, place: Place, sweep: Sweep) -> None:
        sweep.assignment, sweep.position = next(self._numbers), sweep.wanted[0]
        self._places[sweep.assignment] = place
        self._order(Start(REREAD, sweep.assignment, place, sweep.position))

    def _stop(self, sweep: Sweep) -> None:
        if sweep.assignment is not None:
            self._order(Stop(REREAD, self._places.pop(sweep.assignment)))
            sweep.assignment = None

    def _fail(self, place: Place, error: PipelineError) -> None:
        sweep = self._sweeps.pop(place)
        self._stop(sweep)
        for offset in sweep.wanted:
            sweep.settle(offset, error)
