"""Orphans in a provider's list, and the machine that belongs to a rental."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.rental_builders import T0, TAG, TAGS, a_rental, an_instance
from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import RentalRecord
from trackfarm_fleet.rentals.orphans import Orphan, find_orphans, select_instance

S = RentalState


def _orphans(instances: list[Instance], rentals: list[RentalRecord]) -> list[Orphan]:
    return find_orphans(instances, rentals, tags=TAGS)


def test_orphan_is_a_machine_with_our_tag_and_no_rental() -> None:
    assert _orphans([an_instance()], []) == [Orphan(an_instance(), "no rental has its tag")]


def test_orphan_is_a_machine_of_a_closed_rental() -> None:
    orphans = _orphans([an_instance()], [a_rental(S.ENDED)])
    assert orphans == [Orphan(an_instance(), "its rental has ended")]


def test_orphans_exclude_machines_of_others_with_similar_names() -> None:
    foreign_tags = [
        "",
        "my-notebook",
        "tf-hotel",
        "tf-hotel-",
        "tf-hotel-2-0123456789abcdef",
        TAG + "x",
    ]
    assert _orphans([an_instance(tag=tag, id=tag) for tag in foreign_tags], []) == []


def test_orphans_exclude_ended_machines_and_those_of_open_rentals() -> None:
    assert _orphans([an_instance(InstanceState.ENDED)], []) == []
    for state in (S.BOOTING, S.JOINED, S.ENDING):
        assert _orphans([an_instance()], [a_rental(state)]) == []


def test_select_instance_returns_the_machine_of_a_lost_create_response() -> None:
    assert select_instance(a_rental(), [an_instance()]) == an_instance()
    assert _orphans([an_instance()], [a_rental()]) == []


def test_orphan_is_the_unknown_duplicate_of_a_rental() -> None:
    duplicate = an_instance(id="8")
    (orphan,) = _orphans([duplicate, an_instance()], [a_rental(S.BOOTING)])
    assert orphan.instance.id == "8"
    assert "duplicate" in orphan.reason


def test_orphan_is_the_younger_duplicate_after_a_lost_create_response() -> None:
    young, old = an_instance(id="8", created_at=T0 + 2), an_instance(id="9", created_at=T0 + 1)
    (orphan,) = _orphans([young, old], [a_rental()])
    assert orphan.instance.id == "8"
    selected = select_instance(a_rental(), [young, old])
    assert selected is not None
    assert selected.id == "9"


_tags = st.sampled_from([TAG, TAGS.prefix + "f" * 16, "tf-spa-0123456789abcdef", "mine", ""])
_machines = st.lists(
    st.builds(
        an_instance,
        st.sampled_from(InstanceState),
        id=st.sampled_from(["7", "8", "9"]),
        tag=_tags,
    ),
    max_size=6,
    unique_by=lambda i: i.id,
)
_rentals = st.lists(st.builds(a_rental, st.sampled_from(S), tag=_tags), unique_by=lambda r: r.tag)


@given(_machines, _rentals)
def test_orphans_are_exactly_our_running_machines_of_no_open_rental(
    instances: list[Instance], rentals: list[RentalRecord]
) -> None:
    orphan_ids = [orphan.instance.id for orphan in _orphans(instances, rentals)]
    assert len(orphan_ids) == len(set(orphan_ids))
    open_rentals = {r.tag: r for r in rentals if r.is_open}
    own_ids = set()
    for tag, rental in open_rentals.items():
        selected = select_instance(rental, [i for i in instances if i.tag == tag])
        own_ids |= {selected.id} if selected is not None else set()
    for instance in instances:
        is_running = instance.state is not InstanceState.ENDED
        is_orphan = is_running and TAGS.owns(instance.tag) and instance.id not in own_ids
        assert (instance.id in orphan_ids) == is_orphan
        if is_orphan and instance.tag in open_rentals:
            assert open_rentals[instance.tag].provider_id != instance.id
