"""`/query_result`: the state of many tasks, with as many database queries as for one."""

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
    """Return the ids of a request, an array or its JSON text. Raises Refused (400)."""
    ids = fields.get("task_id_list")
    if isinstance(ids, str):
        try:
            ids = json.loads(ids)
        except (ValueError, RecursionError):
            ids = None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise Refused(400, "task_id_list: is not a list of task ids; send them as a JSON array")
    if len(ids) > MOST_IDS:
        raise Refused(400, f"task_id_list: has more than {MOST_IDS} ids; send several requests")
    return ids


def query(farm: Farm, line: LineWatch, caller: Caller, ids: list[str]) -> list[object]:
    """Return one entry for each id, in the order of the ids."""
    snapshot = line.now()
    valid_ids = list(dict.fromkeys(filter(_FORM.fullmatch, ids)))
    with farm.database.read() as session:
        calls_by_id = calls.find(session, valid_ids, owner=caller.sees)
    return [_entry(task_id, calls_by_id.get(task_id), snapshot) for task_id in ids]


def _entry(task_id: str, call: Call | None, line: Line) -> object:
    if call is None:
        return answers.unknown(task_id)
    place = line.place_of(task_id, waits=call.state == JobState.ACCEPTED)
    return answers.task(call, place, model_set(call.model_set))
