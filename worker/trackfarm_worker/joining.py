"""Joins the farm: with what this worker was before, else with the token that it was given."""

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
    """Raises SettingsError when tokens would cross a network in clear text."""
    fault = http_fault(
        settings.scheduler_url, setting="TRACKFARM_WORKER_SCHEDULER_URL", insecure=_INSECURE
    )
    if fault and not settings.insecure:
        raise SettingsError(fault)


@dataclass(frozen=True, slots=True)
class Door:
    """The way in. `verify` is what httpx calls so."""

    settings: WorkerSettings
    verify: ssl.SSLContext | bool

    def join(self, request: RegisterRequest, past: Credentials | None) -> RegisterAnswer:
        """Registers, waiting for a scheduler that is not up yet. The token of our past comes first:
        the one that we were given may be good for one use, and then our past has used it.

        Raises SchedulerAway, NotWelcome, Rejected or SettingsError.
        """
        given = self.settings.join_token.get_secret_value()
        tokens = [past.token, given] if past is not None else [given]
        return self._checked(self._by_first(tokens, request))

    def _by_first(self, tokens: Sequence[str], request: RegisterRequest) -> RegisterAnswer:
        for token in tokens[:-1]:
            try:
                return self._patiently(token, request)
            except NotWelcome as error:
                log.info("past_not_taken_up", error=str(error))
        return self._patiently(tokens[-1], request)

    def _patiently(self, token: str, request: RegisterRequest) -> RegisterAnswer:
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

    def _checked(self, joined: RegisterAnswer) -> RegisterAnswer:
        """With the broker's certificate proved by the authority that we trust."""
        url = with_authority(joined.broker_url, self.settings.ca_file)
        setting = "TRACKFARM_SCHEDULER_BROKER_EXTERNAL_URL"  # on its side, not on ours
        fault = broker_fault(url, setting=setting, insecure=_INSECURE)
        if fault and not self.settings.insecure:
            raise SettingsError(f"the scheduler named a broker that is not safe: {fault}")
        return joined.model_copy(update={"broker_url": url})
