"""Single requests of `/api/v1` and their parsed responses."""

from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from trackfarm.api import PREFIX, Job
from trackfarm.client.endings import NotAFarm, lost, never_sent
from trackfarm.client.steps import Request, Rule, Send, Steps

Answer = TypeVar("Answer")


def get(kind: type[Answer], path: str, params: dict[str, Any] | None = None) -> Steps[Answer]:
    return answered(kind, Request(method="GET", url=f"{PREFIX}/{path}", params=params), lost)


def delete(kind: type[Answer], path: str, repeat: Rule) -> Steps[Answer]:
    return answered(kind, Request(method="DELETE", url=f"{PREFIX}/{path}"), repeat)


def ask(
    kind: type[Answer],
    path: str,
    question: BaseModel | None,
    repeat: Rule = lost,
    *,
    method: Literal["POST", "PUT"] = "POST",
) -> Steps[Answer]:
    """Send `question` as JSON; retry after failures for which `repeat` is true."""
    body = question.model_dump_json().encode() if question is not None else None
    headers = {"Content-Type": "application/json"} if body else {}
    request = Request(method=method, url=f"{PREFIX}/{path}", headers=headers, body=body)
    return answered(kind, request, repeat)


def act(job_id: str, action: str, query: dict[str, float] | None = None) -> Steps[Job]:
    """Change a job by its action, such as `pause`."""
    path = f"{PREFIX}/jobs/{segment(job_id)}/{action}"
    return answered(Job, Request(method="POST", url=path, params=query), never_sent)


def answered(kind: type[Answer], request: Request, repeat: Rule) -> Steps[Answer]:
    """Return the response as a `kind`. Raises NotAFarm when it does not validate as one."""
    response: httpx.Response = yield Send(request, repeat)
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as error:
        raise NotAFarm(
            f"the response of {response.url} is not from trackfarm's API"
            f" ({error.error_count()} mistakes, the first: {error.errors()[0]['msg']});"
            " check TRACKFARM_URL and that client and farm have the same version"
        ) from error


def segment(text: str) -> str:
    """Quote one path segment, so that an id like `a/../b` cannot address another resource."""
    return quote(text, safe="")
