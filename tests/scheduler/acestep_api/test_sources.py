"""Source audio of a call: its duration, and references to earlier results."""

import wave
from pathlib import Path

import pytest

from trackfarm_scheduler.acestep_api.responses import file_address
from trackfarm_scheduler.acestep_api.sources import path_problem, result_key, seconds_of

KEY = "tracks/ab/a b/lease_1.mp3"


def test_seconds_are_read_from_the_header_of_a_file(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"\0\0" * 12_000)
    assert seconds_of(tmp_path / "a.wav") == pytest.approx(1.5)


def test_seconds_are_unknown_for_a_file_without_audio(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio" * 100)
    assert seconds_of(tmp_path / "a.wav") is None


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        (file_address(KEY), KEY),
        (f"http://farm.example:8700{file_address(KEY)}", KEY),
        (f"object:{KEY}", KEY),
        ("/v1/audio", None),
        ("https://example.org/a.mp3?path=x", None),
    ],
)
def test_result_key_is_found_in_the_file_of_an_earlier_result(
    reference: str, key: str | None
) -> None:
    assert result_key(reference) == key


@pytest.mark.parametrize("path", ["/etc/passwd", "song.mp3", "../x"])
def test_local_paths_are_refused(path: str) -> None:
    assert "upload the file" in (path_problem(path) or "")
    assert path_problem("https://example.org/a.mp3") is None
