"""Notation of sources, and their errors."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief, brief_problems
from trackfarm.catalog.source_refs import file_problems, is_local, local_file, source_problem

SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "name",
    [
        "https://example.org/a.mp3?id=1",
        "HTTP://example.org/a.mp3",
        f"upload:{SHA256}",
        "object:tracks/00/some/lease.mp3",
        "music/a.wav",
        "a song: the remix.wav",
        "/tmp/a.wav",
        "~/a.wav",
        "C:\\music\\a.wav",
    ],
)
def test_source_names_that_are_valid(name: str) -> None:
    assert source_problem(name) is None
    assert brief(src_audio=name).src_audio == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file:///etc/passwd", "file:"),
        ("ftp://example.org/a.wav", "ftp:"),
        ("concat:a.wav|b.wav", "concat:"),
        ("data:audio/wav;base64,AAAA", "data:"),
        ("https://", "without a host"),
        ("upload:abc", "SHA-256"),
        (f"upload:{SHA256.upper()}", "SHA-256"),
        (f"upload:{SHA256}/../x", "SHA-256"),
        ("object:", "without a key"),
    ],
)
def test_source_names_that_are_invalid_are_problems_of_their_row(name: str, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        brief(src_audio=name, reference_audio=name)
    faults = brief_problems(error.value)
    assert [fault.field for fault in faults] == ["src_audio", "reference_audio"]
    assert all(words in fault.wrong for fault in faults)
    assert all("upload:<sha256>" in fault.remedy for fault in faults)


def test_source_paths_are_relative_to_the_catalog(tmp_path: Path) -> None:
    catalog = tmp_path / "lists" / "covers.csv"
    assert local_file("a.wav", catalog) == tmp_path / "lists" / "a.wav"
    assert local_file(str(tmp_path / "a.wav"), catalog) == tmp_path / "a.wav"
    assert not is_local(f"upload:{SHA256}")


def test_source_problems_are_looked_for_in_local_files_only(tmp_path: Path) -> None:
    (tmp_path / "there.wav").write_bytes(b"x")
    catalog = tmp_path / "covers.csv"
    assert file_problems(brief(src_audio="there.wav").sources(), catalog) == []
    assert file_problems(brief(src_audio="https://example.org/gone.wav").sources(), catalog) == []
    (fault,) = file_problems(brief(src_audio=".").sources(), catalog)
    assert "no such file" in fault.wrong


def brief(**fields: Any) -> Brief:
    return Brief.model_validate({"prompt": "p", "duration": 30, "task_type": "cover", **fields})
