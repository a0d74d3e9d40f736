"""Whatever a URL returns, the worker survives and the error is reported."""

import resource
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import av
import pytest

from tests.worker.sources.files import WORDS
from tests.worker.sources.hosts import LOOPBACK, Host
from trackfarm_worker.sources.protocol import (
    Answer,
    PreparedSource,
    SourceAway,
    SourceLimits,
    SourceOrder,
    SourceRefused,
)
from trackfarm_worker.sources.sandbox import prepare

# Part of the message by path: permanent failures, then temporary ones.
REFUSED = {
    "endless": "maximum is 100 MB",
    "loop": "redirects more than 5 times",
    "to-file": "protocol",
    "forbidden": "HTTP 403",
    "nowhere": "HTTP 404",
    "no-content": "HTTP 204",
    "claims-200-mb": "200 MB",
    "page": "a web page",
    "gzipped": "not an audio file",
}
AWAY = {
    "drip": "longer than 5 s",
    "drip-headers": "longer than 5 s",
    "silent": "",
    "unwell": "HTTP 503",
    "claims-too-much": "could not be fetched",
}
HASTY = SourceLimits(fetch_seconds=5, silent_seconds=1.5)


@dataclass(frozen=True)
class Trial:
    answers: Mapping[str, Answer]
    seconds: Mapping[str, float]
    grown_bytes: int
    left: list[str]


@pytest.fixture(scope="module")
def trial(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Answers to all of them, in order in each of three threads, like a worker."""
    spool = tmp_path_factory.mktemp("spool")
    answers: dict[str, Answer] = {}
    seconds: dict[str, float] = {}

    def attempt(name: str) -> None:
        began = time.monotonic()
        target = spool / f"{name}.npy"
        limits = SourceLimits() if name == "endless" else HASTY
        order = SourceOrder(
            url=host.url + name,
            download=spool / f"{name}.in",
            target=target,
            limits=limits,
            rules=LOOPBACK,
        )
        answers[name] = prepare(order)
        seconds[name] = time.monotonic() - began

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(attempt, [*REFUSED, *AWAY, *WORDS]))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return Trial(answers, seconds, grown * 1024, [path.name for path in spool.iterdir()])


@pytest.mark.parametrize("name", WORDS)
def test_a_hostile_file_is_refused_by_name(trial: Trial, name: str) -> None:
    answer = trial.answers[name]
    assert isinstance(answer, SourceRefused), answer
    assert WORDS[name] in answer.message


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_other_try_would_change_is_refused(trial: Trial, name: str) -> None:
    answer = trial.answers[name]
    assert isinstance(answer, SourceRefused), answer
    assert REFUSED[name] in answer.message


@pytest.mark.parametrize("name", AWAY)
def test_what_may_be_there_another_time_is_away(trial: Trial, name: str) -> None:
    answer = trial.answers[name]
    assert isinstance(answer, SourceAway), answer
    assert AWAY[name] in answer.message
    assert not answer.is_disk_full


def test_each_hostile_file_was_there(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= set(WORDS)


def test_it_takes_seconds_and_no_memory_and_leaves_nothing(trial: Trial) -> None:
    assert max(trial.seconds.values()) < 20
    assert trial.grown_bytes < 60_000_000, "100 MB came in, and 50 MB were folded up"
    assert trial.left == []


def test_a_list_of_local_files_would_be_followed_by_a_careless_reader(folder: Path) -> None:
    """This is why formats are whitelisted."""
    with av.open(folder / "list.ffconcat", options={"safe": "0"}) as container:
        assert container.streams.audio


def test_a_redirects_body_is_not_read(host: Host, tmp_path: Path) -> None:
    order = SourceOrder(
        url=f"{host.url}endless-redirect",
        download=tmp_path / "in",
        target=tmp_path / "out.npy",
        limits=HASTY,
        rules=LOOPBACK,
    )
    assert isinstance(prepare(order), PreparedSource)


@pytest.mark.parametrize("name", ["good.flac", "secret.wav"])
def test_the_workers_own_network_is_not_reached(host: Host, tmp_path: Path, name: str) -> None:
    host.asked.clear()
    order = SourceOrder(
        url=host.url + name,
        download=tmp_path / "in",
        target=tmp_path / "out.npy",
        limits=HASTY,
        rules=replace(LOOPBACK, networks=()),
    )
    answer = prepare(order)
    assert isinstance(answer, SourceRefused)
    assert "127.0.0.1 is not a public address" in answer.message
    assert host.asked == []
