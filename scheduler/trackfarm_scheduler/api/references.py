"""Lookup of jobs by the references that callers use."""

from sqlmodel import Session

from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import jobs
from trackfarm_scheduler.store.tables import Job


def find_job(session: Session, caller: Caller, reference: str) -> Job:
    """Return the caller's job with this id or beginning of an id. Raises Refused (404, 409)."""
    matches = jobs.find(session, reference, owner=caller.sees)
    if not matches:
        raise Refused(404, f"there is no job {reference}; `trackfarm jobs` lists them")
    if len(matches) > 1:
        raise Refused(409, f"{reference} matches several jobs; give more of the id")
    return matches[0]
