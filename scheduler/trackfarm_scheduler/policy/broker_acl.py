"""Broker ACL of a worker: read its own queue and publish its own events. Pure.

The rules work with Redis 6.2 and Valkey
(https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/). The commands that
Celery's worker needs as configured in `trackfarm_worker.celery_app` were determined with MONITOR and ACL
LOG: it declares nothing, so it neither reads nor writes bindings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trackfarm_scheduler.policy.models import BrokerUser

PREFIX = "tfw_"
COMMANDS = ("ping", "brpop", "publish", "client|setname")


def user_name(worker_id: str) -> str:
    return PREFIX + worker_id


def worker_of(name: str) -> str | None:
    """Return the worker id in a user name; None when the user is not a worker."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def acl_rules(user: BrokerUser, *, database: int) -> list[str]:
    """Return the arguments of ACL SETUSER, beginning with `reset`, which revokes earlier
    permissions.

    One key, the queue. The channels carry Celery's events for Flower; a worker can forge events of
    another there, but only Flower listens.
    """
    commands = (*COMMANDS, *(["select"] if database else []))
    return [
        "reset",
        "on",
        f"#{user.password_hash}",
        f"~{escape_pattern(user.queue)}",
        f"&/{database}.celeryev/*",
        "-@all",
        *(f"+{command}" for command in commands),
    ]


def escape_pattern(key: str) -> str:
    """Escape the key as a pattern that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in key)


@dataclass(frozen=True, slots=True)
class UserChanges:
    missing: list[BrokerUser]
    surplus: list[str]


def user_changes(
    present: Collection[str], wanted: Mapping[str, BrokerUser], ended: Collection[str]
) -> UserChanges:
    """Return the changes that align the broker's users (`present`, by name) with the `wanted`
    workers (by id).

    `ended` are our own workers that must no longer have a user. Users of workers unknown to us are
    left alone: another farm may use the same broker.
    """
    existing = {worker for name in present if (worker := worker_of(name)) is not None}
    missing = [user for worker, user in wanted.items() if worker not in existing]
    return UserChanges(missing, sorted(existing & set(ended)))
