"""How the command line ends: one meaning for each exit code."""

from enum import IntEnum

from trackfarm.api import Job, JobState


class ExitCode(IntEnum):
    OK = 0
    INCOMPLETE = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 all well; 1 the job failed, was cancelled or has failed tracks, or something"
    " could not be done to its end; 2 bad input (usage or catalog), nothing was sent; 3 no farm"
    " can be reached; 4 the farm refused; 130 Ctrl-C."
)


def code_of(job: Job) -> ExitCode:
    """What a job that ended means to whoever waited for it."""
    whole = job.state is JobState.DONE and job.tracks.failed == 0
    return ExitCode.OK if whole else ExitCode.INCOMPLETE
