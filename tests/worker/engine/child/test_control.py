"""Control channel of the engine process, over a real pipe."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.worker.engine.engine_fixture import setup
from tests.worker.waiting import wait_until
from trackfarm_worker.engine.child.control import ControlChannel
from trackfarm_worker.engine.protocol import ControlMessage, Run, StopTracks, encode


class ParentEnd:
    """Channel and the parent's end of its pipe, which stays open: its end exits the process."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self.channel = ControlChannel(incoming)
        self._outgoing = outgoing

    def send(self, message: ControlMessage) -> None:
        self._outgoing.write(encode(message))
        self._outgoing.flush()


@pytest.fixture(scope="module")
def parent() -> ParentEnd:
    reader, writer = os.pipe()
    return ParentEnd(os.fdopen(reader, "rb"), os.fdopen(writer, "wb", closefd=False))


def test_setup_and_runs_arrive_in_order(parent: ParentEnd, tmp_path: Path) -> None:
    message, runs = setup(tmp_path), [Run(run_id=number, tracks=[]) for number in (1, 2)]
    parent.send(message)
    for run in runs:
        parent.send(run)
    assert parent.channel.setup() == message
    assert [parent.channel.next_run() for _ in runs] == runs


def test_stops_are_kept_by_run_until_discarded(parent: ParentEnd) -> None:
    channel = parent.channel
    parent.send(StopTracks(run_id=5, track_ids=[1, 2]))
    parent.send(StopTracks(run_id=6, track_ids=[1]))
    wait_until(lambda: channel.is_stopped(6, 1), 20)
    assert channel.is_stopped(5, 2)
    assert not channel.is_stopped(6, 2)
    channel.discard_stops(5)
    assert not channel.is_stopped(5, 2)
    assert channel.is_stopped(6, 1)


def test_pause_ends_with_a_stop_of_one_of_its_tracks(parent: ParentEnd) -> None:
    channel = parent.channel
    channel.pause(0.01, 8, [1])
    with ThreadPoolExecutor(1) as pool:
        pausing = pool.submit(channel.pause, 60, 9, [1, 2])
        parent.send(StopTracks(run_id=9, track_ids=[2]))
        pausing.result(20)
