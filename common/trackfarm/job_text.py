"""Jobs and workers in words, for the operator (pure)."""

from trackfarm.model_sets import DEMO
from trackfarm.protocol.operator import JobInfo, JobState, WorkerInfo
from trackfarm.text import clean, counted, one_line, rate_words, time_words

NOISE = (
    "The audio is noise: model set {model_set} has random weights and exists to try the farm out,"
    " not to make music."
)
TOY = (
    "`demo` is a 5 MB toy in the shape of ACE-Step: it plays plucks and drums in the bpm (or its"
    " octave), the key and one of eight genres that a brief names. It knows nothing else of your"
    " prompt, sings nothing, and says nothing about how ACE-Step sounds."
)


def tier_words(worker: WorkerInfo) -> str:
    """Return the worker's tier; on a CPU just `cpu`, as a tier means nothing to an operator."""
    return worker.tier if worker.device == "gpu" else worker.device


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
    """Return a warning for noise; empty for music."""
    return NOISE.format(model_set=job.model_set) if job.is_noise else ""


def audio_note(model_set: str, *, is_noise: bool) -> str:
    """Return the nature of a built-in model set's audio; empty for real models."""
    if is_noise:
        return NOISE.format(model_set=model_set)
    return TOY if model_set == DEMO else ""


def state_words(job: JobInfo) -> str:
    return f"{job.state.value} ({one_line(job.reason)})" if job.reason else job.state.value
