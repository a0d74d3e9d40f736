"""An abandoned worker ends its own rental, with a key that can end nothing else."""

from collections.abc import Iterator

import pytest

from tests.fleet.fakes import runpod, vast
from tests.fleet.fakes.account import Account, Fault
from tests.servers.scripted_http import scripted_server
from trackfarm_worker import self_terminate


class RentedMachines:
    """Account at a provider with two of our machines."""

    def __init__(self, name: str, account: Account, url: str) -> None:
        self.name, self.account, self.url = name, account, url
        machines = [
            account.rent(tag=f"tf-hotel-{n}", gpu="L4", gpus=1, price=0.4, env={}) for n in (1, 2)
        ]
        self.machine, self.other = machines
        inside = runpod.inside if name == "runpod" else vast.inside
        self.environ = inside(self.machine)

    def rental(self, **environ: str) -> self_terminate.OwnRental | None:
        return self_terminate.own_rental(self.name, {**self.environ, **environ}, base=self.url)

    def wait(self, _: object) -> float:
        """Advance the provider's clock without waiting."""
        self.account.clock.advance(10)
        return 0.0

    def running(self) -> list[str]:
        return [machine.id for machine in self.account.running()]


@pytest.fixture(params=["runpod", "vast"])
def provider(request: pytest.FixtureRequest) -> Iterator[RentedMachines]:
    account = Account()
    kind = runpod.FakeRunPod if request.param == "runpod" else vast.FakeVast
    with scripted_server(kind(account).reply) as server:
        yield RentedMachines(request.param, account, server.url)


def test_terminate_ends_only_this_machine(provider: RentedMachines) -> None:
    rental = provider.rental()
    assert rental is not None
    assert self_terminate.terminate(rental, wait=provider.wait)
    assert provider.running() == [provider.other.id]
    assert self_terminate.terminate(rental, wait=provider.wait), "it is gone, as it should be"


def test_terminate_retries_while_the_provider_fails(provider: RentedMachines) -> None:
    rental = provider.rental()
    assert rental is not None
    provider.account.inject("terminate", *[Fault.SERVER_ERROR] * 8, Fault.HANGS_UP_BEFORE)
    assert self_terminate.terminate(rental, wait=provider.wait)
    assert provider.running() == [provider.other.id]


def test_terminate_cannot_end_another_machine(provider: RentedMachines) -> None:
    other = provider.rental(RUNPOD_POD_ID=provider.other.id, CONTAINER_ID=provider.other.id)
    assert other is not None
    assert not self_terminate.terminate(other, wait=provider.wait, retry_seconds=0)
    assert provider.running() == [provider.machine.id, provider.other.id]


def test_own_rental_hides_its_key(provider: RentedMachines) -> None:
    rental = provider.rental()
    assert rental is not None
    assert rental.key.get_secret_value() not in repr(rental)


@pytest.mark.parametrize("provider", ["own", "local", "runpod"])
def test_own_rental_is_none_without_a_key(provider: str) -> None:
    assert self_terminate.own_rental(provider, {"RUNPOD_POD_ID": "7"}) is None
