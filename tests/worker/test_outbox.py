"""Results are kept on disk until the scheduler acknowledges them."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.worker.shards import LEASE, SHARD, done, failed
from trackfarm_worker.outbox import LeaseResults, Outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    instance = Outbox(tmp_path / "outbox.db", max_results=3)
    yield instance
    instance.close()


def next_of(outbox: Outbox) -> LeaseResults:
    results = outbox.next_results()
    assert results is not None
    return results


def test_next_results_are_of_the_oldest_lease_and_bounded(outbox: Outbox) -> None:
    for track in range(4):
        outbox.put(SHARD, LEASE, done(track))
        outbox.put("shard_0002", "lease_0002", failed(100 + track))
    sizes = []
    while results := outbox.next_results():
        sizes.append((results.lease_id, [item.track_id for item in results.items]))
        assert outbox.next_results() == results, "looking takes nothing"
        outbox.remove(results)
    assert sizes == [
        (LEASE, [0, 1, 2]),
        ("lease_0002", [100, 101, 102]),
        (LEASE, [3]),
        ("lease_0002", [103]),
    ]


def test_next_results_equal_the_stored_ones(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.put(SHARD, LEASE, failed(2))
    results = next_of(outbox)
    assert results.items == (done(1), failed(2))
    assert (results.shard_id, results.lease_id) == (SHARD, LEASE)


def test_outbox_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    first = Outbox(path)
    first.put(SHARD, LEASE, done(1))
    first.put(SHARD, LEASE, done(2))
    first.remove(LeaseResults(SHARD, LEASE, (1,), (done(1),)))
    # A killed process closes nothing: the file is read as it is.
    second = Outbox(path)
    results = next_of(second)
    assert results.items == (done(2),)
    second.remove(results)
    assert second.next_results() is None
    second.close()
    first.close()


def test_remove_keeps_results_stored_meanwhile(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    results = next_of(outbox)
    outbox.put(SHARD, LEASE, done(2))
    outbox.remove(results)
    assert next_of(outbox).items == (done(2),)


def test_wait_until_delivered_ends_with_the_last_result_of_the_lease(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.put("shard_0002", "lease_0002", done(2))
    assert outbox.wait_until_delivered("lease_0003", timeout=0)
    assert not outbox.wait_until_delivered(LEASE, timeout=0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outbox.wait_until_delivered, LEASE, 10)
        outbox.remove(next_of(outbox))
        assert waiting.result()
    assert not outbox.wait_until_delivered("lease_0002", timeout=0)


def test_wait_for_items_ends_with_the_first(outbox: Outbox) -> None:
    outbox.wait_for_items(timeout=0)
    has_seen_item = threading.Event()

    def wait() -> None:
        outbox.wait_for_items(timeout=10)
        assert outbox.next_results() is not None
        has_seen_item.set()

    thread = threading.Thread(target=wait)
    thread.start()
    outbox.put(SHARD, LEASE, done(1))
    thread.join()
    assert has_seen_item.is_set()


def test_clear_removes_everything(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.clear()
    assert outbox.next_results() is None
    assert outbox.wait_until_delivered(LEASE, timeout=0)


def test_outbox_takes_results_of_many_threads(outbox: Outbox) -> None:
    delivered: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(outbox.put, SHARD, LEASE, done(i)) for i in range(60)]
        while len(delivered) < 60:
            outbox.wait_for_items(timeout=1)
            if results := outbox.next_results():
                delivered += [item.track_id for item in results.items]
                outbox.remove(results)
        assert all(put.result() is None for put in puts)
    assert sorted(delivered) == list(range(60))


def test_put_fails_when_closed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.close()
    with pytest.raises(sqlite3.ProgrammingError):
        outbox.put(SHARD, LEASE, done(1))
