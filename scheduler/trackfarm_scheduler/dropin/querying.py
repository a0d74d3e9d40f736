"""`/query_result`: how many tasks stand, in as many questions to the database as for one."""

import json
import re
from collections.abc import Mapping

from trackfarm.api import JobState
from trackfarm.model_sets import model_set
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.dropin import answers
from trackfarm_scheduler.dropin.line import Line, LineWatch
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import calls
from trackfarm_scheduler.store.calls import Call

MOST_IDS = 10_000
_FORM = re.compile(r"[!-~]{1,64}")


def task_ids(fields: Mapping[str, object]) -> list[str]:
    """The ids of a request, as an array or as the JSON text of one. Raises Refused (400)."""
    given = fields.get("task_id_list")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise Refused(400, "task_id_list: is not a list of task ids; send them as a JSON array")
    if len(given) > MOST_IDS:
        raise Refused(400, f"task_id_list: has more than {MOST_IDS} ids; ask in parts")
    return given


def query(farm: Farm, line: LineWatch, caller: Caller, ids: list[str]) -> list[object]:
    """One entry for each id, in their order."""
    seen = line.now()
    sensible = list(dict.fromkeys(filter(_FORM.fullmatch, ids)))
    with farm.database.read() as session:
        found = calls.find(session, sensible, owner=caller.sees)
    return [_entry(task_id, found.get(task_id), seen) for task_id in ids]


def _entry(task_id: str, call: Call | None, line: Line) -> object:
    if call is None:
        return answers.unknown(task_id)
    place = line.place_of(task_id, waits=call.state == JobState.ACCEPTED)
    return answers.task(call, place, model_set(call.model_set))
