"""Jobs by what callers call them."""

from sqlmodel import Session

from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import jobs
from trackfarm_scheduler.store.tables import Job


def find_job(session: Session, caller: Caller, reference: str) -> Job:
    """The caller's job of this id, or whose id begins so. Raises Refused (404, 409)."""
    found = jobs.find(session, reference, owner=caller.sees)
    if not found:
        raise Refused(404, f"there is no job {reference}; `trackfarm jobs` lists them")
    if len(found) > 1:
        raise Refused(409, f"{reference} is the beginning of several jobs; give more of it")
    return found[0]
