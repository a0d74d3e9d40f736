"""Tables of jobs and workers."""

from collections.abc import Sequence

from rich.table import Table

from trackfarm.job_text import attention, audio_note, state_words, tier_words
from trackfarm.protocol.operator import InvitationInfo, JobInfo, WorkerInfo
from trackfarm.text import clean, counted, one_line, rate_words, time_words


def jobs_table(jobs: Sequence[JobInfo]) -> Table:
    table = _table("job", "catalog", "model set", "state", "done", "failed", "tracks", "tracks/h")
    for job in jobs:
        rate = "" if job.tracks_per_hour is None else f"{job.tracks_per_hour:,.0f}"
        counts = [f"{n:,}" for n in (job.tracks.done, job.tracks.failed, job.tracks.total)]
        table.add_row(job.id, clean(job.catalog), job.model_set, job.state.value, *counts, rate)
    return table


def workers_table(workers: Sequence[WorkerInfo]) -> Table:
    table = _table(
        "worker", "state", "gpu", "tier", "model set", "shards", "done", "failed", "seen"
    )
    for worker in workers:
        table.add_row(
            clean(worker.name or worker.id),
            worker.state.value,
            clean(worker.gpu),
            tier_words(worker),
            clean(worker.model_set),
            str(worker.shards),
            f"{worker.tracks_done:,}",
            f"{worker.tracks_failed:,}",
            f"{time_words(worker.seconds_since_heartbeat)} ago",
        )
    return table


def invitations_table(invitations: Sequence[InvitationInfo]) -> Table:
    table = _table("invitation", "uses left", "until", "provider", "rental", "by", "note")
    for invitation in invitations:
        until = f"{invitation.expires_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(
            invitation.id,
            str(invitation.uses_left),
            "revoked" if invitation.revoked_at else until,
            clean(invitation.provider or ""),
            clean(invitation.rental_tag or ""),
            clean(invitation.made_by),
            clean(invitation.note),
        )
    return table


def job_card(job: JobInfo) -> Table:
    """Return all details of one job."""
    counts = job.tracks
    return _card(
        {
            "job": job.id,
            "catalog": clean(job.catalog),
            "model set": job.model_set,
            "state": state_words(job),
            "priority": str(job.priority),
            "tracks": f"{counts.total:,}: {counts.done:,} done, {counts.leased:,} being made,"
            f" {counts.pending:,} waiting, {counts.failed:,} failed,"
            f" {counts.cancelled:,} cancelled",
            "new tracks": f"{job.new_tracks:,}",
            "audio": f"{_minutes(job.audio_seconds_done)} of {_minutes(job.audio_seconds)}",
            "rate": rate_words(job.tracks_per_hour),
            "ETA": "" if job.eta_seconds is None else time_words(job.eta_seconds),
            "planned": _planned(job),
            "deadline": f"{job.deadline.astimezone():%Y-%m-%d %H:%M}" if job.deadline else "",
            "spent": _spent(job),
            "submitted": f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}",
            "notice": attention(job),
            "note": audio_note(job.model_set, is_noise=job.is_noise),
        }
    )


def ending_card(job: JobInfo, failures: dict[str, int], files: str) -> Table:
    """Return a job's outcome. `failures`: tracks by reason; `files`: the place of the audio."""
    reasons = [f"{counted(n, 'track')}: {one_line(reason)}" for reason, n in failures.items()]
    return _card(
        {
            "job": f"{job.id} {state_words(job)}",
            "tracks": f"{job.tracks.done:,} of {job.tracks.total:,} done",
            "audio": _minutes(job.audio_seconds_done),
            "rate": rate_words(job.tracks_per_hour),
            "failed": "\n".join([f"{job.tracks.failed:,}", *reasons]),
            "files": files,
            "note": audio_note(job.model_set, is_noise=job.is_noise),
        }
    )


def _planned(job: JobInfo) -> str:
    """Return time and price of the plan made when the job was submitted."""
    eta = (job.plan or {}).get("eta_seconds")
    if not eta:
        return ""
    low, expected, high = (time_words(eta[name]) for name in ("low", "expected", "high"))
    dollars = job.plan["cost"]["total"]["expected"] if job.plan else 0.0
    price = f", ${dollars:,.2f}" if dollars else ""
    return f"{expected} ({low} to {high}){price}"


def _spent(job: JobInfo) -> str:
    if job.budget is None:
        return f"${job.spent:,.2f}" if job.spent else ""
    return f"${job.spent:,.2f} of ${job.budget:,.2f}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = {"done", "failed", "tracks", "tracks/h", "shards", "seen"}
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left")
    return table


def _card(rows: dict[str, str]) -> Table:
    card = Table(box=None, pad_edge=False, show_header=False)
    card.add_column(style="bold", no_wrap=True)
    card.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            card.add_row(name, value)
    return card
