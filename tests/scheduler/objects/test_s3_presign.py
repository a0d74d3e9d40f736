"""Signature of a URL, compared with the example that AWS gives for its algorithm."""

from datetime import UTC, datetime

from trackfarm_scheduler.objects.s3_presign import Signer, presigned

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, "An Example"
EXAMPLE = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
URL = "https://examplebucket.s3.amazonaws.com/test.txt"
AT = datetime(2013, 5, 24, tzinfo=UTC)


def signature(url: str) -> str:
    return url.rpartition("X-Amz-Signature=")[2]


def test_signature_is_the_one_of_aws() -> None:
    url = presigned(EXAMPLE, "GET", URL, headers={}, signed_at=AT, expires=86_400)
    assert url == (
        f"{URL}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_signature_covers_bound_headers() -> None:
    bound = presigned(EXAMPLE, "PUT", URL, headers={"if-none-match": "*"}, signed_at=AT, expires=60)
    free = presigned(EXAMPLE, "PUT", URL, headers={}, signed_at=AT, expires=60)
    assert "X-Amz-SignedHeaders=host%3Bif-none-match" in bound
    assert signature(bound) != signature(free)


def test_signer_does_not_show_its_secret() -> None:
    assert EXAMPLE.secret_key not in repr(EXAMPLE)
