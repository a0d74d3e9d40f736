"""Broker URLs: whether one is safe, what a worker gets of it, and whom it trusts."""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from trackfarm.addresses import is_loopback

PLAIN, OVER_TLS = "redis", "rediss"
VERIFIED = {"ssl_cert_reqs": "required"}
_REQUIRED = frozenset({"required", "CERT_REQUIRED"})


def broker_fault(url: str, *, setting: str, insecure: str) -> str | None:
    """Why a broker's URL must not be used, and what to write instead; None when it may be.

    kombu connects to `rediss://` without asking for a certificate unless the URL says
    `ssl_cert_reqs=required`. No password is repeated.
    """
    parts = urlsplit(url)
    if parts.scheme not in (PLAIN, OVER_TLS):
        return f"{setting} must begin with redis:// or rediss://, got {parts.scheme}://"
    if parts.scheme == OVER_TLS and not _verifies(parts):
        why = "would talk to whoever answers, because it does not ask for a valid certificate"
    elif parts.scheme == PLAIN and not is_loopback(parts.hostname):
        why = "would carry passwords over a network that anyone on the way can read"
    elif not parts.password and not is_loopback(parts.hostname):
        why = "has no password: whoever reaches the broker may do everything there"
    else:
        return None
    return f"{setting} {why}: write {setting}={_safe(parts)}, or {insecure}=true in a network that you trust"


def _verifies(parts: SplitResult) -> bool:
    query = dict(parse_qsl(parts.query))
    by_name = query.get("ssl_check_hostname", "true").lower() not in ("false", "0", "no", "n", "f")
    return query.get("ssl_cert_reqs") in _REQUIRED and by_name


def _safe(parts: SplitResult) -> str:
    kept = {n: v for n, v in parse_qsl(parts.query) if n != "ssl_check_hostname"}
    user = quote(unquote(parts.username or ""), safe="")
    netloc = f"{user}:<password>@{_place(parts)}"
    query = urlencode(kept | VERIFIED, safe="/")
    return urlunsplit((OVER_TLS, netloc, parts.path or "/0", query, ""))


def credentials_fault(url: str, *, setting: str) -> str | None:
    """Why the address that workers are told must be changed: each gets credentials of its own."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        return f"{setting} must not carry credentials: each worker gets its own"
    return None


def for_worker(url: str, *, user: str, password: str) -> str:
    """The broker's URL with a worker's credentials in place of the farm's, and without the paths
    of this machine."""
    parts = urlsplit(url)
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{_place(parts)}"
    query = urlencode(VERIFIED) if parts.scheme == OVER_TLS else ""
    return urlunsplit((parts.scheme, netloc, parts.path or "/0", query, ""))


def with_authority(url: str, ca_file: Path | None) -> str:
    """The URL with the certificate authority of `ca_file` trusted as well, unless it names one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme != OVER_TLS or ca_file is None or "ssl_ca_certs" in query:
        return url
    query["ssl_ca_certs"] = str(ca_file)
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def database_number(url: str) -> int:
    """Which of Redis's numbered databases a URL means; 0 unless it says so."""
    path = urlsplit(url).path.strip("/")
    return int(path) if path.isdecimal() else 0


def _place(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
