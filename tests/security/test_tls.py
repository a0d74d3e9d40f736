"""Every connection verifies its peer: a wrong authority or a wrong name ends it."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import ConnectionError as Gone

from tests.security.guarded_farm import API_KEY, FACTS, GuardedFarm
from tests.servers.s3 import S3Access
from tests.servers.tls import HOST, Certificates, behind_tls, certificates
from trackfarm.broker import celery_app
from trackfarm.client import Client, FarmUnreachable
from trackfarm.protocol.worker import RegisterRequest
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.objects import ObjectStoreError, open_store
from trackfarm_worker.scheduler_client import SchedulerClient, SchedulerUnavailable
from trackfarm_worker.sources.fetch import Fetched, fetch
from trackfarm_worker.sources.protocol import SourceLimits, SourceUnavailable

NOT_PROVED = "certificate verify failed|CERTIFICATE_VERIFY_FAILED|not valid for"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority that the farm does not trust."""
    return certificates(tmp_path_factory.mktemp("stranger") / "certificates")


def connected(url: str) -> bool:
    """True if Celery's connection reaches the broker, made as worker and scheduler do."""
    with closing(celery_app(url, client_name="probe")) as app:
        connection: Connection = app.connection_for_read()
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_max=0)
            return bool(connection.connected)


def wrong(kind: str, url: str, stranger: Certificates, own: Certificates) -> str:
    if kind == "name":
        return url.replace(f"@{HOST}:", "@127.0.0.1:")
    return url.replace(str(own.authority), str(stranger.authority))


def test_celery_reaches_the_verified_broker(guarded: GuardedFarm) -> None:
    assert connected(guarded.broker.url)


@pytest.mark.parametrize("kind", ["authority", "name"])
def test_celery_reaches_no_other_broker(
    guarded: GuardedFarm, stranger: Certificates, kind: str
) -> None:
    with pytest.raises(OperationalError, match=NOT_PROVED):
        connected(wrong(kind, guarded.broker.url, stranger, guarded.files))


@pytest.mark.parametrize("kind", ["authority", "name"])
def test_scheduler_reaches_no_other_broker(
    guarded: GuardedFarm, stranger: Certificates, kind: str
) -> None:
    url = wrong(kind, guarded.broker.url, stranger, guarded.files)
    with closing(Broker(url)) as broker, closing(BrokerUsers(url)) as users:
        assert not broker.is_up()
        assert not users.delete(["worker_0001"])
    with Redis.from_url(url) as client, pytest.raises(Gone, match=NOT_PROVED):
        client.ping()


def test_public_authorities_do_not_verify_the_broker(guarded: GuardedFarm) -> None:
    url = guarded.broker.url.partition("&ssl_ca_certs")[0]
    with pytest.raises(OperationalError, match=NOT_PROVED):
        connected(url)


def test_operator_reaches_no_other_scheduler(guarded: GuardedFarm, stranger: Certificates) -> None:
    by_address = guarded.url.replace(HOST, "127.0.0.1")
    for url, authority in (
        (guarded.url, stranger.authority),
        (by_address, guarded.files.authority),
        (guarded.url, None),
    ):
        with Client(url, API_KEY, retry_seconds=0, ca_file=authority) as farm:
            assert not farm.is_healthy()
            with pytest.raises(FarmUnreachable, match=NOT_PROVED):
                farm.workers()


def test_worker_reaches_no_other_scheduler(guarded: GuardedFarm, stranger: Certificates) -> None:
    trusts = ssl.create_default_context(cafile=stranger.authority)
    with (
        closing(SchedulerClient(guarded.url, token="t", verify=trusts)) as client,
        pytest.raises(SchedulerUnavailable, match=NOT_PROVED),
    ):
        client.register(RegisterRequest.model_validate(FACTS))


def test_source_fetch_trusts_only_the_given_authority(
    guarded: GuardedFarm, stranger: Certificates, tmp_path: Path
) -> None:
    url, target, limits = f"{guarded.url}/healthz", tmp_path / "got", SourceLimits()
    trusted = fetch(url, target, limits, is_signed=True, ca_file=str(guarded.files.authority))
    assert isinstance(trusted, Fetched)
    other = fetch(url, target, limits, is_signed=True, ca_file=str(stranger.authority))
    assert isinstance(other, SourceUnavailable)
    assert "CERTIFICATE_VERIFY_FAILED" in other.message


def test_command_line_takes_the_authority_from_its_setting(guarded: GuardedFarm) -> None:
    environment = {
        "PATH": "",
        "TRACKFARM_URL": guarded.url,
        "TRACKFARM_API_KEY": API_KEY,
        "TRACKFARM_CA_FILE": str(guarded.files.authority),
    }
    command = [sys.executable, "-m", "trackfarm.cli", "workers", "invite", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"token"' in done.stdout


@pytest.fixture(scope="module")
def store_behind_tls(
    swift: S3Access, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Certificates]]:
    files = certificates(tmp_path_factory.mktemp("store") / "certificates")
    with behind_tls(int(swift.endpoint.rpartition(":")[2]), files) as port:
        yield f"https://{HOST}:{port}", files


def test_scheduler_reaches_no_other_store(
    store_behind_tls: tuple[str, Certificates], swift: S3Access, stranger: Certificates
) -> None:
    url, files = store_behind_tls
    opened = partial(
        open_store,
        access_key=swift.access_key,
        secret_key=swift.secret_key,
        region=swift.region,
    )
    opened(f"{url}/proved", ca_file=files.authority).check()
    for base, authority in (
        (url, stranger.authority),
        (url.replace(HOST, "127.0.0.1"), files.authority),
        (url, None),
    ):
        with pytest.raises(ObjectStoreError, match=NOT_PROVED):
            opened(f"{base}/proved", ca_file=authority).check()


def test_scheduler_serves_no_plain_http(guarded: GuardedFarm) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(guarded.url.replace("https", "http") + "/healthz")
