"""The OpenAPI description matches the server.

Valid and invalid requests generated from it get the responses it describes, and never a 5xx.
"""

import json
import time
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.end_to_end.farm import API_KEY, JOIN_TOKEN, LocalFarm
from tests.security.routes import bearer
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import NDJSON, JobHeader

EXAMPLES = 10  # of each operation in the quick run
SOAK_SECONDS = 600
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FACTS = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}


@schemathesis.serializer(NDJSON)
def lines(_context: Any, value: Any) -> bytes:
    """Serialize a submission as bytes; values other than text as JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str).encode()


@pytest.fixture(scope="module")
def description(farm: LocalFarm) -> BaseSchema:
    """The description of a farm that has a job."""
    farm.client.submit(
        JobHeader(catalog="described", model_set="tiny"), [Brief(prompt="calm", duration=10)]
    )
    response = httpx.get(f"{farm.url}/openapi.json", headers=bearer(API_KEY)).raise_for_status()
    schema = schemathesis.openapi.from_dict(response.json())
    schema.config.update(base_url=farm.url)
    return schema


def given_out(farm: LocalFarm) -> dict[str, str]:
    """Return a token for each security scheme, by its name."""
    url = f"{farm.url}/worker/v1/register"
    joined = httpx.post(url, headers=bearer(JOIN_TOKEN), json=FACTS).raise_for_status().json()
    return {"key": API_KEY, "join_token": JOIN_TOKEN, "worker_token": joined["token"]}


def operations(description: BaseSchema) -> list[APIOperation[Any, Any, Any, Any]]:
    found = [r.ok() for r in description.get_all_operations() if isinstance(r, Ok)]
    # A stream of events never ends, so a client would wait for ever.
    found = [each for each in found if not each.path.endswith("/{reference}/events")]
    # `leave` comes last, because it voids the worker token.
    return sorted(found, key=lambda operation: operation.path.endswith("/leave"))


def tried(
    operation: APIOperation[Any, Any, Any, Any],
    token: str,
    mode: GenerationMode,
    examples: int,
    chance: int,
) -> None:
    @seed(chance)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=bearer(token), checks=CHECKS)

    ask()


def tried_all(
    description: BaseSchema, tokens: dict[str, str], *, examples: int = EXAMPLES, chance: int = 1
) -> int:
    """Try all operations; returns their number."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    found = operations(description)
    for operation in found:
        (scheme,) = operation.definition.raw["security"][0]
        for mode in modes:
            tried(operation, tokens[scheme], mode, examples // len(modes), chance)
    return len(found)


def test_requests_generated_from_the_description_are_answered(
    farm: LocalFarm, description: BaseSchema
) -> None:
    assert tried_all(description, given_out(farm)) >= 20
    assert farm.scheduler.is_running


@pytest.mark.soak
@pytest.mark.timeout(2 * SOAK_SECONDS)
def test_ten_minutes_of_generated_requests_are_answered(
    farm: LocalFarm, description: BaseSchema
) -> None:
    began, chance = time.monotonic(), 2
    while time.monotonic() < began + SOAK_SECONDS:
        tried_all(description, given_out(farm), examples=100, chance=chance)
        chance += 1
    assert farm.scheduler.is_running
