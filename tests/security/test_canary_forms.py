"""Tests of the search for canaries: an unrecognisable canary would prove nothing."""

import base64
from urllib.parse import quote

import pytest

from tests.security.canaries import canary, leaks


@pytest.mark.parametrize("lead", ["", "x", "xy", "user:"])
def test_leak_check_finds_each_encoding(lead: str) -> None:
    """A canary is found in each encoding and at each offset in the encoded text."""
    secret = canary("proof")
    for form in (
        f"{lead}{secret} tail".encode(),
        base64.b64encode(f"{lead}{secret}:tail".encode()),
        base64.urlsafe_b64encode(f"{lead}{secret}".encode()),
        quote(f"{lead}/{secret}", safe="").encode(),
        secret.encode().hex().encode(),
    ):
        assert leaks(b"before " + form + b" after", {"proof": secret}) == ["proof"]
