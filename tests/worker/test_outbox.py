"""Results are kept on disk until the scheduler acknowledges them."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.worker.shards import LEASE, SHARD, done, failed
from trackfarm_worker.outbox import Outbox, Parcel


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db", parcel_size=3)
    yield made
    made.close()


def taken(outbox: Outbox) -> Parcel:
    parcel = outbox.next_parcel()
    assert parcel is not None
    return parcel


def test_parcels_are_of_one_lease_oldest_first_and_bounded(outbox: Outbox) -> None:
    for track in range(4):
        outbox.put(SHARD, LEASE, done(track))
        outbox.put("shard_0002", "lease_0002", failed(100 + track))
    sizes = []
    while parcel := outbox.next_parcel():
        sizes.append((parcel.lease_id, [item.track_id for item in parcel.items]))
        assert outbox.next_parcel() == parcel, "looking takes nothing"
        outbox.remove(parcel)
    assert sizes == [
        (LEASE, [0, 1, 2]),
        ("lease_0002", [100, 101, 102]),
        (LEASE, [3]),
        ("lease_0002", [103]),
    ]


def test_results_come_back_as_they_went_in(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.put(SHARD, LEASE, failed(2))
    parcel = taken(outbox)
    assert parcel.items == (done(1), failed(2))
    assert (parcel.shard_id, parcel.lease_id) == (SHARD, LEASE)


def test_it_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    first = Outbox(path)
    first.put(SHARD, LEASE, done(1))
    first.put(SHARD, LEASE, done(2))
    first.remove(Parcel(SHARD, LEASE, (1,), (done(1),)))
    # A killed process closes nothing: the file is read as it is.
    second = Outbox(path)
    parcel = taken(second)
    assert parcel.items == (done(2),)
    second.remove(parcel)
    assert second.next_parcel() is None
    second.close()
    first.close()


def test_a_result_put_while_a_parcel_is_on_its_way_stays(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    parcel = taken(outbox)
    outbox.put(SHARD, LEASE, done(2))
    outbox.remove(parcel)
    assert taken(outbox).items == (done(2),)


def test_waiting_for_delivery_ends_with_the_last_of_the_lease(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.put("shard_0002", "lease_0002", done(2))
    assert outbox.wait_until_delivered("lease_0003", timeout=0)
    assert not outbox.wait_until_delivered(LEASE, timeout=0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outbox.wait_until_delivered, LEASE, 10)
        outbox.remove(taken(outbox))
        assert waiting.result()
    assert not outbox.wait_until_delivered("lease_0002", timeout=0)


def test_waiting_for_items_ends_with_the_first(outbox: Outbox) -> None:
    outbox.wait_for_items(timeout=0)
    waited = threading.Event()

    def wait() -> None:
        outbox.wait_for_items(timeout=10)
        assert outbox.next_parcel() is not None
        waited.set()

    thread = threading.Thread(target=wait)
    thread.start()
    outbox.put(SHARD, LEASE, done(1))
    thread.join()
    assert waited.is_set()


def test_clearing_forgets_everything(outbox: Outbox) -> None:
    outbox.put(SHARD, LEASE, done(1))
    outbox.clear()
    assert outbox.next_parcel() is None
    assert outbox.wait_until_delivered(LEASE, timeout=0)


def test_many_threads_put_and_one_delivers(outbox: Outbox) -> None:
    delivered: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(outbox.put, SHARD, LEASE, done(i)) for i in range(60)]
        while len(delivered) < 60:
            outbox.wait_for_items(timeout=1)
            if parcel := outbox.next_parcel():
                delivered += [item.track_id for item in parcel.items]
                outbox.remove(parcel)
        assert all(put.result() is None for put in puts)
    assert sorted(delivered) == list(range(60))


def test_a_closed_outbox_takes_nothing_silently(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.close()
    with pytest.raises(sqlite3.ProgrammingError):
        outbox.put(SHARD, LEASE, done(1))
