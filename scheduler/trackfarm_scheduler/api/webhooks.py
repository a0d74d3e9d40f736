"""Management of webhooks by their owners."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from trackfarm.protocol.operator import API_PREFIX
from trackfarm.protocol.webhooks import (
    DeliveryInfo,
    DeliveryState,
    NewWebhook,
    WebhookInfo,
    WebhookRequest,
)
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import Reader, Submitter, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.pagination import Cursor, decode_cursor, encode_cursor, set_next_link
from trackfarm_scheduler.db import webhook_outbox, webhooks
from trackfarm_scheduler.db.tables_webhooks import WebhookRow
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.webhooks.http import address_fault, derive_secret, egress_policy

MAX_WEBHOOKS = 20  # per owner: each may occupy one of the concurrent sends
NEWEST = 2**62
router = APIRouter(prefix=f"{API_PREFIX}/webhooks", tags=["webhooks"])


@router.post("", status_code=201)
def create_webhook(
    body: WebhookRequest, request: Request, services: TheServices, caller: Submitter
) -> NewWebhook:
    """Create a webhook: a URL that is notified when your tracks and jobs end.

    The response is the only place that shows the secret with which messages are signed.
    """
    if "idempotency-key" in request.headers:
        raise ApiError(
            400, "leave out Idempotency-Key: this response has a secret, which is not stored"
        )
    settings = services.settings
    fault = address_fault(body.url, egress_policy(settings), insecure=settings.insecure)
    if fault is not None:
        raise ApiError(422, f"this URL cannot be used: {fault}", [_url_problem(fault)])
    webhook_id = webhooks.make_id()
    secret = derive_secret(settings.signing_secret.get_secret_value().encode(), webhook_id)
    with audited_transaction(services, caller.actor, "webhook.make", webhook_id) as change:
        if webhooks.count(change.session, caller.owner) >= MAX_WEBHOOKS:
            raise ApiError(
                409, f"you have {MAX_WEBHOOKS} webhooks, which is the limit; remove one first"
            )
        row = webhooks.create(
            change.session,
            webhook_id=webhook_id,
            owner=caller.owner,
            url=body.url,
            events=body.events,
            secret=secret,
            now=services.clock(),
        )
    return NewWebhook(webhook=webhooks.view(row), secret=secret)


@router.get("")
def list_webhooks(services: TheServices, caller: Reader) -> list[WebhookInfo]:
    """List your webhooks, oldest first."""
    with services.database.read() as session:
        return [webhooks.view(row) for row in webhooks.list_all(session, owner=caller.sees)]


@router.get("/{webhook_id}")
def show_webhook(webhook_id: str, services: TheServices, caller: Reader) -> WebhookInfo:
    """Return one of your webhooks."""
    with services.database.read() as session:
        return webhooks.view(_find(session, caller, webhook_id))


@router.delete("/{webhook_id}")
def remove_webhook(webhook_id: str, services: TheServices, caller: Submitter) -> WebhookInfo:
    """Delete a webhook and its pending messages."""
    with audited_transaction(services, caller.actor, "webhook.remove", webhook_id) as change:
        webhook = webhooks.view(_find(change.session, caller, webhook_id))
        webhooks.remove(change.session, webhook_id)
    return webhook


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: str,
    request: Request,
    response: Response,
    services: TheServices,
    caller: Reader,
    state: DeliveryState | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[DeliveryInfo]:
    """List the messages of a webhook with their delivery state, newest first.

    A pending message has the time of the next try; one that was given up has the reason.
    """
    (before,) = decode_cursor(cursor, [int]) if cursor else (NEWEST,)
    with services.database.read() as session:
        _find(session, caller, webhook_id)
        rows = webhook_outbox.list_page(
            session, webhook_id, state=state, before=int(before), limit=limit
        )
        if len(rows) == limit:
            set_next_link(request, response, cursor=encode_cursor(rows[-1].id or 0))
        return [webhooks.delivery_view(row) for row in rows]


@router.post("/{webhook_id}/deliveries/{message_id}/retry", status_code=202)
def retry_delivery(
    webhook_id: str, message_id: str, services: TheServices, caller: Submitter
) -> dict[str, str]:
    """Send a message again that was given up, under the same id."""
    with audited_transaction(services, caller.actor, "webhook.retry", message_id) as change:
        _find(change.session, caller, webhook_id)
        if not webhook_outbox.restart(change.session, webhook_id, message_id, services.clock()):
            raise ApiError(409, f"message {message_id} does not exist or was not given up")
    return {"id": message_id, "state": DeliveryState.PENDING.value}


def _find(session: Session, caller: Caller, webhook_id: str) -> WebhookRow:
    row = webhooks.find(session, webhook_id, owner=caller.sees)
    if row is None:
        raise ApiError(404, f"you have no webhook {webhook_id}; GET /webhooks lists yours")
    return row


def _url_problem(fault: str) -> dict[str, str]:
    return {"field": "body.url", "message": fault}
