"""Object keys."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackfarm_scheduler.objects.keys import UnsafeKey, attempt_key, checked_key, upload_key

TRACK = "ab" + "0" * 30


def test_an_attempt_is_named_after_track_and_lease() -> None:
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
def test_an_attempt_key_is_made_of_known_forms_only(
    track_key: str, lease_id: str, audio_format: str
) -> None:
    with pytest.raises(UnsafeKey, match="must match"):
        attempt_key(track_key, lease_id, audio_format)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("a/../b")
@example("~/.ssh")
@example("a\u2028b")
@example("\ud800")
def test_a_checked_key_stays_below_its_folder(text: str) -> None:
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
def test_long_keys_are_refused(key: str, flaw: str) -> None:
    with pytest.raises(UnsafeKey, match=flaw):
        checked_key(key)


def test_the_longest_key_is_accepted() -> None:
    assert checked_key("a" * 255 + "/b" * 384 + "c")


def test_uploads_are_named_by_owner_and_content() -> None:
    sha256 = "ab" + "0" * 62
    assert checked_key(upload_key("operator", sha256)) == f"uploads/operator/ab/{sha256}"


@pytest.mark.parametrize(
    ("owner", "sha256"),
    [("a/b", "0" * 64), ("", "0" * 64), ("..", "0" * 64), ("me", "0" * 63), ("me", "Z" * 64)],
)
def test_uploads_of_another_form_have_no_key(owner: str, sha256: str) -> None:
    with pytest.raises(UnsafeKey):
        upload_key(owner, sha256)
