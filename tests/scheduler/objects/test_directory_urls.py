"""Signatures of the directory store's URLs."""

from itertools import combinations

import pytest

from trackfarm_scheduler.objects.directory_urls import SignatureCheck, check_signature, sign

SECRET = b"0123456789abcdef"
SIGNATURE = sign(SECRET, "GET", "a/b", 1000, "x.mp3")


def check(
    secret: bytes = SECRET,
    method: str = "GET",
    key: str = "a/b",
    expires: str = "1000",
    signature: str = SIGNATURE,
    filename: str = "x.mp3",
    now: float = 999.9,
) -> SignatureCheck:
    return check_signature(
        secret, method, key, expires=expires, signature=signature, filename=filename, now=now
    )


def test_signature_is_valid_until_it_expires() -> None:
    assert check() is SignatureCheck.GOOD
    assert check(now=1000) is SignatureCheck.EXPIRED


def test_signature_covers_every_part() -> None:
    wrong = (
        check(secret=b"another secret!!"),
        check(method="PUT"),
        check(key="a/c"),
        check(expires="1001"),
        check(filename=""),
        check(signature=SIGNATURE.upper()),
    )
    assert set(wrong) == {SignatureCheck.WRONG}


@pytest.mark.parametrize("expires", ["", "-1", "1e9", " 1000", "1000\n", "9" * 13, "\u0661\u0660"])
def test_signature_with_an_invalid_time_is_wrong(expires: str) -> None:
    assert check(expires=expires) is SignatureCheck.WRONG


@pytest.mark.parametrize("signature", ["", "é", "\udcff", "0"])
def test_signature_with_other_characters_is_wrong(signature: str) -> None:
    assert check(signature=signature) is SignatureCheck.WRONG


def test_signature_that_is_wrong_and_expired_is_called_wrong() -> None:
    assert check(signature="0" * 64, now=2000) is SignatureCheck.WRONG


def test_signature_keeps_its_parts_apart() -> None:
    rights = [
        ("GET", "a", 1, "b"),
        ("GET", "a", 1, ""),
        ("GET", "a1", 1, ""),
        ("GET", "a", 11, ""),
        ("GETa", "", 1, ""),
    ]
    signatures = [sign(SECRET, *right) for right in rights]
    assert all(one != other for one, other in combinations(signatures, 2))
