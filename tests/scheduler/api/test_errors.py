"""Errors as problem details: pydantic's errors without the values that were sent."""

import json

from pydantic import AwareDatetime, BaseModel, ValidationError

from trackfarm_scheduler.api.errors import (
    MAX_ERRORS_SHOWN,
    MEDIA_TYPE,
    problem_response,
    validation_errors,
)


class Form(BaseModel, extra="forbid"):
    number: int = 0
    at: AwareDatetime | None = None


def errors_of(**values: object) -> list[dict[str, str]]:
    try:
        Form.model_validate(values)
    except ValidationError as error:
        return validation_errors(error.errors())
    return []


def test_validation_errors_name_the_field_and_repeat_no_value() -> None:
    (error,) = errors_of(number="secret")
    assert error["field"] == "number"
    assert "secret" not in error["message"]


def test_validation_errors_say_how_to_write_a_time() -> None:
    (without_zone,) = errors_of(at="2026-11-20T00:00:00")
    assert without_zone["message"].startswith("has no time zone")
    (no_time,) = errors_of(at="tomorrow")
    assert no_time["message"].startswith("is not a time")


def test_validation_errors_are_bounded() -> None:
    many = {f"unknown{i}": i for i in range(MAX_ERRORS_SHOWN + 10)}
    assert len(errors_of(**many)) == MAX_ERRORS_SHOWN


def test_problem_response_has_the_members_of_rfc_9457() -> None:
    response = problem_response(404, "there is no job x", headers={"X-Test": "1"})
    assert (response.status_code, response.media_type) == (404, MEDIA_TYPE)
    assert response.headers["x-test"] == "1"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no job x",
        "errors": [],
    }
