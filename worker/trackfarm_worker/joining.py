"""Registration with the scheduler: with the token of the previous session, else with the invitation
token."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from trackfarm.addresses import http_fault
from trackfarm.broker_urls import broker_fault, with_authority
from trackfarm.settings import SettingsError
from trackfarm.wire import RegisterAnswer, RegisterRequest
from trackfarm_worker.client import NotWelcome, SchedulerAway, SchedulerClient
from trackfarm_worker.credentials import Credentials
from trackfarm_worker.settings import WorkerSettings

log = structlog.get_logger(__name__)
_INSECURE = "TRACKFARM_WORKER_INSECURE"


def refuse_unsafe(settings: WorkerSettings) -> None:
    """Raise SettingsError if tokens would cross a network in clear text."""
    fault = http_fault(
        settings.scheduler_url, setting="TRACKFARM_WORKER_SCHEDULER_URL", insecure=_INSECURE
    )
    if fault and not settings.insecure:
        raise SettingsError(fault)


@dataclass(frozen=True, slots=True)
class Door:
    """Registration of this worker. `verify` is the `verify` argument of httpx."""

    settings: WorkerSettings
    verify: ssl.SSLContext | bool

    def join(self, request: RegisterRequest, past: Credentials | None) -> RegisterAnswer:
        """Register, and wait for a scheduler that is not up yet. The token of the previous session
        is tried first: the invitation may be single-use, and then the previous session has used it.

        Raises SchedulerAway, NotWelcome, Rejected or SettingsError.
        """
        invitation = self.settings.join_token.get_secret_value()
        tokens = [past.token, invitation] if past is not None else [invitation]
        return self._with_safe_broker(self._try_tokens(tokens, request))

    def _try_tokens(self, tokens: Sequence[str], request: RegisterRequest) -> RegisterAnswer:
        for token in tokens[:-1]:
            try:
                return self._register_with_retries(token, request)
            except NotWelcome as error:
                log.info("previous_session_not_resumed", error=str(error))
        return self._register_with_retries(tokens[-1], request)

    def _register_with_retries(self, token: str, request: RegisterRequest) -> RegisterAnswer:
        client = SchedulerClient(self.settings.scheduler_url, token=token, verify=self.verify)
        retrying = Retrying(
            retry=retry_if_exception_type(SchedulerAway),
            stop=stop_after_delay(self.settings.patience_to_join),
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
        url = with_authority(registration.broker_url, self.settings.ca_file)
        setting = "TRACKFARM_SCHEDULER_BROKER_EXTERNAL_URL"  # a setting of the scheduler
        fault = broker_fault(url, setting=setting, insecure=_INSECURE)
        if fault and not self.settings.insecure:
            raise SettingsError(f"the broker URL sent by the scheduler is not safe: {fault}")
        return registration.model_copy(update={"broker_url": url})
