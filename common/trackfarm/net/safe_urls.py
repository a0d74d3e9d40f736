"""URLs of the farm's parts: safety checks, and broker URLs with a worker's credentials.

Only loopback addresses may be reached in clear text.
"""

import ipaddress
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
PLAIN, OVER_TLS = "redis", "rediss"
VERIFIED = {"ssl_cert_reqs": "required"}
_REQUIRED = frozenset({"required", "CERT_REQUIRED"})


def is_loopback(host: str | None) -> bool:
    """Return True if a host, of a URL or to listen on, is the loopback of this machine."""
    if not host:
        return False
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def http_url_problem(url: str, *, setting: str, insecure: str) -> str | None:
    """Return why an HTTP address is unsafe and its safe replacement; None if it may be used.

    `setting` and `insecure` name the variables that hold the address and that allow clear text.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or is_loopback(parts.hostname):
        return None
    better = f"https://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return (
        f"{setting} would send keys and tokens unencrypted over the network:"
        f" write {setting}={better} (see docs/production.md, TLS),"
        f" or {insecure}=true in a network that you trust"
    )


def broker_url_problem(url: str, *, setting: str, insecure: str) -> str | None:
    """Return why a broker URL is unsafe and its safe replacement; None if it may be used.

    kombu connects to `rediss://` without verifying the certificate unless the URL has
    `ssl_cert_reqs=required`. The message never contains the password.
    """
    parts = urlsplit(url)
    if parts.scheme not in (PLAIN, OVER_TLS):
        return f"{setting} must begin with redis:// or rediss://, got {parts.scheme}://"
    if parts.scheme == OVER_TLS and not _verifies(parts):
        why = "would accept any server, because it does not verify the certificate"
    elif parts.scheme == PLAIN and not is_loopback(parts.hostname):
        why = "would send passwords unencrypted over the network"
    elif not parts.password and not is_loopback(parts.hostname):
        why = "has no password: anyone who can reach the broker has full access"
    else:
        return None
    remedy = f"write {setting}={_safe(parts)}, or {insecure}=true in a network that you trust"
    return f"{setting} {why}: {remedy}"


def broker_credentials_problem(url: str, *, setting: str) -> str | None:
    """Return an error if the broker URL given to workers has credentials, else None."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        return f"{setting} must not contain credentials: each worker gets its own"
    return None


def worker_broker_url(url: str, *, user: str, password: str) -> str:
    """Return the broker URL with a worker's credentials, without the farm's and local paths."""
    parts = urlsplit(url)
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{_place(parts)}"
    query = urlencode(VERIFIED) if parts.scheme == OVER_TLS else ""
    return urlunsplit((parts.scheme, netloc, parts.path or "/0", query, ""))


def with_ca_file(url: str, ca_file: Path | None) -> str:
    """Return the URL with the authority in `ca_file` trusted too, unless it names another."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme != OVER_TLS or ca_file is None or "ssl_ca_certs" in query:
        return url
    query["ssl_ca_certs"] = str(ca_file)
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def database_number(url: str) -> int:
    """Return the number of the Redis database in a URL; 0 unless the URL has one."""
    path = urlsplit(url).path.strip("/")
    return int(path) if path.isdecimal() else 0


def _verifies(parts: SplitResult) -> bool:
    query = dict(parse_qsl(parts.query))
    by_name = query.get("ssl_check_hostname", "true").lower() not in ("false", "0", "no", "n", "f")
    return query.get("ssl_cert_reqs") in _REQUIRED and by_name


def _safe(parts: SplitResult) -> str:
    options = {n: v for n, v in parse_qsl(parts.query) if n != "ssl_check_hostname"}
    user = quote(unquote(parts.username or ""), safe="")
    netloc = f"{user}:<password>@{_place(parts)}"
    query = urlencode(options | VERIFIED, safe="/")
    return urlunsplit((OVER_TLS, netloc, parts.path or "/0", query, ""))


def _place(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
