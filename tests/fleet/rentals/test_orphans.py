"""Orphan cleaner: which machines belong to which rental."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.rental_builders import T0, TAG, TAGS, a_rental, an_instance
from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import RentalRecord, Timeouts
from trackfarm_fleet.rentals.orphans import Adopt, Close, LeaveAlone, Ruling, Terminate, reap

S = RentalState
NOW = T0 + 1000


def _reap(listed: list[Instance], rentals: list[RentalRecord]) -> list[Ruling]:
    return reap(listed, rentals, tags=TAGS, listed_at=NOW - 1, now=NOW, patience=Timeouts())


def test_a_machine_with_our_tag_and_no_row_is_ended() -> None:
    (ruling,) = _reap([an_instance()], [])
    assert isinstance(ruling, Terminate)


def test_a_machine_whose_row_is_closed_is_ended() -> None:
    (ruling,) = _reap([an_instance()], [a_rental(S.ENDED)])
    assert ruling == Terminate(an_instance(), "its rental has ended")


def test_machines_of_others_are_left_alone_however_alike_their_names() -> None:
    foreign_tags = [
        "",
        "my-notebook",
        "tf-hotel",
        "tf-hotel-",
        "tf-hotel-2-0123456789abcdef",
        TAG + "x",
    ]
    rulings = _reap([an_instance(tag=tag, id=tag) for tag in foreign_tags], [])
    assert [type(r) for r in rulings] == [LeaveAlone] * len(foreign_tags)


def test_the_machine_of_a_lost_answer_is_adopted() -> None:
    rental = a_rental()
    assert _reap([an_instance()], [rental]) == [Adopt(rental, an_instance())]


def test_of_two_machines_made_for_one_row_the_unknown_one_is_ended() -> None:
    twin = an_instance(id="8")
    rulings = _reap([twin, an_instance()], [a_rental(S.BOOTING)])
    assert isinstance(rulings[0], Terminate)
    assert rulings[0].instance.id == "8"
    assert isinstance(rulings[1], LeaveAlone)


def test_of_two_machines_of_a_lost_answer_the_older_one_is_adopted() -> None:
    young, old = an_instance(id="8", created_at=T0 + 2), an_instance(id="9", created_at=T0 + 1)
    rulings = _reap([young, old], [a_rental()])
    assert isinstance(rulings[0], Terminate)
    assert isinstance(rulings[1], Adopt)
    assert rulings[1].instance.id == "9"


def test_a_row_closes_only_when_a_list_after_the_request_shows_no_machine() -> None:
    ending = a_rental(S.ENDING, asked_to_end_at=NOW - 10)
    assert _reap([], [ending]) == [Close(ending)]
    assert _reap([], [a_rental(S.ENDING)]) == []
    assert _reap([], [a_rental(S.ENDING, asked_to_end_at=NOW - 0.5)]) == []
    assert [type(r) for r in _reap([an_instance()], [ending])] == [LeaveAlone]
    ended = _reap([an_instance(InstanceState.ENDED)], [ending])
    assert [type(r) for r in ended] == [LeaveAlone, Close]


def test_a_row_whose_machine_is_missing_from_one_list_is_not_closed() -> None:
    assert _reap([], [a_rental(S.JOINED)]) == []


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
_rows = st.lists(st.builds(a_rental, st.sampled_from(S), tag=_tags), unique_by=lambda r: r.tag)


@given(_machines, _rows)
def test_every_machine_gets_one_ruling_and_only_our_unclaimed_ones_end(
    listed: list[Instance], rows: list[RentalRecord]
) -> None:
    rulings = _reap(listed, rows)
    judged = [r.instance.id for r in rulings if not isinstance(r, Close)]
    assert sorted(judged) == sorted(i.id for i in listed)
    open_rows = {r.tag: r for r in rows if r.is_open}
    for ruling in rulings:
        if isinstance(ruling, Terminate):
            row = open_rows.get(ruling.instance.tag)
            assert TAGS.owns(ruling.instance.tag)
            assert row is None or row.provider_id != ruling.instance.id
    adopted = [r.instance.tag for r in rulings if isinstance(r, Adopt)]
    assert len(adopted) == len(set(adopted))
