"""The bridge one would write by hand: aiokafka and aiohttp, records of a key in turn, a commit after each batch.

    SERVERS=… TOPIC=… GROUP=… URL=… python -m bench.naive

It signs nothing, remembers no attempts, and gives up on nothing: a record is posted until the endpoint takes it.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from typing import Any

import aiohttp
import uvloop
from aiokafka import AIOKafkaConsumer

BATCH = 500
CONNECTIONS = 64
RETRY_S = 0.2


async def post(http: aiohttp.ClientSession, url: str, value: bytes) -> None:
    while True:
        try:
            async with http.post(url, data=value, headers={"content-type": "application/json"}) as response:
                if response.status < 300:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(RETRY_S)


async def post_in_turn(http: aiohttp.ClientSession, url: str, records: list[Any]) -> None:
    for record in records:
        await post(http, url, record.value)


async def run(servers: str, topic: str, group: str, url: str) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
            while True:
                polled = await consumer.getmany(timeout_ms=500, max_records=BATCH)
                keys: dict[bytes, list[Any]] = defaultdict(list)
                for records in polled.values():
                    for record in records:
                        keys[record.key].append(record)
                await asyncio.gather(*(post_in_turn(http, url, records) for records in keys.values()))
                if keys:
                    await consumer.commit()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    uvloop.run(run(os.environ["SERVERS"], os.environ["TOPIC"], os.environ["GROUP"], os.environ["URL"]))
