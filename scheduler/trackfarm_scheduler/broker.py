"""The two things the scheduler asks of the broker: take a message, say how many wait."""

from collections.abc import Iterable

import structlog
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from trackfarm.broker import SHARD_TASK, celery_app

log = structlog.get_logger(__name__)
CONNECT_SECONDS = 2.0


class Broker:
    """Sends shards and measures queues. Every call answers within seconds, broker or no broker."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url, client_name="trackfarm-scheduler")
        self._app.conf.task_send_sent_event = True
        # kombu's own default is to try for six seconds, which a tick would spend on each message.
        self._app.conf.broker_transport_options |= {"max_retries": 1, "interval_start": 0}
        self._redis = Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        )

    def send(self, queue: str, shard_id: str, lease_id: str) -> bool:
        """Puts one message into `queue`; False when the broker cannot take it now."""
        try:
            # Not declared, so sent through the nameless exchange by queue name alone: a broker
            # that restarted empty has forgotten every binding.
            self._app.send_task(
                SHARD_TASK,
                args=[shard_id, lease_id],
                queue=Queue(queue),
                declare=[],
                retry=False,
                ignore_result=True,
            )
        except (OperationalError, RedisError, OSError) as error:
            log.warning("broker_refused", queue=queue, shard=shard_id, error=str(error))
            return False
        return True

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
