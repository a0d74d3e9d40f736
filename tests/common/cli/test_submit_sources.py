"""Local sources of a catalog: checked, uploaded and named by content."""

import hashlib
from pathlib import Path

import pytest

from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.state import FarmState

TINY = ("--model-set", "tiny")  # it makes covers
HEAD = "prompt,duration,task_type,src_audio,reference_audio\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "one.flac").write_bytes(b"one")
    (tmp_path / "two.wav").write_bytes(b"two")
    path = tmp_path / "covers.csv"
    path.write_text(
        HEAD
        + "a,30,cover,music/one.flac,\n"
        + f"b,30,cover,music/../music/one.flac,{tmp_path}/two.wav\n"
        + "c,30,cover,https://example.org/c.wav,object:tracks/00/x.mp3\n"
        + "d,30,,,\n"
    )
    return path


def named(content: bytes) -> str:
    return f"upload:{hashlib.sha256(content).hexdigest()}"


def test_submit_uploads_missing_sources_and_names_them_by_content(
    trackfarm: Trackfarm, farm: FarmState, catalog: Path
) -> None:
    farm.uploads[named(b"two").removeprefix("upload:")] = b"two"
    result = trackfarm("submit", catalog, *TINY)
    assert result.exit_code == 0, result.stderr
    assert sorted(farm.uploads.values()) == [b"one", b"two"]
    ((_, briefs),) = farm.submissions
    assert [(b.src_audio, b.reference_audio) for b in briefs] == [
        (named(b"one"), None),
        (named(b"one"), named(b"two")),
        ("https://example.org/c.wav", "object:tracks/00/x.mp3"),
        (None, None),
    ]


def test_submit_gives_equal_content_the_same_name(
    trackfarm: Trackfarm, farm: FarmState, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.wav").write_bytes(b"music")
        (folder / "covers.csv").write_text(f"{HEAD}a,30,cover,{name}.wav,\n")
        assert trackfarm("submit", folder / "covers.csv", *TINY).exit_code == 0
    (_, (first,)), (_, (second,)) = farm.submissions
    assert first.canonical() == second.canonical()


def test_submit_reports_missing_files_as_problems(
    trackfarm: Trackfarm, farm: FarmState, tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "there.wav").write_bytes(b"x")
    catalog = tmp_path / "covers.csv"
    catalog.write_text(
        HEAD
        + "a,30,cover,there.wav,\n"
        + "b,30,cover,gone.wav,empty.wav\n"
        + "c,5,cover,there.wav,\n"
        + "d,30,cover,ftp://x/y.wav,upload:12\n"
    )
    for command in ("check", "submit", "plan"):
        result = trackfarm(command, catalog)
        assert result.exit_code == 2
        for place, words in (
            ("3: src_audio", "no such file"),
            ("3: reference_audio", "is empty"),
            ("4: duration", "too small"),
            ("5: src_audio", "ftp:"),
            ("5: reference_audio", "SHA-256"),
        ):
            lines = [line for line in result.stderr.splitlines() if f"covers.csv:{place}" in line]
            assert len(lines) == 1, result.stderr
            assert words in lines[0]
    assert (farm.uploads, farm.submissions) == ({}, [])


def test_submit_refuses_a_file_that_is_too_large_before_sending(
    trackfarm: Trackfarm, farm: FarmState, tmp_path: Path
) -> None:
    with (tmp_path / "big.wav").open("wb") as file:
        file.truncate(100_000_001)
    catalog = tmp_path / "covers.csv"
    catalog.write_text(f"{HEAD}a,30,cover,big.wav,\n")
    result = trackfarm("submit", catalog)
    assert result.exit_code == 2
    assert "over 100 MB" in result.stderr
    assert farm.uploads == {}


@pytest.mark.usefixtures("no_farm")
def test_check_needs_no_farm(catalog: Path) -> None:
    assert run("check", catalog).exit_code == 0
