"""Schemas of the drop-in API describe parameters that it understands."""

import pytest

from trackfarm.catalog import Brief
from trackfarm_scheduler.acestep_api.parameters import TOKEN, canonical
from trackfarm_scheduler.acestep_api.schemas import ReleaseBody, request_body_schema

NO_FIELD_OF_A_BRIEF = {"model", "use_random_seed", TOKEN}


@pytest.mark.parametrize(
    "name", [n for n in ReleaseBody.model_fields if n not in NO_FIELD_OF_A_BRIEF]
)
def test_documented_parameters_are_fields_of_a_brief(name: str) -> None:
    assert canonical(name) in Brief.model_fields


def test_request_body_schema_has_every_media_type() -> None:
    body = request_body_schema(ReleaseBody, "application/json", "multipart/form-data")
    content = body["requestBody"]["content"]
    assert list(content) == ["application/json", "multipart/form-data"]
    assert "prompt" in content["multipart/form-data"]["schema"]["properties"]
