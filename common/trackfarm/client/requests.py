"""Single requests of `/api/v1` with their answers, and the upload of a file by a signed URL."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from trackfarm.client.errors import NotAFarm, was_lost, was_not_sent
from trackfarm.client.sansio import Request, RetryRule, Send, Steps
from trackfarm.protocol.operator import API_PREFIX, JobInfo

Answer = TypeVar("Answer")


def get(
    answer_type: type[Answer], path: str, params: dict[str, Any] | None = None
) -> Steps[Answer]:
    return parsed_answer(
        answer_type, Request(method="GET", url=f"{API_PREFIX}/{path}", params=params), was_lost
    )


def delete(answer_type: type[Answer], path: str, retry_if: RetryRule) -> Steps[Answer]:
    return parsed_answer(
        answer_type, Request(method="DELETE", url=f"{API_PREFIX}/{path}"), retry_if
    )


def ask(
    answer_type: type[Answer],
    path: str,
    question: BaseModel | None,
    retry_if: RetryRule = was_lost,
    *,
    method: Literal["POST", "PUT"] = "POST",
) -> Steps[Answer]:
    """Send `question` as JSON; retry after failures for which `retry_if` is true."""
    body = question.model_dump_json().encode() if question is not None else None
    headers = {"Content-Type": "application/json"} if body else {}
    request = Request(method=method, url=f"{API_PREFIX}/{path}", headers=headers, body=body)
    return parsed_answer(answer_type, request, retry_if)


def act(job_id: str, action: str, query: dict[str, float] | None = None) -> Steps[JobInfo]:
    """Change a job by its action, such as `pause`."""
    path = f"{API_PREFIX}/jobs/{segment(job_id)}/{action}"
    return parsed_answer(JobInfo, Request(method="POST", url=path, params=query), was_not_sent)


def parsed_answer(
    answer_type: type[Answer], request: Request, retry_if: RetryRule
) -> Steps[Answer]:
    """Return the response as an `answer_type`. Raises NotAFarm when it does not validate as one."""
    response: httpx.Response = yield Send(request, retry_if)
    try:
        return TypeAdapter(answer_type).validate_json(response.content)
    except ValidationError as error:
        raise NotAFarm(
            f"the response of {response.url} is not from trackfarm's API"
            f" ({error.error_count()} mistakes, the first: {error.errors()[0]['msg']});"
            " check TRACKFARM_URL and that client and farm have the same version"
        ) from error


def segment(text: str) -> str:
    """Quote one path segment, so that an id like `a/../b` cannot address another resource."""
    return quote(text, safe="")


BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Size (bytes) and digests of a file; `md5` in base64 for Content-MD5, `sha256` in hex."""

    size: int
    md5: str
    sha256: str


def content_of(path: Path) -> Content:
    """Read the file once, in chunks, and return its size and digests. Raises OSError."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return Content(size, base64.b64encode(md5.digest()).decode(), sha256.hexdigest())


def put(path: Path, content: Content, url: str, headers: Mapping[str, str]) -> Request:
    """Return the PUT request of the whole file to a signed URL that requires `headers`."""
    content_headers = {"Content-Length": str(content.size), "Content-MD5": content.md5}
    return Request(
        method="PUT", url=url, headers={**headers, **content_headers}, body=partial(_blocks, path)
    )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
