"""Security check of the scheduler's settings: unsafe values and their replacements. Pure."""

from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from trackfarm.net.safe_urls import (
    broker_credentials_problem,
    broker_url_problem,
    http_url_problem,
    is_loopback,
)
from trackfarm_scheduler.settings import SchedulerSettings

_PREFIX = "TRACKFARM_SCHEDULER_"
_INSECURE = f"{_PREFIX}INSECURE"
_PROVED = frozenset({"verify-full", "verify-ca"})


def faults(settings: SchedulerSettings) -> list[str]:
    """Return one sentence per setting that must be changed; an empty list when the farm may
    start."""
    problems = [*_contradictions(settings)]
    if settings.insecure:
        return problems
    optional_faults = [
        _serving_fault(settings),
        broker_url_problem(
            settings.broker_url.get_secret_value(),
            setting=f"{_PREFIX}BROKER_URL",
            insecure=_INSECURE,
        ),
        _outside_fault(settings.broker_external_url),
        *(_store_fault(name, url) for name, url in _stores(settings)),
        _database_fault(settings.database_url.get_secret_value()),
    ]
    return problems + [fault for fault in optional_faults if fault]


def _contradictions(settings: SchedulerSettings) -> list[str]:
    problems = []
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        problems.append(f"{_PREFIX}TLS_CERTIFICATE and {_PREFIX}TLS_KEY go together; set both")
    external_url = settings.broker_external_url
    if external_url and (
        fault := broker_credentials_problem(external_url, setting=f"{_PREFIX}BROKER_EXTERNAL_URL")
    ):
        problems.append(fault)
    return problems


def _serving_fault(settings: SchedulerSettings) -> str | None:
    if settings.behind_tls_proxy:
        if urlsplit(settings.public_url).scheme == "https":
            return None
        return (
            f"{_PREFIX}BEHIND_TLS_PROXY needs {_PREFIX}PUBLIC_URL=https://…, the address of the"
            " proxy as workers and operators reach it"
        )
    if not is_loopback(settings.host) and not settings.tls_certificate:
        return (
            f"{_PREFIX}HOST={settings.host} would serve keys and tokens unencrypted: set"
            f" {_PREFIX}TLS_CERTIFICATE and {_PREFIX}TLS_KEY (`trackfarm ca create` makes them),"
            f" or {_PREFIX}BEHIND_TLS_PROXY=true with {_PREFIX}PUBLIC_URL=https://…,"
            f" or {_INSECURE}=true in a network that you trust"
        )
    return http_url_problem(settings.own_url, setting=f"{_PREFIX}PUBLIC_URL", insecure=_INSECURE)


def _outside_fault(url: str) -> str | None:
    if not url:
        return None
    # Every worker uses its own password, so the setting contains none; the check needs one.
    with_password = url.replace("://", "://worker:password@", 1)
    fault = broker_url_problem(
        with_password, setting=f"{_PREFIX}BROKER_EXTERNAL_URL", insecure=_INSECURE
    )
    return fault.replace("worker:<password>@", "") if fault else None


def _stores(settings: SchedulerSettings) -> list[tuple[str, str]]:
    return [
        ("OBJECTS_URL", settings.objects_url),
        ("OBJECTS_EXTERNAL_URL", settings.objects_external_url),
    ]


def _store_fault(name: str, url: str) -> str | None:
    return http_url_problem(url, setting=_PREFIX + name, insecure=_INSECURE)


def _database_fault(url: str) -> str | None:
    try:
        database = make_url(url)
    except ArgumentError:
        return f"{_PREFIX}DATABASE_URL is not a valid database URL"
    hosts = database.query.get("host", database.host) or ""
    if database.get_backend_name() == "sqlite" or not _is_far(hosts):
        return None
    if database.query.get("sslmode") in _PROVED:
        return None
    suggestion = database.update_query_dict({"sslmode": "verify-full"})
    return (
        f"{_PREFIX}DATABASE_URL would connect without checking the server's certificate:"
        f" write {_PREFIX}DATABASE_URL={suggestion.render_as_string(hide_password=True)},"
        f" or {_INSECURE}=true in a network that you trust"
    )


def _is_far(configured: str | tuple[str, ...]) -> bool:
    hosts = configured if isinstance(configured, tuple) else (configured,)
    # Without a host, or with a socket path, libpq stays on this machine.
    return any(host and not host.startswith("/") and not is_loopback(host) for host in hosts)
