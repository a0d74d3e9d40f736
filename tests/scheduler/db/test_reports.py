"""Statements of a worker's report: facts of its own leases only, and the rows of a commit."""

import json

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import reports
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.policy.models import CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState


def test_find_commit_facts_knows_only_tracks_of_the_holders_lease(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(3)).job_id
    one, two, other = farm.track_ids(job_id)
    holder, stranger = farm.join("holder"), farm.join("stranger")
    offer = farm.lease(holder, job_id, [one, two])
    key = farm.attempt(offer, one).object_key
    open_track = CommitFacts(LeaseState.LIVE, AttemptState.OPEN, key, TrackState.LEASED)
    with farm.database.read() as session:
        ids = [one, other]
        assert reports.find_commit_facts(session, offer.lease_id, holder.id, ids) == {
            one: open_track
        }
        assert reports.find_commit_facts(session, offer.lease_id, stranger.id, ids) == {}


def test_list_attempts_pairs_attempts_with_their_tracks(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), farm.submit(briefs(3)).job_id
    one, two, _ = farm.track_ids(job_id)
    offer = farm.lease(worker, job_id)
    with farm.database.read() as session:
        lease = session.get_one(LeaseRow, offer.lease_id)
        reported = reports.list_attempts(session, lease, [two, one])
        assert sorted(reported) == [one, two]
        for track_id, item in reported.items():
            assert item.attempt.track_id == item.track.id == track_id
            facts = reports.find_commit_facts(session, lease.id, worker.id, [track_id])
            assert {track_id: item.facts} == facts


def test_a_commit_stores_each_result_with_its_own_timings(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), farm.submit(briefs(2)).job_id
    offer = farm.lease(worker, job_id)
    results = [
        farm.upload(offer, i, service=float(n)) for n, i in enumerate(farm.track_ids(job_id), 1)
    ]
    farm.report(worker, offer, done=results)
    artifacts = {artifact.track_id: artifact for artifact in farm.artifacts()}
    for done in results:
        artifact, attempt = artifacts[done.track_id], farm.attempt(offer, done.track_id)
        assert (artifact.sha256, artifact.seed, artifact.size) == (
            done.sha256,
            done.seed,
            done.size,
        )
        assert (artifact.worker_id, artifact.lease_id) == (worker.id, offer.lease_id)
        assert attempt.state == AttemptState.DONE
        assert json.loads(attempt.timings)["service"] == done.timings.service
