"""The state machine of a rental, observation by observation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.rental_builders import AWAKE, T0, a_rental, a_sight, an_instance
from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import (
    BadRequest,
    InstanceState,
    NoCapacity,
    OutOfCredit,
    RateLimited,
    Unavailable,
)
from trackfarm_fleet.rentals.models import (
    MOVES,
    Observation,
    RentalRecord,
    Timeouts,
    WorkerObservation,
    is_legal,
    mermaid,
)
from trackfarm_fleet.rentals.state_machine import asked_to_end, created, must_ask_to_end, observed
from trackfarm_scheduler.policy.states import RENTAL

S = RentalState
PATIENCE = Timeouts()


def test_the_scheduler_knows_the_same_states_and_moves() -> None:
    scheduler_moves = {str(a): {str(b) for b in targets} for a, targets in RENTAL.moves.items()}
    assert {str(a): {str(b) for b in targets} for a, targets in MOVES.items()} == scheduler_moves
    assert sorted(mermaid().splitlines()) == sorted(RENTAL.mermaid().splitlines())


def test_a_good_life_goes_through_every_state() -> None:
    rental = created(a_rental(), an_instance(InstanceState.STARTING), T0 + 2)
    assert (rental.state, rental.provider_id) == (S.CREATED, "7")
    rental = observed(rental, a_sight(10, an_instance(InstanceState.STARTING)), PATIENCE)
    assert rental.state is S.BOOTING
    rental = observed(rental, a_sight(200, an_instance(), worker=AWAKE), PATIENCE)
    assert (rental.state, rental.joined_at) == (S.JOINED, T0 + 200)
    rental = observed(rental, a_sight(900, an_instance(), worker=AWAKE, wanted=False), PATIENCE)
    assert rental.state is S.DRAINING
    deregistered = WorkerObservation(1.0, left=True)
    rental = observed(
        rental, a_sight(950, an_instance(), worker=deregistered, wanted=False), PATIENCE
    )
    assert rental.state is S.ENDING
    assert must_ask_to_end(rental, T0 + 950, PATIENCE)
    rental = asked_to_end(rental, T0 + 951)
    rental = observed(rental, a_sight(960, worker=deregistered, wanted=False), PATIENCE)
    assert (rental.state, rental.ended_at) == (S.ENDED, T0 + 960)


@pytest.mark.parametrize(
    "refusal",
    [
        NoCapacity("taken"),
        RateLimited("slow", 5.0),
        OutOfCredit("pay"),
        BadRequest("what?"),
        Unavailable("refused", maybe_done=False),
    ],
)
def test_a_certain_refusal_ends_the_row_with_its_reason(
    refusal: NoCapacity | RateLimited | OutOfCredit | BadRequest | Unavailable,
) -> None:
    rental = created(a_rental(), refusal, T0 + 1)
    assert (rental.state, rental.reason) == (S.ENDED, refusal.detail)


def test_a_lost_answer_leaves_the_row_open_until_the_list_shows_the_machine() -> None:
    rental = created(a_rental(), Unavailable("timed out"), T0 + 30)
    assert rental.state is S.INTENDED
    rental = observed(rental, a_sight(31), PATIENCE)
    assert rental.state is S.INTENDED
    shown = an_instance(InstanceState.STARTING, created_at=T0 + 3)
    rental = observed(rental, a_sight(60, shown), PATIENCE)
    assert (rental.state, rental.provider_id, rental.created_at) == (S.BOOTING, "7", T0 + 3)


def test_a_lost_answer_whose_machine_never_appears_ends_the_row() -> None:
    rental = created(a_rental(), Unavailable("timed out"), T0 + 30)
    rental = observed(rental, a_sight(PATIENCE.appear), PATIENCE)
    assert rental.state is S.INTENDED
    rental = observed(rental, a_sight(PATIENCE.appear + 1), PATIENCE)
    assert (rental.state, rental.reason) == (S.ENDED, "timed out")


@pytest.mark.parametrize("state", [S.INTENDED, S.BOOTING, S.JOINED, S.ENDING])
def test_without_a_list_nothing_is_concluded_about_the_machine(state: RentalState) -> None:
    rental = a_rental(state, asked_to_end_at=T0)
    sight = Observation(at=T0 + 400, listed_at=None)
    assert observed(rental, sight, PATIENCE) == rental


def test_a_machine_that_never_boots_ends_after_the_patience_for_it() -> None:
    rental = a_rental(S.BOOTING)
    waiting = observed(rental, a_sight(1200, an_instance(InstanceState.STARTING)), PATIENCE)
    assert waiting.state is S.BOOTING
    ended = observed(rental, a_sight(1201, an_instance(InstanceState.STARTING)), PATIENCE)
    assert (ended.state, ended.reason) == (S.ENDING, "no worker joined within 1200 s")


def test_time_in_created_counts_for_the_boot() -> None:
    rental = a_rental(S.BOOTING, since=T0 + 700)
    assert observed(rental, a_sight(1201, an_instance()), PATIENCE).state is S.ENDING


@pytest.mark.parametrize("state", [S.CREATED, S.BOOTING, S.JOINED, S.DRAINING])
def test_a_broken_machine_ends_whatever_it_was(state: RentalState) -> None:
    broken = an_instance(InstanceState.BROKEN, detail="offline")
    after = observed(a_rental(state), a_sight(5, broken, worker=None), PATIENCE)
    assert after.state is S.ENDING
    assert "offline" in after.reason


def test_one_incomplete_list_ends_nothing_but_a_minute_of_them_does() -> None:
    rental = a_rental(S.JOINED, joined_at=T0)
    assert observed(rental, a_sight(30, worker=AWAKE), PATIENCE).state is S.JOINED
    vanished = observed(rental, a_sight(61, worker=AWAKE), PATIENCE)
    assert (vanished.state, vanished.reason) == (S.ENDING, "it vanished from its provider's list")


def test_what_vanished_is_asked_to_end_before_it_is_closed() -> None:
    rental = observed(a_rental(S.JOINED), a_sight(61, worker=AWAKE), PATIENCE)
    assert rental.state is S.ENDING
    assert must_ask_to_end(rental, T0 + 61, PATIENCE)
    assert observed(rental, a_sight(70), PATIENCE).state is S.ENDING
    assert observed(asked_to_end(rental, T0 + 65), a_sight(70), PATIENCE).state is S.ENDED


def test_outbid_is_waited_out_for_a_while_and_forgotten_when_it_is_over() -> None:
    stopped = an_instance(InstanceState.STOPPED, price_per_hour=0.01)
    rental = observed(a_rental(S.JOINED), a_sight(10, stopped, worker=AWAKE), PATIENCE)
    assert (rental.state, rental.stopped_at) == (S.JOINED, T0 + 10)
    assert rental.price_per_hour == 0.4
    silent = WorkerObservation(605.0)
    assert observed(rental, a_sight(609, stopped, worker=silent), PATIENCE).state is S.JOINED
    unwanted = a_sight(20, stopped, worker=silent, wanted=False)
    assert observed(rental, unwanted, PATIENCE).state is S.ENDING  # no worker is there to drain
    assert observed(rental, a_sight(611, stopped, worker=silent), PATIENCE).state is S.ENDING
    back = observed(rental, a_sight(300, an_instance(), worker=AWAKE), PATIENCE)
    assert (back.state, back.stopped_at) == (S.JOINED, None)


def test_a_worker_that_is_silent_on_a_machine_that_runs_ends_it() -> None:
    rental = a_rental(S.JOINED)
    sight = a_sight(601, an_instance(), worker=WorkerObservation(601.0))
    assert observed(rental, sight, PATIENCE).state is S.ENDING


def test_a_drain_that_takes_too_long_ends() -> None:
    rental = a_rental(S.DRAINING)
    soon = a_sight(600, an_instance(), worker=AWAKE, wanted=False)
    assert observed(rental, soon, PATIENCE).state is S.DRAINING
    late = a_sight(601, an_instance(), worker=AWAKE, wanted=False)
    assert observed(rental, late, PATIENCE).state is S.ENDING


def test_what_is_not_wanted_before_it_joined_ends_at_once() -> None:
    sight = a_sight(30, an_instance(InstanceState.STARTING), wanted=False)
    assert observed(a_rental(S.BOOTING), sight, PATIENCE).state is S.ENDING


def test_an_ending_that_is_still_listed_stays_open_and_is_asked_for_again() -> None:
    rental = asked_to_end(a_rental(S.ENDING), T0 + 10)
    rental = observed(rental, a_sight(20, an_instance()), PATIENCE)
    assert rental.state is S.ENDING
    assert not must_ask_to_end(rental, T0 + 39, PATIENCE)
    assert must_ask_to_end(rental, T0 + 40, PATIENCE)


def test_a_list_asked_for_before_the_request_to_end_proves_nothing() -> None:
    rental = asked_to_end(a_rental(S.ENDING), T0 + 10)
    before = Observation(at=T0 + 12, listed_at=T0 + 9)
    assert observed(rental, before, PATIENCE).state is S.ENDING


def test_a_machine_that_no_list_has_shown_yet_may_still_appear() -> None:
    rental = asked_to_end(a_rental(S.ENDING, seen_at=None), T0 + 10)
    assert observed(rental, a_sight(20), PATIENCE).state is S.ENDING
    assert observed(rental, a_sight(121), PATIENCE).state is S.ENDED


_instances = st.none() | st.sampled_from(InstanceState).map(an_instance)
_workers = st.none() | st.builds(WorkerObservation, st.floats(0, 2000), st.booleans())


@st.composite
def _sights(draw: st.DrawFn) -> list[Observation]:
    now, sights = T0, []
    for step in draw(st.lists(st.floats(0.1, 500), min_size=1, max_size=20)):
        now += step
        listed = draw(st.sampled_from([None, now, now - 0.05]))
        shown = draw(_instances) if listed is not None else None
        sights.append(Observation(now, listed, shown, draw(_workers), draw(st.booleans())))
    return sights


@given(_sights(), st.booleans())
def test_whatever_is_seen_moves_are_legal_and_nothing_closes_unobserved(
    sights: list[Observation], answered: bool
) -> None:
    rental: RentalRecord = a_rental()
    if answered:
        rental = created(rental, an_instance(InstanceState.STARTING), T0)
    for sight in sights:
        before = rental
        rental = observed(rental, sight, PATIENCE)
        assert rental.state is before.state or _reachable(before.state, rental.state)
        if rental.state is S.ENDED and before.state is not S.ENDED:
            assert sight.listed_at is not None
            assert sight.instance is None or sight.instance.state is InstanceState.ENDED
            assert not rental.provider_id or sight.instance or rental.asked_to_end_at
        if must_ask_to_end(rental, sight.at, PATIENCE):
            rental = asked_to_end(rental, sight.at)
    assert rental.ended_at is None or not rental.is_open


def _reachable(source: RentalState, target: RentalState) -> bool:
    return is_legal(source, target) or any(_reachable(next_, target) for next_ in MOVES[source])


@pytest.mark.parametrize("state", [S.CREATED, S.BOOTING])
def test_a_worker_that_joined_before_anybody_looked_is_drained_too(state: RentalState) -> None:
    unwanted = a_sight(20, an_instance(), worker=AWAKE, wanted=False, why="too late")
    after = observed(a_rental(state), unwanted, PATIENCE)
    assert (after.state, after.joined_at, after.reason) == (S.DRAINING, T0 + 20, "too late")


def test_a_closed_row_never_changes() -> None:
    rental = a_rental(S.ENDED, ended_at=T0)
    assert observed(rental, a_sight(9, an_instance()), PATIENCE) == rental
