"""Sends requests to a farm at a constant rate and prints their latencies. Runs in its own process,
so that the client does not distort the measurement."""

import asyncio
import json
import sys
import time
from itertools import count, cycle

import httpx

PATHS = (
    "jobs",
    "jobs/{job}",
    "jobs/{job}/tracks?state=done&limit=100",
    "status",
    "events?job={job}&limit=100",
    "workers",
    "usage",
)
BURST = 1_000
CALLERS = 8
ASKS = 12


async def read(
    farm: httpx.AsyncClient, job: str, rate: float, seconds: float
) -> dict[str, list[float]]:
    """Return the seconds of each response, by path. Requests are sent on schedule, even if earlier
    ones are not answered yet."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}

    async def ask(path: str, at: float) -> None:
        await asyncio.sleep(at - time.perf_counter())
        answer = await farm.get(f"/api/v1/{path.format(job=job)}")
        took[path].append(time.perf_counter() - at)
        answer.raise_for_status()

    began = time.perf_counter()
    paths = cycle(PATHS)
    async with asyncio.TaskGroup() as tasks:
        for number in count():
            if number >= rate * seconds:
                return took
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter() - 0.05))
            tasks.create_task(ask(next(paths), began + number / rate))
    return took


async def poll(farm: httpx.AsyncClient) -> dict[str, list[float]]:
    """Return the seconds of each of a thousand single calls, sent by several clients at once, and
    of the queries about all of them afterwards."""
    ids: list[str] = []
    sent: list[float] = []

    async def call(caller: int) -> None:
        for number in range(caller, BURST, CALLERS):
            began = time.perf_counter()
            wanted = {"prompt": f"burst {number}", "audio_duration": 10, "batch_size": 1}
            answer = (await farm.post("/release_task", json=wanted)).raise_for_status()
            sent.append(time.perf_counter() - began)
            ids.append(answer.json()["data"]["task_id"])

    await asyncio.gather(*(call(number) for number in range(CALLERS)))
    query_times = []
    for _ in range(ASKS):
        began = time.perf_counter()
        (await farm.post("/query_result", json={"task_id_list": ids})).raise_for_status()
        query_times.append(time.perf_counter() - began)
        await asyncio.sleep(0.25)
    return {"release_task": sent, "query_result of 1,000 ids": query_times}


async def main(url: str, key: str, job: str, rate: float, seconds: float) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits) as farm:
        times = await (read(farm, job, rate, seconds) if job else poll(farm))
    print(json.dumps(times))


if __name__ == "__main__":
    url, key, job, rate, seconds = sys.argv[1:]
    asyncio.run(main(url, key, job, float(rate), float(seconds)))
