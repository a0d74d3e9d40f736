"""Registration with the scheduler: settle the previous session, then join with its token, else with
that of the invitation.

The farm's own certificate authority, when it came with the rental, is written to a file that TLS
libraries can read.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from trackfarm.atomic_file import write_private
from trackfarm.net.safe_urls import broker_url_problem, http_url_problem, with_ca_file
from trackfarm.net.tls import unpack_ca
from trackfarm.protocol.worker import RegisterAnswer, RegisterRequest
from trackfarm.settings import ClientSettingsError
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.scheduler_client import (
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)
from trackfarm_worker.settings import WorkerSettings

log = structlog.get_logger(__name__)
_INSECURE = "TRACKFARM_WORKER_INSECURE"


class Credentials(BaseModel):
    model_config = ConfigDict(frozen=True)

    scheduler_url: str
    worker_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Registration:
    """Registration of this worker. `verify` is the `verify` argument of httpx."""

    settings: WorkerSettings
    verify: ssl.SSLContext | bool

    def join(self, request: RegisterRequest, previous: Credentials | None) -> RegisterAnswer:
        """Register, and wait for a scheduler that is not up yet. The token of the previous session
        is tried first: the invitation may be single-use, and then the previous session has used it.

        Raises SchedulerUnavailable, Unauthorized, RequestRejected or ClientSettingsError.
        """
        invitation = self.settings.join_token.get_secret_value()
        tokens = [previous.token, invitation] if previous is not None else [invitation]
        return self._with_safe_broker(self._try_tokens(tokens, request))

    def _try_tokens(self, tokens: Sequence[str], request: RegisterRequest) -> RegisterAnswer:
        for token in tokens[:-1]:
            try:
                return self._register_with_retries(token, request)
            except Unauthorized as error:
                log.info("previous_session_not_resumed", error=str(error))
        return self._register_with_retries(tokens[-1], request)

    def _register_with_retries(self, token: str, request: RegisterRequest) -> RegisterAnswer:
        client = SchedulerClient(self.settings.scheduler_url, token=token, verify=self.verify)
        retrying = Retrying(
            retry=retry_if_exception_type(SchedulerUnavailable),
            stop=stop_after_delay(self.settings.join_timeout_seconds),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        )
        try:
            return retrying(client.register, request)
        finally:
            client.close()

    def _with_safe_broker(self, registration: RegisterAnswer) -> RegisterAnswer:
        """Return the response with a broker URL that verifies the broker's certificate against our
        CA."""
        url = with_ca_file(registration.broker_url, self.settings.ca_file)
        setting = "TRACKFARM_SCHEDULER_BROKER_EXTERNAL_URL"  # a setting of the scheduler
        problem = broker_url_problem(url, setting=setting, insecure=_INSECURE)
        if problem and not self.settings.insecure:
            raise ClientSettingsError(
                f"the broker URL sent by the scheduler is not safe: {problem}"
            )
        return registration.model_copy(update={"broker_url": url})


def refuse_unsafe_url(settings: WorkerSettings) -> None:
    """Raise ClientSettingsError if tokens would cross a network in clear text."""
    problem = http_url_problem(
        settings.scheduler_url, setting="TRACKFARM_WORKER_SCHEDULER_URL", insecure=_INSECURE
    )
    if problem and not settings.insecure:
        raise ClientSettingsError(problem)


def settings_with_ca_file(settings: WorkerSettings, environ: Mapping[str, str]) -> WorkerSettings:
    """Return the settings with the certificate authority from the environment as `ca_file`, unless
    a file is already set. Raises ClientSettingsError when the certificate is damaged, OSError when
    `data_dir` cannot be written."""
    pem = "" if settings.ca_file else unpack_ca(environ)
    if not pem:
        return settings
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "ca.crt"
    path.write_text(pem)
    return settings.model_copy(update={"ca_file": path})


def save_credentials(path: Path, credentials: Credentials) -> None:
    """Write the file so that only its owner can ever read it."""
    write_private(path, credentials.model_dump_json())


def settle_previous_session(
    path: Path, outbox: Outbox, scheduler_url: str, *, verify: ssl.SSLContext | bool = True
) -> Credentials | None:
    """Deliver the results of a killed predecessor, and release its leases at once. Return its
    credentials at this scheduler: its token may still be exchanged for that of a successor, so the
    file stays until there is one.

    Never fails: anything not settled here is settled when the leases expire at the scheduler.
    """
    try:
        previous = Credentials.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        outbox.clear()
        return None
    if previous.scheduler_url != scheduler_url:
        outbox.clear()
        path.unlink(missing_ok=True)
        return None
    _deregister(previous, outbox, verify)
    outbox.clear()
    return previous


def _deregister(previous: Credentials, outbox: Outbox, verify: ssl.SSLContext | bool) -> None:
    client = SchedulerClient(previous.scheduler_url, token=previous.token, verify=verify)
    reporter = Reporter(outbox=outbox, client=client, on_unauthorized=lambda _reason: None)
    try:
        while reporter.deliver():
            pass
        client.leave("restarted")
    except (SchedulerUnavailable, Unauthorized, RequestRejected) as error:
        log.info("previous_session_not_settled", worker=previous.worker_id, error=str(error))
    finally:
        client.close()
