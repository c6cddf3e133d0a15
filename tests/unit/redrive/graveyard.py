"""A gateway with a subscription whose deliveries fail at will: what tests of dead letters stand on."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.deadletter import Failure, unwrap, wrap
from pipeline.record import Record
from pipeline.redrive import FiledLetter, RedriveAsked, RedrivePlan, Search, Selection
from pipeline.runs import StampedRun
from tests.fakes.house import GatewayHouse

DLQ = "app.hook.dlq"
HOOK = "/v1/subscriptions/hook"


class Graveyard(GatewayHouse):
    buried = 0

    async def open(self) -> None:
        """Make topic ``orders`` and subscription ``hook``."""
        self.log.create("orders", 2)
        await self.subscriptions.put("hook", {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/"}})
        self.audit.lines.clear()

    def bury(
        self,
        reason: str = "exhausted",
        *,
        group: str = "app.hook",
        topic: str = "orders",
        key: bytes | None = None,
        kind: bytes = b"made",
        redrives: int = 0,
        **more: Any,
    ) -> str:
        """A dead letter of the next record; its id."""
        offset = self.buried
        self.buried += 1
        headers = (("ce_id", b"e%d" % offset), ("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("ce_type", kind))
        record = Record(topic, offset % 2, offset, 1, key or b"k%d" % offset, b"x%d" % offset, headers)
        failed_at = f"2026-11-21T00:{offset:02d}:00Z"
        failure = Failure(reason=reason, attempts=3, first_failed_at=failed_at, last_failed_at=failed_at, **more)
        wrapped_key, value, wrapped = wrap(record, group, failure, redrives=redrives)
        self.log.append(DLQ, value, key=wrapped_key, headers=wrapped, partition=offset % 2)
        return f"{record.position}/{group}"

    def bury_again(self, letter_id: str) -> None:
        """What a redrive that fails does: the last letter of that id comes back, redriven once more."""
        last = [
            one
            for part in self.log.topics[DLQ].partitions
            for one in part.records
            if one.header("dlq.id") == letter_id.encode()
        ][-1]
        letter = unwrap(last)
        key, value, headers = wrap(
            letter.record, letter.group, letter.failure, redrives=letter.redrives + 1, edit=letter.edit
        )
        self.log.append(DLQ, value, key=key, headers=headers, partition=last.partition)

    async def plan(self, **select: Any) -> RedrivePlan:
        return await self.redrives.plan("hook", RedriveAsked(select=Selection(**select)))

    async def redrive(self, **select: Any) -> StampedRun:
        return await self.redrives.create(await self.plan(**select))

    async def finish(self, run: StampedRun) -> None:
        """What a worker does when the window is delivered."""
        done = msgspec.structs.replace(run.run, state="done")
        await self.run_rows.put(run.run.id, msgspec.json.encode(done), based_on=run.version)

    async def filed(self, **wanted: Any) -> list[FiledLetter]:
        page = await self.letters.search("hook", Search(select=Selection(**wanted)), None)
        return sorted(page.letters, key=lambda filed: filed.letter.record.offset)

    async def found(self, **wanted: Any) -> list[str]:
        return sorted(filed.letter.id for filed in await self.filed(**wanted))

    async def states(self) -> list[str]:
        """What became of each letter, in the order they were buried."""
        return [filed.fate.state for filed in await self.filed()]
