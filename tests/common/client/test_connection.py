"""Connection settings: retries, errors, and hashing of downloads."""

import hashlib
from pathlib import Path

import httpx
import pytest
from tenacity import Retrying

from trackfarm.client.connection import Connection, HashingFile, connect, download_failed
from trackfarm.client.errors import (
    FarmBusy,
    FarmUnreachable,
    RequestRefused,
    RetryableResponse,
    ServerError,
    UnsafeAddress,
    was_lost,
    was_not_sent,
)
from trackfarm.protocol.base import ProblemDetails
from trackfarm.settings import ClientSettingsError

FARM = Connection("http://127.0.0.1:1", "key", retry_seconds=5)


def answer(kind: type[RetryableResponse], status: int, seconds: float | None) -> RetryableResponse:
    return kind(ProblemDetails(title="No", status=status, detail="why"), seconds)


def attempts_until(
    error: Exception, *, retry_if: object, times: int = 2
) -> tuple[int, list[float]]:
    """Fail `times` times with `error`, then succeed; return the attempts and the waits."""
    waits: list[float] = []
    count = 0

    def attempt() -> None:
        nonlocal count
        count += 1
        if count <= times:
            raise error

    options = FARM.retry_options(retry_if)  # type: ignore[arg-type]
    Retrying(**options, sleep=waits.append)(attempt)
    return count, waits


def test_retry_options_wait_as_long_as_retry_after_says() -> None:
    error = answer(FarmBusy, 429, 1.5)
    assert attempts_until(error, retry_if=was_not_sent) == (3, [1.5, 1.5])


def test_retry_options_back_off_without_retry_after() -> None:
    count, waits = attempts_until(answer(ServerError, 503, None), retry_if=was_lost, times=4)
    assert count == 5
    assert waits[0] < 0.3
    assert waits[3] > 0.7


def test_retry_options_raise_errors_of_calls_that_must_not_run_twice() -> None:
    with pytest.raises(ServerError):
        attempts_until(answer(ServerError, 503, None), retry_if=was_not_sent)
    with pytest.raises(httpx.ReadError):
        attempts_until(httpx.ReadError("gone"), retry_if=was_not_sent)
    count, _ = attempts_until(httpx.ConnectError("refused"), retry_if=was_not_sent)
    assert count == 3


def test_retry_options_stop_before_the_time_is_over() -> None:
    with pytest.raises(FarmBusy):
        attempts_until(answer(FarmBusy, 429, 6.0), retry_if=was_lost)


def test_final_error_tells_a_missing_farm_from_a_refusal() -> None:
    missing = FARM.final_error(answer(ServerError, 503, None))
    assert isinstance(missing, FarmUnreachable)
    assert "it answers 503" in str(missing)
    assert isinstance(FARM.final_error(answer(ServerError, 500, None)), RequestRefused)
    assert isinstance(FARM.final_error(answer(FarmBusy, 429, None)), RequestRefused)
    assert "ConnectTimeout" in str(FARM.final_error(httpx.ConnectTimeout("")))


def test_download_failed_says_what_the_store_answered() -> None:
    assert str(download_failed(answer(ServerError, 503, None))) == "the object store answered 503"
    assert str(download_failed(httpx.ReadTimeout(""))) == "ReadTimeout"


def test_store_options_have_no_key() -> None:
    assert FARM.farm_options()["headers"] == {"Authorization": "Bearer key"}
    assert "headers" not in FARM.store_options()


def test_connect_refuses_clear_text_unless_told_otherwise() -> None:
    options = {"retry_seconds": 1.0, "timeout": 1.0, "ca_file": None}
    with pytest.raises(UnsafeAddress, match=r"https://farm\.example"):
        connect("http://farm.example", "key", **options, insecure=False)  # type: ignore[arg-type]
    farm = connect("http://farm.example/", "key", **options, insecure=True)  # type: ignore[arg-type]
    assert farm.url == "http://farm.example"


def test_connect_refuses_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(ClientSettingsError, match="TRACKFARM_CA_FILE"):
        connect(
            "https://farm.example",
            "key",
            retry_seconds=1,
            timeout=1,
            ca_file=tmp_path / "none.crt",
            insecure=False,
        )


def test_hashing_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    with HashingFile(tmp_path / "song.mp3") as file:
        file.write(b"la")
        file.write(b"la")
    assert (tmp_path / "song.mp3").read_bytes() == b"lala"
    assert file.sha256 == hashlib.sha256(b"lala").hexdigest()
