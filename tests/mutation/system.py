"""Faults planted in the bridge around the core, each to be noticed by the simulation of the whole.

``file`` lies in ``pipeline``. Run with the others: `python -m tests.mutation`.
"""

from __future__ import annotations

from tests.mutation.faults import Fault

SYSTEM_FAULTS = (
    Fault(
        "commit before delivery",
        "P2 a commit passes nothing unfinished",
        "delivery/watermark.py",
        "return next(iter(self.unfinished), self.next_offset)",
        "return self.next_offset",
    ),
    Fault(
        "watermark by contiguous count (system)",
        "P2, P5 gaps neither stall nor skip",
        "delivery/watermark.py",
        "return next(iter(self.unfinished), self.next_offset)",
        "return self.next_offset - len(self.unfinished)",
    ),
    Fault(
        "a lost partition is delivered on",
        "P4 nothing counts after revoke",
        "push/runkeeper.py",
        "            self.run.forget(place)\n            self._committer.forget(place)\n",
        "            self._committer.forget(place)\n",
    ),
    Fault(
        "a dead letter is not waited for",
        "P2 a dead letter counts when acknowledged",
        "push/burial.py",
        "        await self._producer.append(\n",
        "        self._producer.append_soon(\n",
    ),
    Fault(
        "settled although the append failed (system)",
        "P2 a dead letter counts when acknowledged",
        "push/dead_ends.py",
        "            self._core.bury_failed(lane, self._clock.monotonic())\n",
        "            self._core.buried(lane)\n",
    ),
    Fault(
        "a retry reorders its key",
        "P3 order per key",
        "delivery/lanes.py",
        "self.head = queue.popleft()",
        "self.head = queue.pop()",
    ),
    Fault(
        "an operator's reset is written over",
        "a moved cursor wins",
        "push/findings.py",
        "    if not is_ours(metadata):\n        return Finding.MOVED\n",
        "    if not is_ours(metadata):\n        return Finding.STALE\n",
    ),
    Fault(
        "metadata believed after a reset",
        "a moved cursor wins",
        "push/findings.py",
        "    if _base_of(metadata) != str(offset):\n",
        "    if False:\n",
    ),
    Fault(
        "nobody reads back before a commit",
        "a moved cursor wins, a zombie is fenced",
        "push/commits.py",
        "findings = await self.keeper.find(places)",
        "findings: dict[Place, tuple[Finding, int]] = {}",
    ),
    Fault(
        "epoch ignored",
        "a stale worker gives way",
        "push/findings.py",
        "if theirs.epoch >= mine.epoch and not wrote_it:",
        "if False:",
    ),
    Fault(
        "start position guessed",
        "a pointer that is missing is never guessed",
        "push/pointers.py",
        "                return None\n            return Pointer(epoch=now_ms, owner=self.owner, offset=0)",
        "                pass\n            return Pointer(epoch=now_ms, owner=self.owner, offset=0)",
    ),
    Fault(
        "a zombie sends",
        "P4 nothing begins without the lease",
        "push/pump.py",
        "        if self._may_act(now):\n            # Not before",
        "        if True:\n            # Not before",
    ),
    Fault(
        "a zombie claims",
        "a stale worker gives way",
        "push/runkeeper.py",
        "return self._still_owned(place) and self._may_act(self._parts.clock.monotonic())",
        "return True",
    ),
    Fault(
        "drain forgets to commit",
        "P4, P10 a clean hand-over repeats nothing",
        "push/runkeeper.py",
        "            await self._settle(at_last=True)\n        finally:\n",
        "            pass\n        finally:\n",
    ),
    Fault(
        "a fired timer still stands",
        "P1 everything settles in the end",
        "push/turns.py",
        "        self._timer = None\n        self.wake()",
        "        self.wake()",
    ),
    Fault(
        "what retention took is not told",
        "P6 a gap is told exactly",
        "push/reports.py",
        '        self._audit.tell("gap",',
        '        self._audit.tell("gone by",',
    ),
    Fault(
        "a gap is told one too long",
        "P6 a gap is told exactly",
        "push/intake.py",
        "        yield first, end\n",
        "        yield first, end + 1\n",
    ),
    Fault(
        "a released key is not let go",
        "P1 everything settles in the end",
        "push/dead_ends.py",
        "        self._core.release(place, key)\n",
        "",
    ),
    Fault(
        "a parked key is forgotten by the next owner",
        "a parked key waits until released",
        "push/parked.py",
        '            parked={row.key: row.reason for row in rows if row.policy == "park" and row.key is not None},\n',
        "            parked={},\n",
    ),
    Fault(
        "a claim that was refused is not tried again",
        "P9 recovery without a human",
        "push/runkeeper.py",
        "            raise BrokerUnavailable(",
        "            print(",
    ),
)
