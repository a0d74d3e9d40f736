"""Workers as real processes: they survive their parent process, and all of them are found again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.fleet.contract.subjects import TAGS, request, tagged_processes
from tests.scheduler.clock import Clock
from tests.servers.process import wait_until
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    OfferQuery,
    ProviderError,
    Unavailable,
)
from trackfarm_fleet.providers.local import LocalProvider, Slot
from trackfarm_fleet.providers.worker_env import TAG_VARIABLE

SLOTS = [Slot("gpu0", "RTX 4090", 24_564, cuda=0), Slot("gpu1", "RTX 4090", 24_564, cuda=1)]
PARENT = """
import sys
from pathlib import Path
from tests.fleet.providers.test_local import a_provider
from tests.fleet.contract.subjects import request
from trackfarm_fleet.providers.base import OfferQuery
provider = a_provider(Path(sys.argv[1]), "exec sleep 600", prefix=sys.argv[3])
made = provider.create(request(provider.offers(OfferQuery())[0], sys.argv[2]))
print(made.id, flush=True)
sys.stdin.read()
"""


def a_provider(
    folder: Path, script: str, *, now: Clock | None = None, prefix: str = TAGS.prefix
) -> LocalProvider:
    return LocalProvider(
        SLOTS,
        prefix=prefix,
        folder=folder,
        command=["sh", "-c", script],
        grace_seconds=15.0,
        now=now or Clock(),
    )


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    processes = [process for process, _ in tagged_processes()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)  # until then they hold the slots of the next test


def test_create_with_a_start_command_is_rejected(tmp_path: Path) -> None:
    provider = a_provider(tmp_path, "exec sleep 600")
    offers = provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    rental_request = replace(request(offers[0], TAGS.new()), command=("bash", "-c", "true"))
    assert isinstance(provider.create(rental_request), BadRequest)


def _create(provider: LocalProvider, tag: str) -> Instance:
    offers = provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    instance = provider.create(request(offers[0], tag))
    assert isinstance(instance, Instance)
    return instance


def _listed(provider: LocalProvider) -> list[Instance]:
    listed = provider.instances()
    assert not isinstance(listed, ProviderError)
    return list(listed)


def _wait_gone(provider: LocalProvider) -> None:
    wait_until(lambda: _listed(provider) == [], timeout_s=10, what="the worker is gone")


def test_worker_survives_its_parent_and_is_listed_again(tmp_path: Path) -> None:
    tag = TAGS.new()
    args = [sys.executable, "-c", PARENT, str(tmp_path), tag, TAGS.prefix]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().decode().strip() == tag
        parent.kill()
    provider = a_provider(tmp_path, "exec sleep 600")
    (listed,) = _listed(provider)
    assert (listed.tag, listed.state, listed.host) == (tag, InstanceState.RUNNING, "gpu0")
    assert provider.terminate(listed.id) is None
    _wait_gone(provider)


def _are_offered(provider: LocalProvider, number: int) -> bool:
    offers = provider.offers(OfferQuery())
    return not isinstance(offers, ProviderError) and len(offers) == number


def test_workers_each_have_their_own_gpu(tmp_path: Path) -> None:
    provider = a_provider(tmp_path, "exec sleep 600")
    tags = {TAGS.new(), TAGS.new()}
    for free_slots, tag in enumerate(tags, start=1):
        _create(provider, tag)
        # A process between fork and exec cannot be read, so its GPU seems to be free.
        wait_until(
            partial(_are_offered, provider, 2 - free_slots),
            timeout_s=10,
            what="the card is seen to be taken",
        )
    assert provider.offers(OfferQuery()) == []
    cards = sorted(
        env["CUDA_VISIBLE_DEVICES"] for _, env in tagged_processes() if env[TAG_VARIABLE] in tags
    )
    assert cards == ["0", "1"]


def test_children_of_a_dead_worker_are_listed_as_broken_and_ended(tmp_path: Path) -> None:
    provider = a_provider(tmp_path, "sleep 600 & echo ready; wait")
    created = _create(provider, TAGS.new())
    wait_until(lambda: len(tagged_processes()) == 2, timeout_s=10, what="both run")
    (leader,) = [p for p, _ in tagged_processes() if os.getsid(p.pid) == p.pid]
    leader.kill()
    wait_until(
        lambda: [i.state for i in _listed(provider)] == [InstanceState.BROKEN],
        timeout_s=10,
        what="only the child is left",
    )
    assert provider.terminate(created.id) is None
    _wait_gone(provider)
    assert tagged_processes() == []


def test_terminate_signals_the_worker_which_ends_its_children(tmp_path: Path) -> None:
    child = "(trap 'echo child' TERM; while :; do sleep 0.05; done) & c=$!"
    script = f"trap 'echo worker; kill -KILL $c; exit' TERM; {child}; echo ready; wait"
    provider = a_provider(tmp_path, script)
    created = _create(provider, TAGS.new())
    log = tmp_path / f"{created.tag}.log"
    wait_until(lambda: log.read_text() == "ready\n", timeout_s=10, what="both are ready")
    assert provider.terminate(created.id) is None
    _wait_gone(provider)
    assert log.read_text() == "ready\nworker\n"


def test_terminate_kills_a_worker_after_the_grace_period(tmp_path: Path) -> None:
    clock = Clock()
    script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
    provider = a_provider(tmp_path, script, now=clock)
    created = _create(provider, TAGS.new())
    log = tmp_path / f"{created.tag}.log"
    wait_until(lambda: "deaf" in log.read_text(), timeout_s=10, what="it ignores the signal")
    assert provider.terminate(created.id) is None
    clock.advance(14)
    assert provider.terminate(created.id) is None
    assert [i.tag for i in _listed(provider)] == [created.tag]
    clock.advance(1)
    assert provider.terminate(created.id) is None
    _wait_gone(provider)


def test_worker_that_ended_by_itself_is_not_listed(tmp_path: Path) -> None:
    provider = a_provider(tmp_path, "true")
    offers = provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    provider.create(request(offers[0], TAGS.new()))
    _wait_gone(provider)
    free = provider.offers(OfferQuery())
    assert not isinstance(free, ProviderError)
    assert len(free) == 2


def test_worker_environment_has_no_keys_of_the_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("TRACKFARM_FLEET_KEY", "RUNPOD_API_KEY", "VAST_API_KEY")
    for name in names:
        monkeypatch.setenv(name, "secret")
    provider = a_provider(tmp_path, "exec sleep 600")
    created = _create(provider, TAGS.new())
    ((_, env),) = tagged_processes()
    assert env[TAG_VARIABLE] == created.tag
    assert not [name for name in names if name in env]


def test_worker_log_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    created = _create(a_provider(tmp_path, "echo hello; exec sleep 600"), TAGS.new())
    log = tmp_path / f"{created.tag}.log"
    wait_until(lambda: log.read_text() == "hello\n", timeout_s=10, what="it has said hello")
    assert log.stat().st_mode & 0o777 == 0o600


def test_create_reports_a_worker_that_cannot_be_started(tmp_path: Path) -> None:
    provider = LocalProvider(
        SLOTS, prefix=TAGS.prefix, folder=tmp_path, command=["no-such-program-here"]
    )
    offers = provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    rental_request = request(offers[0], TAGS.new())
    answer = provider.create(rental_request)
    assert isinstance(answer, Unavailable)
    assert not answer.may_have_run
    nowhere = MachineOffer("local", "gpu7", "RTX 4090", 1, 24_564, 0.0)
    assert isinstance(provider.create(request(nowhere, TAGS.new())), BadRequest)
