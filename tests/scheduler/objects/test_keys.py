"""Object keys."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackfarm_scheduler.objects.keys import UnsafeKey, attempt_key, checked_key, upload_key

TRACK = "ab" + "0" * 30


def test_attempt_key_has_track_and_lease() -> None:
    assert attempt_key(TRACK, "lease-1", "mp3") == f"tracks/ab/{TRACK}/lease-1.mp3"


@pytest.mark.parametrize(
    ("track_key", "lease_id", "audio_format"),
    [
        (TRACK.upper(), "l", "mp3"),
        (TRACK[:-1], "l", "mp3"),
        (TRACK + "\n", "l", "mp3"),
        (TRACK, "", "mp3"),
        (TRACK, "../l", "mp3"),
        (TRACK, "l" * 65, "mp3"),
        (TRACK, "l", ".mp3"),
        (TRACK, "l", ""),
    ],
)
def test_attempt_key_refuses_other_forms(track_key: str, lease_id: str, audio_format: str) -> None:
    with pytest.raises(UnsafeKey, match="must match"):
        attempt_key(track_key, lease_id, audio_format)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("a/../b")
@example("~/.ssh")
@example("a\u2028b")
@example("\ud800")
def test_checked_key_stays_below_its_folder(text: str) -> None:
    try:
        key = checked_key(text)
    except UnsafeKey:
        return
    path = PurePosixPath("/store") / key
    assert path.parts[:2] == ("/", "store")
    assert ".." not in path.parts
    assert str(path) == f"/store/{text}"
    assert "\x00" not in text
    text.encode()


@pytest.mark.parametrize(
    ("key", "flaw"),
    [("é" * 128, "a part longer than 255"), ("a/" * 512 + "b", "is longer than 1024")],
)
def test_checked_key_refuses_long_keys(key: str, flaw: str) -> None:
    with pytest.raises(UnsafeKey, match=flaw):
        checked_key(key)


def test_checked_key_accepts_the_longest_key() -> None:
    assert checked_key("a" * 255 + "/b" * 384 + "c")


def test_upload_key_has_owner_and_content() -> None:
    sha256 = "ab" + "0" * 62
    assert checked_key(upload_key("operator", sha256)) == f"uploads/operator/ab/{sha256}"


@pytest.mark.parametrize(
    ("owner", "sha256"),
    [("a/b", "0" * 64), ("", "0" * 64), ("..", "0" * 64), ("me", "0" * 63), ("me", "Z" * 64)],
)
def test_upload_key_refuses_other_forms(owner: str, sha256: str) -> None:
    with pytest.raises(UnsafeKey):
        upload_key(owner, sha256)
