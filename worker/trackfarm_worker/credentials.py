"""Credentials of the previous session, with which a restarted worker settles unfinished
business."""

import os
import ssl
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from trackfarm_worker.client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.reporter import Reporter

log = structlog.get_logger(__name__)


class Credentials(BaseModel):
    model_config = ConfigDict(frozen=True)

    scheduler_url: str
    worker_id: str
    token: str


def save(path: Path, credentials: Credentials) -> None:
    """Write the file so that only its owner can ever read it."""
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(credentials.model_dump_json())
    temporary.replace(path)


def settle_past(
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
    reporter = Reporter(outbox=outbox, client=client, on_unwelcome=lambda _reason: None)
    try:
        while reporter.deliver():
            pass
        client.leave("restarted")
    except (SchedulerAway, NotWelcome, Rejected) as error:
        log.info("previous_session_not_settled", worker=previous.worker_id, error=str(error))
    finally:
        client.close()
