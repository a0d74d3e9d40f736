"""What a worker may do at the broker: take from its own queue, and tell of itself. Pure.

The rules are those of Redis 6.2 and Valkey (https://redis.io/docs/latest/operate/oss_and_stack/
management/security/acl/). What Celery's worker needs in the form of `trackfarm_worker.app` was seen
with MONITOR and ACL LOG: it declares nothing, so it neither reads nor writes bindings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

PREFIX = "tfw_"
COMMANDS = ("ping", "brpop", "publish", "client|setname")


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Of one worker. `password_hash` is the SHA-256 of its password, in hexadecimal."""

    worker_id: str
    queue: str
    password_hash: str


def user_name(worker_id: str) -> str:
    return PREFIX + worker_id


def worker_of(name: str) -> str | None:
    """Whose user it is; None when it is not a worker's."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def rules(user: BrokerUser, *, database: int) -> list[str]:
    """What ACL SETUSER is told, beginning with `reset`: what it allowed before is gone.

    One key, the queue. The channels are those on which Celery publishes events for Flower; a
    worker can pretend events of another there, and nothing but Flower listens.
    """
    commands = (*COMMANDS, *(["select"] if database else []))
    return [
        "reset",
        "on",
        f"#{user.password_hash}",
        f"~{literally(user.queue)}",
        f"&/{database}.celeryev/*",
        "-@all",
        *(f"+{command}" for command in commands),
    ]


def literally(key: str) -> str:
    """The key as a pattern that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in key)


@dataclass(frozen=True, slots=True)
class Differences:
    missing: list[BrokerUser]
    surplus: list[str]


def differences(
    present: Collection[str], wanted: Mapping[str, BrokerUser], ended: Collection[str]
) -> Differences:
    """What makes the broker's users (`present`, by name) those of the `wanted` workers (by id).

    `ended` are the workers that were ours and are to have no user any more. A user of a worker that
    we never knew is left alone: another farm may use the same broker.
    """
    have = {worker for name in present if (worker := worker_of(name)) is not None}
    missing = [user for worker, user in wanted.items() if worker not in have]
    return Differences(missing, sorted(have & set(ended)))
