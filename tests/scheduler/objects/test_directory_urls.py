"""Signatures of the directory store's URLs."""

from itertools import combinations

import pytest

from trackfarm_scheduler.objects.directory_urls import SignatureCheck, signature, verdict

SECRET = b"0123456789abcdef"
GIVEN = signature(SECRET, "GET", "a/b", 1000, "x.mp3")


def judged(
    secret: bytes = SECRET,
    method: str = "GET",
    key: str = "a/b",
    expires: str = "1000",
    given: str = GIVEN,
    filename: str = "x.mp3",
    now: float = 999.9,
) -> SignatureCheck:
    return verdict(secret, method, key, expires=expires, given=given, filename=filename, now=now)


def test_signature_is_valid_until_it_expires() -> None:
    assert judged() is SignatureCheck.GOOD
    assert judged(now=1000) is SignatureCheck.EXPIRED


def test_signature_covers_every_part() -> None:
    wrong = (
        judged(secret=b"another secret!!"),
        judged(method="PUT"),
        judged(key="a/c"),
        judged(expires="1001"),
        judged(filename=""),
        judged(given=GIVEN.upper()),
    )
    assert set(wrong) == {SignatureCheck.WRONG}


@pytest.mark.parametrize("expires", ["", "-1", "1e9", " 1000", "1000\n", "9" * 13, "\u0661\u0660"])
def test_signature_with_an_invalid_time_is_wrong(expires: str) -> None:
    assert judged(expires=expires) is SignatureCheck.WRONG


@pytest.mark.parametrize("given", ["", "é", "\udcff", "0"])
def test_signature_with_other_characters_is_wrong(given: str) -> None:
    assert judged(given=given) is SignatureCheck.WRONG


def test_signature_that_is_wrong_and_expired_is_called_wrong() -> None:
    assert judged(given="0" * 64, now=2000) is SignatureCheck.WRONG


def test_signature_keeps_its_parts_apart() -> None:
    rights = [
        ("GET", "a", 1, "b"),
        ("GET", "a", 1, ""),
        ("GET", "a1", 1, ""),
        ("GET", "a", 11, ""),
        ("GETa", "", 1, ""),
    ]
    signatures = [signature(SECRET, *right) for right in rights]
    assert all(one != other for one, other in combinations(signatures, 2))
