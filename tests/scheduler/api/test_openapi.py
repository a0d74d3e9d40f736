"""`docs/openapi.json` matches this version and has examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from trackfarm_scheduler.api.openapi import examples
from trackfarm_scheduler.dump_openapi import description

WRITTEN = Path(__file__).parents[3] / "docs" / "openapi.json"
WITHOUT_FORM = {"/format_input", "/create_random_sample"}  # their responses have no schema


@pytest.fixture(scope="module")
def text() -> str:
    return description()


@pytest.fixture(scope="module")
def described(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_written_description_is_up_to_date(text: str) -> None:
    assert WRITTEN.read_text("utf-8") == text, "run `make openapi`"


def test_examples_match_their_schemas(described: dict[str, Any]) -> None:
    for name, example in examples()["schemas"].items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        jsonschema.Draft202012Validator(schema).validate(example)
    for status, example in examples()["refusals"].items():
        assert str(example["status"]) == status


def bodies(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            if "requestBody" in operation:
                yield f"{place} request", operation["requestBody"]["content"]
            for status, answer in operation["responses"].items():
                if status.startswith("2") and path not in WITHOUT_FORM:
                    yield f"{place} {status}", answer.get("content", {})


def test_bodies_all_have_an_example(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]

    def has_example(content: dict[str, Any]) -> bool:
        schema = content.get("schema", {})
        schema = schema.get("items", schema)
        named = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        is_flat = named.get("additionalProperties", {}) != {} and "properties" not in named
        return "example" in content or "examples" in named or is_flat

    without = [
        place
        for place, content in bodies(described)
        for kind, body in content.items()
        if "json" in kind and not has_example(body)
    ]
    assert without == []
