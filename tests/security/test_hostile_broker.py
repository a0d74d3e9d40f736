"""A hostile worker cannot abuse its broker credentials."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as Gone

from tests.security.guarded_farm import FACTS, GuardedFarm
from tests.servers.process import wait_until
from trackfarm.protocol.worker import RegisterAnswer
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.policy.broker_acl import user_name

# OWN and OTHER stand for the queues of the worker and of another one.
ATTEMPTS = [
    "BRPOP OTHER 1",
    "BRPOP OWN OTHER 1",
    "BLPOP OWN 1",
    "RPOP OTHER",
    "LPUSH OWN forged",
    "RPUSH OWN forged",
    "LPUSH OTHER forged",
    "LPUSH a-new-key forged",
    "RPOPLPUSH OWN OTHER",
    "BLMOVE OWN OTHER RIGHT LEFT 1",
    "LMPOP 1 OTHER RIGHT",
    "LRANGE OTHER 0 -1",
    "LRANGE OWN 0 -1",
    "LLEN OTHER",
    "GET anything",
    "SET anything x",
    "DEL OTHER",
    "DEL OWN",
    "UNLINK OTHER",
    "RENAME OTHER OWN",
    "COPY OTHER OWN",
    "MOVE OTHER 1",
    "DUMP OTHER",
    "EXPIRE OTHER 1",
    "SORT OTHER",
    "OBJECT ENCODING OTHER",
    "TYPE OTHER",
    "SELECT 1",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB 0 1",
    "CONFIG GET requirepass",
    "CONFIG SET requirepass x",
    "CONFIG REWRITE",
    "ACL LIST",
    "ACL USERS",
    "ACL WHOAMI",
    "ACL GETUSER default",
    "ACL SETUSER default on nopass +@all",
    "ACL LOG RESET",
    "SUBSCRIBE /0.celery.pidbox",
    "SUBSCRIBE /0.celeryev/worker.heartbeat",
    "PSUBSCRIBE *",
    "PUBLISH /0.celery.pidbox shutdown",
    "PUBLISH /0.reply.celery.pidbox x",
    "PUBLISH /1.celeryev/worker.online x",
    "SPUBLISH x y",
    "PUBSUB CHANNELS",
    "SHUTDOWN NOSAVE",
    "EVAL return(1) 0",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    "SCRIPT LOAD return(1)",
    "FUNCTION LIST",
    "FCALL f 0",
    "MODULE LIST",
    "MONITOR",
    "INFO",
    "COMMAND COUNT",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1000",
    "CLIENT TRACKING on",
    "REPLICAOF 127.0.0.1 1",
    "PSYNC ? -1",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "MIGRATE 127.0.0.1 1 OTHER 0 10",
    "SLOWLOG GET",
    "LATENCY RESET",
    "MEMORY STATS",
    "CLUSTER INFO",
    "WAIT 0 0",
    "MULTI",
    "WATCH OTHER",
    "XADD s * a b",
    "PFADD p a",
    "SETBIT b 4000000000 1",
]

# Servers refuse these commands to all remote users, before they check permissions.
REFUSED_TO_ALL = ["DEBUG SLEEP 0", "MODULE LOAD /tmp/x.so"]


@pytest.fixture(scope="module")
def hostile(guarded: GuardedFarm) -> RegisterAnswer:
    return guarded.joined(name="hostile")


@pytest.fixture(scope="module")
def other(guarded: GuardedFarm) -> RegisterAnswer:
    return guarded.joined(name="other")


@pytest.fixture(scope="module")
def waiting(guarded: GuardedFarm, hostile: RegisterAnswer, other: RegisterAnswer) -> None:
    """Put a message into each of the two queues."""
    broker = Broker(guarded.broker.url)
    assert broker.send(
        [ShardOffer(worker.queue, "shard_0001", "lease_0001") for worker in (hostile, other)]
    )
    broker.close()


@pytest.fixture(scope="module")
def access(guarded: GuardedFarm, hostile: RegisterAnswer) -> Iterator[Redis]:
    with guarded.worker_connection(hostile) as client:
        yield client


@pytest.fixture(scope="module")
def owner(guarded: GuardedFarm) -> Iterator[Redis]:
    with guarded.owner_connection() as client:
        yield client


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_broker_refuses_a_command_of_a_worker(
    access: Redis,
    owner: Redis,
    hostile: RegisterAnswer,
    other: RegisterAnswer,
    attempt: str,
) -> None:
    queues = {"OWN": hostile.queue, "OTHER": other.queue}
    words = [queues.get(word, word) for word in attempt.split()]
    owner.acl_log_reset()
    with pytest.raises(NoPermissionError):
        access.execute_command(*words)
    logged = [entry["username"] for entry in owner.acl_log()]
    assert user_name(hostile.worker_id) in logged
    assert owner.llen(hostile.queue) == owner.llen(other.queue) == 1


@pytest.mark.parametrize("attempt", REFUSED_TO_ALL)
def test_broker_refuses_a_command_of_any_user(access: Redis, attempt: str) -> None:
    with pytest.raises(ResponseError):
        access.execute_command(*attempt.split())


@pytest.mark.usefixtures("waiting")
def test_broker_allows_a_worker_its_queue_and_its_events(
    access: Redis, owner: Redis, hostile: RegisterAnswer
) -> None:
    message = owner.lrange(hostile.queue, 0, -1)
    assert access.ping()
    assert access.publish("/0.celeryev/worker.heartbeat", "alive") == 0
    assert access.brpop([hostile.queue], timeout=1)
    owner.lpush(hostile.queue, *message)


def test_registration_holds_no_other_broker_password(
    hostile: RegisterAnswer, other: RegisterAnswer, guarded: GuardedFarm
) -> None:
    given = hostile.model_dump_json()
    password = guarded.broker.url.split("@")[0].rpartition(":")[2]
    assert password not in given
    assert other.broker_url.split("@")[0].rpartition(":")[2] not in given


def test_broker_user_is_removed_when_its_worker_leaves(guarded: GuardedFarm, owner: Redis) -> None:
    leaver = guarded.joined(name="leaver")
    with guarded.worker_connection(leaver) as access:
        assert access.ping()
        assert guarded.say("leave", leaver.token).status_code == 200
        with pytest.raises((Gone, AuthenticationError)):
            access.ping()
    with guarded.worker_connection(leaver) as again, pytest.raises(AuthenticationError):
        again.ping()
    assert user_name(leaver.worker_id) not in owner.acl_users()


def test_broker_user_is_removed_with_its_worker(guarded: GuardedFarm) -> None:
    doomed = guarded.joined(name="doomed")
    assert guarded.client.remove_worker(doomed.worker_id).state == "gone"
    assert guarded.say("heartbeat", doomed.token).status_code == 401
    assert guarded.say("register", doomed.token, FACTS).status_code == 401
    with guarded.worker_connection(doomed) as access, pytest.raises(AuthenticationError):
        access.ping()


def test_broker_users_return_after_an_empty_restart(guarded: GuardedFarm) -> None:
    worker = guarded.joined(name="patient")
    guarded.broker.restart_empty()

    def is_let_in() -> bool:
        with guarded.worker_connection(worker) as access:
            try:
                return bool(access.ping())
            except (Gone, AuthenticationError):
                return False

    wait_until(is_let_in, timeout_s=3, what="its user is there again")
