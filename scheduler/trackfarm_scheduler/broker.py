"""The two things the scheduler asks of the broker: take a message, say how many wait."""

import base64
import json
import uuid
from collections.abc import Iterable, Sequence

import structlog
from kombu.serialization import dumps
from redis import Redis
from redis.exceptions import RedisError

from trackfarm.broker import SHARD_TASK, celery_app
from trackfarm_scheduler.store.offers import Offer

log = structlog.get_logger(__name__)
CONNECT_SECONDS = 2.0


class Broker:
    """Sends shards and measures queues. Every call answers within seconds, broker or no broker."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url, client_name="trackfarm-scheduler")
        self._redis = Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        )

    def send(self, offers: Sequence[Offer]) -> bool:
        """Puts one message for each offer into its queue; False when the broker cannot take them
        now (it may have taken some)."""
        try:
            pipe = self._redis.pipeline(transaction=False)
            for offer in offers:
                pipe.lpush(offer.queue, self._message(offer))
            pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("broker_refused", messages=len(offers), error=str(error))
            return False
        return True

    def _message(self, offer: Offer) -> str:
        """A task as Celery's protocol 2 has it, in the envelope of kombu's Redis transport: what
        `send_task` would put there. Written here because that sends one by one, each in the time
        that sixty take in one pipeline; it needs no binding, which a broker that restarted empty
        has forgotten."""
        task_id = str(uuid.uuid4())
        task = self._app.amqp.as_task_v2(
            task_id, SHARD_TASK, args=[offer.shard_id, offer.lease_id], ignore_result=True
        )
        content_type, encoding, body = dumps(task.body, serializer="json")
        where = {"exchange": "", "routing_key": offer.queue}
        properties = task.properties | {
            "delivery_mode": 2,
            "delivery_info": where,
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task_id,
        }
        return json.dumps(
            {
                "body": base64.b64encode(body.encode()).decode(),
                "content-encoding": encoding,
                "content-type": content_type,
                "headers": task.headers,
                "properties": properties,
            }
        )

    def lengths(self, queues: Iterable[str]) -> dict[str, int] | None:
        """Messages waiting in each queue, or None while the broker is away."""
        names = list(queues)
        try:
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.llen(name)
            return dict(zip(names, pipe.execute(), strict=True))
        except (RedisError, OSError):
            return None

    def is_up(self) -> bool:
        try:
            return bool(self._redis.ping())
        except (RedisError, OSError):
            return False

    def close(self) -> None:
        self._redis.close()
        self._app.close()
