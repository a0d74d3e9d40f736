"""AWS signature version 4 of a URL that also binds headers, which the S3 client cannot sign.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signer:
    """Key pair and region of a signature."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str


def presigned(
    signer: Signer,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    signed_at: datetime,
    expires: int,
) -> str:
    """Return `url` (encoded, without a query) with a signature valid for `expires` seconds and only
    together with `headers`, which have lower-case names."""
    parts = urlsplit(url)
    at = signed_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{at[:8]}/{signer.region}/s3/aws4_request"
    bound = {"host": parts.netloc, **headers}
    names = ";".join(sorted(bound))
    query = _query(
        {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{signer.access_key}/{scope}",
            "X-Amz-Date": at,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": names,
        }
    )
    lines = "".join(f"{name}:{bound[name].strip()}\n" for name in sorted(bound))
    request = "\n".join([method, parts.path or "/", query, lines, names, "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{at}\n{scope}\n{digest}"
    signature = hmac.new(_key(signer, at[:8]), text.encode(), hashlib.sha256).hexdigest()
    return f"{url}?{query}&X-Amz-Signature={signature}"


def _query(values: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(values[name], safe='')}" for name in sorted(values))


def _key(signer: Signer, day: str) -> bytes:
    key = f"AWS4{signer.secret_key}".encode()
    for part in (day, signer.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
