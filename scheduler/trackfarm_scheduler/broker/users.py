"""Broker users, one per worker: created and deleted as workers join and leave."""

import secrets
from collections.abc import Iterable

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from trackfarm.net.safe_urls import database_number, worker_broker_url
from trackfarm_scheduler.policy.broker_acl import acl_rules, user_name
from trackfarm_scheduler.policy.models import BrokerUser

log = structlog.get_logger(__name__)
CONNECT_SECONDS = 2.0


class BrokerUsers:
    """Manager of the broker's ACL users. `url` is the farm's own and is used to create users;
    `external_url` is the address at which workers reach the same broker, without credentials.
    Thread-safe."""

    def __init__(self, url: str, *, external_url: str = "") -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
        )
        self._external_url = external_url or url
        self._database = database_number(self._external_url)

    def check(self) -> str | None:
        """Return why this broker cannot keep workers apart; None when it can, or is unreachable
        now."""
        probe = BrokerUser(f"probe_{secrets.token_hex(8)}", "gpu.probe", "0" * 64)
        try:
            self._create([probe])
            self._delete([probe.worker_id])
        except ResponseError as error:
            return (
                f"the broker refuses to create users for workers ({error}), so every worker would need"
                " the farm's own broker password: use Redis 6.2 or newer, or Valkey, with a user"
                " that may run ACL SETUSER, DELUSER and USERS; or set"
                " TRACKFARM_SCHEDULER_INSECURE=true if you trust every worker"
            )
        except (RedisError, OSError) as error:
            log.warning("broker_unreachable", error=str(error))
        return None

    def list_names(self) -> set[str]:
        """Return the names of all broker users. Raises RedisError."""
        return {_text(name) for name in self._redis.execute_command("ACL USERS")}

    def create(self, users: Iterable[BrokerUser]) -> bool:
        """Create users, or recreate them; False when the broker is unreachable or refuses."""
        try:
            self._create(users)
        except (RedisError, OSError) as error:
            log.warning("broker_users_create_failed", error=str(error))
            return False
        return True

    def delete(self, worker_ids: Iterable[str]) -> bool:
        """Delete users and close their connections; False when the broker is unreachable."""
        try:
            self._delete(worker_ids)
        except (RedisError, OSError) as error:
            log.warning("broker_users_delete_failed", error=str(error))
            return False
        return True

    def url_for(self, worker_id: str, password: str) -> str:
        return worker_broker_url(self._external_url, user=user_name(worker_id), password=password)

    def close(self) -> None:
        self._redis.close()

    def _create(self, users: Iterable[BrokerUser]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for user in users:
            arguments = acl_rules(user, database=self._database)
            pipe.execute_command("ACL SETUSER", user_name(user.worker_id), *arguments)
        pipe.execute()

    def _delete(self, worker_ids: Iterable[str]) -> None:
        names = [user_name(worker_id) for worker_id in worker_ids]
        if names:
            self._redis.execute_command("ACL DELUSER", *names)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
