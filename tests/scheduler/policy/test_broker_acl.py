"""Broker users to create and delete, decided without a broker."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from trackfarm_scheduler.policy.broker_acl import acl_rules, escape_pattern, user_changes, user_name
from trackfarm_scheduler.policy.models import BrokerUser

WORKERS = st.sets(st.sampled_from([f"worker_{n:04}" for n in range(6)]))


def user(worker_id: str) -> BrokerUser:
    return BrokerUser(worker_id, f"gpu.vram4.tiny.{worker_id}", "ab" * 32)


@given(present=WORKERS, wanted=WORKERS, ended=WORKERS, strangers=WORKERS)
def test_user_changes_lead_to_the_wanted_users(
    present: set[str], wanted: set[str], ended: set[str], strangers: set[str]
) -> None:
    ended -= wanted
    others = {f"tfw_other_{name}" for name in strangers} | {"default", "flower"}
    names = {user_name(worker) for worker in present} | others
    changes = user_changes(names, {worker: user(worker) for worker in wanted}, ended)
    after = names | {user_name(u.worker_id) for u in changes.missing}
    after -= {user_name(worker) for worker in changes.surplus}
    assert {user_name(worker) for worker in wanted} <= after
    assert not {user_name(worker) for worker in ended} & after
    assert others <= after, "users of other farms stay"
    assert not {u.worker_id for u in changes.missing} & present


def test_acl_allows_one_key_and_the_users_events() -> None:
    arguments = acl_rules(user("worker_0001"), database=3)
    assert arguments[0] == "reset"
    assert [rule for rule in arguments if rule[0] in "~%"] == ["~gpu.vram4.tiny.worker_0001"]
    assert [rule for rule in arguments if rule[0] == "&"] == ["&/3.celeryev/*"]
    assert next(rule for rule in arguments if rule[0] in "+-") == "-@all"
    assert not {"+lpush", "+rpush", "+subscribe", "+eval", "nopass", "+@all"} & set(arguments)


def test_escaped_pattern_matches_only_the_key() -> None:
    assert escape_pattern("gpu.a*b?[c]") == "gpu.a\\*b\\?\\[c\\]"
    assert fnmatchcase("gpu.vram4", escape_pattern("gpu.vram4"))
