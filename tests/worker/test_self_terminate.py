"""An abandoned worker ends its own rental, with a key that can end nothing else."""

from collections.abc import Iterator

import pytest

from tests.fleet.fakes import runpod, vast
from tests.fleet.fakes.account import Account, Fault
from tests.servers.process import wait_until
from tests.servers.scripted_http import scripted_server
from trackfarm_worker import self_terminate
from trackfarm_worker.shutdown import SchedulerWatchdog


class Place:
    """Account at a provider with two of our machines."""

    def __init__(self, name: str, account: Account, url: str) -> None:
        self.name, self.account, self.url = name, account, url
        rented = [
            account.rent(tag=f"tf-hotel-{n}", gpu="L4", gpus=1, price=0.4, env={}) for n in (1, 2)
        ]
        self.machine, self.other = rented
        inside = runpod.inside if name == "runpod" else vast.inside
        self.environ = inside(self.machine)

    def rental(self, **environ: str) -> self_terminate.OwnRental | None:
        return self_terminate.own_rental(self.name, {**self.environ, **environ}, base=self.url)

    def later(self, _: object) -> float:
        """Advance the provider's clock without waiting."""
        self.account.clock.advance(10)
        return 0.0

    def running(self) -> list[str]:
        return [machine.id for machine in self.account.running()]


@pytest.fixture(params=["runpod", "vast"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    account = Account()
    kind = runpod.FakeRunPod if request.param == "runpod" else vast.FakeVast
    with scripted_server(kind(account).reply) as server:
        yield Place(request.param, account, server.url)


def test_it_ends_itself_and_nothing_else(place: Place) -> None:
    ours = place.rental()
    assert ours is not None
    assert self_terminate.end(ours, wait=place.later)
    assert place.running() == [place.other.id]
    assert self_terminate.end(ours, wait=place.later), "it is gone, as it should be"


def test_it_keeps_asking_while_the_provider_is_away(place: Place) -> None:
    ours = place.rental()
    assert ours is not None
    place.account.inject("terminate", *[Fault.SERVER_ERROR] * 8, Fault.HANGS_UP_BEFORE)
    assert self_terminate.end(ours, wait=place.later)
    assert place.running() == [place.other.id]


def test_its_key_opens_no_other_machine(place: Place) -> None:
    other = place.rental(RUNPOD_POD_ID=place.other.id, CONTAINER_ID=place.other.id)
    assert other is not None
    assert not self_terminate.end(other, wait=place.later, patience=0)
    assert place.running() == [place.machine.id, place.other.id]


def test_the_key_is_not_shown(place: Place) -> None:
    ours = place.rental()
    assert ours is not None
    assert ours.key.get_secret_value() not in repr(ours)


@pytest.mark.parametrize("provider", ["own", "local", "runpod"])
def test_where_there_is_no_key_there_is_nothing_to_end(provider: str) -> None:
    assert self_terminate.own_rental(provider, {"RUNPOD_POD_ID": "7"}) is None


def test_the_switch_falls_once_after_silence_and_not_before() -> None:
    said: list[str] = []
    now = [0.0]
    switch = SchedulerWatchdog(0.2, said.append, now=lambda: now[0])
    switch.start()
    now[0] = 0.19
    switch.heard()
    now[0] = 0.38
    switch.stop(timeout=0.03)
    assert said == []
    again = SchedulerWatchdog(0.2, said.append, now=lambda: now[0])
    again.start()
    now[0] += 0.2
    wait_until(lambda: bool(said), timeout_s=5, what="the switch falls")
    again.stop(timeout=1)
    assert len(said) == 1
    assert "no response" in said[0]
