"""The state machine of a rental, observation by observation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.rental_builders import AWAKE, T0, a_rental, an_instance, an_observation
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
    TRANSITIONS,
    Observation,
    RentalRecord,
    Timeouts,
    WorkerObservation,
    is_legal,
    mermaid,
)
from trackfarm_fleet.rentals.state_machine import (
    advance,
    after_create,
    after_terminate_request,
    is_terminate_due,
)
from trackfarm_scheduler.policy.states import RENTAL

S = RentalState
TIMEOUTS = Timeouts()


def test_transitions_equal_the_schedulers() -> None:
    scheduler_moves = {str(a): {str(b) for b in targets} for a, targets in RENTAL.moves.items()}
    assert {
        str(a): {str(b) for b in targets} for a, targets in TRANSITIONS.items()
    } == scheduler_moves
    assert sorted(mermaid().splitlines()) == sorted(RENTAL.mermaid().splitlines())


def test_advance_goes_through_every_state() -> None:
    rental = after_create(a_rental(), an_instance(InstanceState.STARTING), T0 + 2)
    assert (rental.state, rental.provider_id) == (S.CREATED, "7")
    rental = advance(rental, an_observation(10, an_instance(InstanceState.STARTING)), TIMEOUTS)
    assert rental.state is S.BOOTING
    rental = advance(rental, an_observation(200, an_instance(), worker=AWAKE), TIMEOUTS)
    assert (rental.state, rental.joined_at) == (S.JOINED, T0 + 200)
    rental = advance(
        rental,
        an_observation(900, an_instance(), worker=AWAKE, release_reason="not needed"),
        TIMEOUTS,
    )
    assert rental.state is S.DRAINING
    deregistered = WorkerObservation(1.0, has_left=True)
    rental = advance(
        rental,
        an_observation(950, an_instance(), worker=deregistered, release_reason="not needed"),
        TIMEOUTS,
    )
    assert rental.state is S.ENDING
    assert is_terminate_due(rental, T0 + 950, TIMEOUTS)
    rental = after_terminate_request(rental, T0 + 951)
    rental = advance(
        rental, an_observation(960, worker=deregistered, release_reason="not needed"), TIMEOUTS
    )
    assert (rental.state, rental.ended_at) == (S.ENDED, T0 + 960)


@pytest.mark.parametrize(
    "refusal",
    [
        NoCapacity("taken"),
        RateLimited("slow", 5.0),
        OutOfCredit("pay"),
        BadRequest("what?"),
        Unavailable("refused", may_have_run=False),
    ],
)
def test_after_create_a_definite_rejection_ends_the_rental(
    refusal: NoCapacity | RateLimited | OutOfCredit | BadRequest | Unavailable,
) -> None:
    rental = after_create(a_rental(), refusal, T0 + 1)
    assert (rental.state, rental.reason) == (S.ENDED, refusal.detail)


def test_after_create_a_lost_response_leaves_the_rental_intended() -> None:
    rental = after_create(a_rental(), Unavailable("timed out"), T0 + 30)
    assert rental.state is S.INTENDED
    rental = advance(rental, an_observation(31), TIMEOUTS)
    assert rental.state is S.INTENDED
    shown = an_instance(InstanceState.STARTING, created_at=T0 + 3)
    rental = advance(rental, an_observation(60, shown), TIMEOUTS)
    assert (rental.state, rental.provider_id, rental.created_at) == (S.BOOTING, "7", T0 + 3)


def test_advance_ends_a_lost_response_without_a_machine() -> None:
    rental = after_create(a_rental(), Unavailable("timed out"), T0 + 30)
    rental = advance(rental, an_observation(TIMEOUTS.create_timeout_seconds), TIMEOUTS)
    assert rental.state is S.INTENDED
    rental = advance(rental, an_observation(TIMEOUTS.create_timeout_seconds + 1), TIMEOUTS)
    assert (rental.state, rental.reason) == (S.ENDED, "timed out")


@pytest.mark.parametrize("state", [S.INTENDED, S.BOOTING, S.JOINED, S.ENDING])
def test_advance_without_a_list_changes_nothing(state: RentalState) -> None:
    rental = a_rental(state, asked_to_end_at=T0)
    observation = Observation(at=T0 + 400, listed_at=None)
    assert advance(rental, observation, TIMEOUTS) == rental


def test_advance_ends_a_machine_after_the_boot_timeout() -> None:
    rental = a_rental(S.BOOTING)
    waiting = advance(rental, an_observation(1200, an_instance(InstanceState.STARTING)), TIMEOUTS)
    assert waiting.state is S.BOOTING
    ended = advance(rental, an_observation(1201, an_instance(InstanceState.STARTING)), TIMEOUTS)
    assert (ended.state, ended.reason) == (S.ENDING, "no worker joined within 1200 s")


def test_advance_counts_time_in_created_as_boot() -> None:
    rental = a_rental(S.BOOTING, since=T0 + 700)
    assert advance(rental, an_observation(1201, an_instance()), TIMEOUTS).state is S.ENDING


@pytest.mark.parametrize("state", [S.CREATED, S.BOOTING, S.JOINED, S.DRAINING])
def test_advance_ends_a_broken_machine_in_any_state(state: RentalState) -> None:
    broken = an_instance(InstanceState.BROKEN, detail="offline")
    after = advance(a_rental(state), an_observation(5, broken, worker=None), TIMEOUTS)
    assert after.state is S.ENDING
    assert "offline" in after.reason


def test_advance_ends_a_missing_machine_after_the_timeout() -> None:
    rental = a_rental(S.JOINED, joined_at=T0)
    assert advance(rental, an_observation(30, worker=AWAKE), TIMEOUTS).state is S.JOINED
    vanished = advance(rental, an_observation(61, worker=AWAKE), TIMEOUTS)
    assert (vanished.state, vanished.reason) == (S.ENDING, "it vanished from its provider's list")


def test_advance_closes_a_vanished_machine_after_a_terminate_request() -> None:
    rental = advance(a_rental(S.JOINED), an_observation(61, worker=AWAKE), TIMEOUTS)
    assert rental.state is S.ENDING
    assert is_terminate_due(rental, T0 + 61, TIMEOUTS)
    assert advance(rental, an_observation(70), TIMEOUTS).state is S.ENDING
    assert (
        advance(after_terminate_request(rental, T0 + 65), an_observation(70), TIMEOUTS).state
        is S.ENDED
    )


def test_advance_tolerates_an_outbid_machine_until_the_timeout() -> None:
    stopped = an_instance(InstanceState.STOPPED, price_per_hour=0.01)
    rental = advance(a_rental(S.JOINED), an_observation(10, stopped, worker=AWAKE), TIMEOUTS)
    assert (rental.state, rental.stopped_at) == (S.JOINED, T0 + 10)
    assert rental.price_per_hour == 0.4
    silent = WorkerObservation(605.0)
    assert advance(rental, an_observation(609, stopped, worker=silent), TIMEOUTS).state is S.JOINED
    unwanted = an_observation(20, stopped, worker=silent, release_reason="not needed")
    assert advance(rental, unwanted, TIMEOUTS).state is S.ENDING  # no worker is there to drain
    assert advance(rental, an_observation(611, stopped, worker=silent), TIMEOUTS).state is S.ENDING
    back = advance(rental, an_observation(300, an_instance(), worker=AWAKE), TIMEOUTS)
    assert (back.state, back.stopped_at) == (S.JOINED, None)


def test_advance_ends_a_running_machine_without_heartbeats() -> None:
    rental = a_rental(S.JOINED)
    observation = an_observation(601, an_instance(), worker=WorkerObservation(601.0))
    assert advance(rental, observation, TIMEOUTS).state is S.ENDING


def test_advance_ends_a_drain_after_the_timeout() -> None:
    rental = a_rental(S.DRAINING)
    soon = an_observation(600, an_instance(), worker=AWAKE, release_reason="not needed")
    assert advance(rental, soon, TIMEOUTS).state is S.DRAINING
    late = an_observation(601, an_instance(), worker=AWAKE, release_reason="not needed")
    assert advance(rental, late, TIMEOUTS).state is S.ENDING


def test_advance_ends_a_released_machine_before_it_joined() -> None:
    observation = an_observation(
        30, an_instance(InstanceState.STARTING), release_reason="not needed"
    )
    assert advance(a_rental(S.BOOTING), observation, TIMEOUTS).state is S.ENDING


def test_is_terminate_due_again_while_the_machine_is_listed() -> None:
    rental = after_terminate_request(a_rental(S.ENDING), T0 + 10)
    rental = advance(rental, an_observation(20, an_instance()), TIMEOUTS)
    assert rental.state is S.ENDING
    assert not is_terminate_due(rental, T0 + 39, TIMEOUTS)
    assert is_terminate_due(rental, T0 + 40, TIMEOUTS)


def test_advance_ignores_a_list_requested_before_the_terminate_request() -> None:
    rental = after_terminate_request(a_rental(S.ENDING), T0 + 10)
    before = Observation(at=T0 + 12, listed_at=T0 + 9)
    assert advance(rental, before, TIMEOUTS).state is S.ENDING


def test_advance_waits_for_a_machine_that_was_never_listed() -> None:
    rental = after_terminate_request(a_rental(S.ENDING, seen_at=None), T0 + 10)
    assert advance(rental, an_observation(20), TIMEOUTS).state is S.ENDING
    assert advance(rental, an_observation(121), TIMEOUTS).state is S.ENDED


_instances = st.none() | st.sampled_from(InstanceState).map(an_instance)
_workers = st.none() | st.builds(WorkerObservation, st.floats(0, 2000), st.booleans())


@st.composite
def _observations(draw: st.DrawFn) -> list[Observation]:
    now, observations = T0, []
    for step in draw(st.lists(st.floats(0.1, 500), min_size=1, max_size=20)):
        now += step
        listed = draw(st.sampled_from([None, now, now - 0.05]))
        shown = draw(_instances) if listed is not None else None
        reason = draw(st.sampled_from(["", "not needed"]))
        observations.append(Observation(now, listed, shown, draw(_workers), reason))
    return observations


@given(_observations(), st.booleans())
def test_advance_moves_legally_and_closes_only_observed_machines(
    observations: list[Observation], answered: bool
) -> None:
    rental: RentalRecord = a_rental()
    if answered:
        rental = after_create(rental, an_instance(InstanceState.STARTING), T0)
    for observation in observations:
        before = rental
        rental = advance(rental, observation, TIMEOUTS)
        assert rental.state is before.state or _reachable(before.state, rental.state)
        if rental.state is S.ENDED and before.state is not S.ENDED:
            assert observation.listed_at is not None
            assert observation.instance is None or observation.instance.state is InstanceState.ENDED
            assert not rental.provider_id or observation.instance or rental.asked_to_end_at
        if is_terminate_due(rental, observation.at, TIMEOUTS):
            rental = after_terminate_request(rental, observation.at)
    assert rental.ended_at is None or not rental.is_open


def _reachable(source: RentalState, target: RentalState) -> bool:
    return is_legal(source, target) or any(
        _reachable(next_, target) for next_ in TRANSITIONS[source]
    )


@pytest.mark.parametrize("state", [S.CREATED, S.BOOTING])
def test_advance_drains_a_worker_that_joined_between_two_rounds(state: RentalState) -> None:
    unwanted = an_observation(20, an_instance(), worker=AWAKE, release_reason="too late")
    after = advance(a_rental(state), unwanted, TIMEOUTS)
    assert (after.state, after.joined_at, after.reason) == (S.DRAINING, T0 + 20, "too late")


def test_advance_never_changes_a_closed_rental() -> None:
    rental = a_rental(S.ENDED, ended_at=T0)
    assert advance(rental, an_observation(9, an_instance()), TIMEOUTS) == rental
