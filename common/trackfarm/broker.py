"""Celery settings shared by the sender and the receiver.

The broker carries only (shard id, lease id) of work that is about to run; it is disposable.
Messages are acknowledged on receipt, because leases are the only redelivery.
"""

import socket
from typing import Any

from celery import Celery

SHARD_TASK = "trackfarm.shard"
PIPELINE_DEPTH = 3  # one shard computes, one is being finished, one fetches its sources


def queue_name(tier: str, model_set: str, worker: str | None = None) -> str:
    """Return `gpu.<tier>.<model set>[.<worker>]`; `worker` restricts a machine to its own key."""
    return ".".join(["gpu", tier, model_set, *([worker] if worker else [])])


def _keepalive() -> dict[int, int]:
    names = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in names.items() if hasattr(socket, name)}


def transport_options(client_name: str) -> dict[str, Any]:
    # kombu switches redis-py's own socket defaults off, so they are set here.
    return {
        "ack_emulation": False,
        "priority_steps": [0],
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "socket_keepalive_options": _keepalive(),
        "health_check_interval": 25,
        "client_name": client_name,
    }


def celery_app(broker_url: str, *, client_name: str) -> Celery:
    """Create a Celery app for `broker_url`; the caller adds tasks or only sends."""
    app = Celery("trackfarm", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend="disabled://",
        task_ignore_result=True,
        task_acks_late=False,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(client_name),
    )
    return app
