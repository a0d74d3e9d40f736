"""A job's tracks as the API shows them: pages in catalog order, filtered by state and tags."""

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import jobs, track_list
from trackfarm_scheduler.db.tables_catalog import TrackTagRow


def ordinals(farm: FarmFixture, job_id: str, **filters: object) -> list[int]:
    values = {"after": 0, "limit": 100} | filters
    with farm.database.read() as session:
        page = track_list.list_page(session, job_id, **values)  # type: ignore[arg-type]
        return [link.ordinal for link, *_ in page]


def tagged(farm: FarmFixture) -> str:
    """Submit three tracks: two calm ones, one of them for the bar, and a loud one for the bar."""
    submission = farm.begin_submission()
    tags = [{"mood": "calm"}, {"mood": "calm", "zone": "bar"}, {"mood": "loud", "zone": "bar"}]
    farm.add_briefs(submission, [briefs(1, word=str(n), tags=t)[0] for n, t in enumerate(tags)])
    return farm.seal_submission(submission).job_id


def test_list_page_requires_all_tags(farm: FarmFixture) -> None:
    job_id = tagged(farm)
    assert ordinals(farm, job_id) == [1, 2, 3]
    assert ordinals(farm, job_id, labels=[("mood", "calm")]) == [1, 2]
    assert ordinals(farm, job_id, labels=[("mood", "calm"), ("zone", "bar")]) == [2]
    assert ordinals(farm, job_id, labels=[("mood", "bar")]) == []


def test_list_page_goes_on_after_an_ordinal(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(5)).job_id
    assert ordinals(farm, job_id, limit=2) == [1, 2]
    assert ordinals(farm, job_id, after=2, limit=2) == [3, 4]


def test_job_has_tags_finds_jobs_by_one_of_their_tracks(farm: FarmFixture) -> None:
    job_id = tagged(farm)
    farm.submit(briefs(1, word="plain"))
    with farm.database.read() as session:
        for labels, found in ([("mood", "loud")], [job_id]), ([("mood", "sad")], []):
            assert [job.id for job in jobs.list_newest(session, 10, labels=labels)] == found


def test_view_shows_the_title_tempo_and_key_of_the_brief(farm: FarmFixture) -> None:
    plain, described = briefs(1)[0], briefs(1, title="At dusk", bpm=90, key_scale="f maj")[0]
    job_id = farm.submit([plain, described]).job_id
    with farm.database.read() as session:
        rows = track_list.list_page(session, job_id, after=0, limit=10)
        views = [track_list.view(*row, url=None) for row in rows]
    assert [(v.title, v.bpm, v.key_scale) for v in views] == [
        ("", None, None),
        ("At dusk", 90, "F major"),
    ]


def test_view_shows_attempts_and_the_artifact(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), tagged(farm)
    first = farm.track_ids(job_id)[0]
    offer = farm.lease(worker, job_id, [first])
    farm.report(worker, offer, failed=[failure(first)])
    offer = farm.lease(worker, job_id, [first])
    done = farm.upload(offer, first)
    farm.report(worker, offer, done=[done])
    with farm.database.read() as session:
        (row,) = track_list.list_page(session, job_id, after=0, limit=10, states=[TrackState.DONE])
        view = track_list.view(*row, url="https://store/track")
    assert (view.id, view.attempts, view.tags, view.state) == (
        first,
        2,
        {"mood": "calm"},
        TrackState.DONE,
    )
    assert view.artifact is not None
    assert (view.artifact.sha256, view.artifact.seconds) == (done.sha256, 10.0)
    assert view.url == "https://store/track"


def test_delete_tags_leaves_those_of_other_jobs(farm: FarmFixture) -> None:
    job_id, other = tagged(farm), farm.submit(briefs(1, word="x", tags={"mood": "calm"})).job_id
    with farm.database.write() as session:
        track_list.delete_tags(session, job_id)
    assert [row.job_id for row in farm.rows(TrackTagRow)] == [other]
