"""Exit codes of the command line, one meaning each."""

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
    "Exit codes: 0 success; 1 the job failed, was cancelled or has failed tracks, or the command"
    " could not finish; 2 bad input (usage or catalog), nothing was sent; 3 no farm can be reached;"
    " 4 the farm refused the request; 130 Ctrl-C."
)


def code_of(job: Job) -> ExitCode:
    """Return the exit code for a job that ended: OK only if done without failed tracks."""
    whole = job.state is JobState.DONE and job.tracks.failed == 0
    return ExitCode.OK if whole else ExitCode.INCOMPLETE
