"""Client of the message broker: sends shard messages and reads queue lengths."""

import base64
import json
import uuid
from collections.abc import Iterable, Sequence

import structlog
from kombu.serialization import dumps
from redis import Redis
from redis.exceptions import RedisError

from trackfarm.broker import SHARD_TASK, celery_app
from trackfarm_scheduler.db.offers import ShardOffer

log = structlog.get_logger(__name__)
CONNECT_SECONDS = 2.0


class Broker:
    """Broker client. Every call returns within seconds, even while the broker is unreachable."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url, client_name="trackfarm-scheduler")
        self._redis = Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        )

    def send(self, offers: Sequence[ShardOffer]) -> bool:
        """Push one message per offer into its queue; False when the broker is unavailable (some
        messages may have been sent)."""
        try:
            pipe = self._redis.pipeline(transaction=False)
            for offer in offers:
                pipe.lpush(offer.queue, self._message(offer))
            pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("broker_send_failed", messages=len(offers), error=str(error))
            return False
        return True

    def _message(self, offer: ShardOffer) -> str:
        """Return a Celery protocol 2 task in the envelope of kombu's Redis transport, as
        `send_task` would write it. It is built here because `send_task` sends one message at a
        time, in the time that one pipeline takes for sixty, and because this way needs no queue
        binding, which a broker that restarted empty has lost."""
        task_id = str(uuid.uuid4())
        task = self._app.amqp.as_task_v2(
            task_id, SHARD_TASK, args=[offer.shard_id, offer.lease_id], ignore_result=True
        )
        content_type, encoding, body = dumps(task.body, serializer="json")
        delivery_info = {"exchange": "", "routing_key": offer.queue}
        properties = task.properties | {
            "delivery_mode": 2,
            "delivery_info": delivery_info,
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
        """Return the number of waiting messages per queue, or None while the broker is
        unreachable."""
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
