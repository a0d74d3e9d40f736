"""Descriptions of jobs for the operator (pure).

Untrusted text made safe to print: terminals obey control characters.
"""

from trackfarm.protocol.operator import JobInfo, JobState, WorkerInfo


def clean(text: str) -> str:
    """Replace characters that could control a terminal; keep line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def line(text: str) -> str:
    """Replace such characters and put the text on one line."""
    return text if text.isprintable() else " ".join(clean(text).split())


NOISE = (
    "The audio is noise: model set {model_set} has random weights and exists to try the farm out,"
    " not to make music."
)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def one_line(text: str, width: int = 120) -> str:
    """Return the text on one line of at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def time_words(seconds: float) -> str:
    """Return a duration such as 45 s, 12 min, 3 h 05 min or 2 d 4 h."""
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{round(whole / _MINUTE)} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def rate_words(tracks_per_hour: float | None) -> str:
    return "? tracks/h" if tracks_per_hour is None else f"{tracks_per_hour:,.0f} tracks/h"


def tier_words(worker: WorkerInfo) -> str:
    """Return the worker's tier; on a CPU just `cpu`, as a tier means nothing to an operator."""
    return worker.tier if worker.device == "gpu" else worker.device


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def progress_words(job: JobInfo) -> str:
    """Return one line about the progress of a job."""
    parts = [
        f"{job.tracks.done:,}/{job.tracks.total:,} tracks",
        rate_words(job.tracks_per_hour),
        f"ETA {time_words(job.eta_seconds)}" if job.eta_seconds is not None else None,
        f"{job.tracks.failed:,} failed",
        counted(job.eligible_workers, "worker"),
    ]
    return f"{job.state.value}: " + ", ".join(part for part in parts if part)


def attention(job: JobInfo) -> str:
    """Return the reason why the job does not progress, or the farm's notice; else empty."""
    if job.state is JobState.PAUSED:
        return f"paused; `trackfarm resume {job.id}` resumes it"
    if not job.state.ended and job.eligible_workers == 0:
        return (
            f"no worker serves model set {job.model_set}; start one with"
            f" `trackfarm up --model-set {job.model_set}`, or `trackfarm-worker` on a machine"
            f" with TRACKFARM_WORKER_MODEL_SET={job.model_set}"
        )
    return clean(job.notice)


def noise_warning(job: JobInfo) -> str:
    """Return a warning for noise; empty for real music."""
    return NOISE.format(model_set=job.model_set) if job.is_noise else ""


def state_words(job: JobInfo) -> str:
    return f"{job.state.value} ({one_line(job.reason)})" if job.reason else job.state.value
