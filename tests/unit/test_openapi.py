"""The description of the HTTP API is valid, complete, and what the program does."""

import re
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from rustqueue.api.routes import ROUTES
from tests.openapi.answers import ANSWERS, CLASHES, MISSING
from tests.openapi.document import FILE, text

DOCUMENT: dict[str, Any] = msgspec.json.decode(FILE.read_bytes())
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value, references of the document included."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def test_the_file_is_what_the_program_is_made_of() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run `python -m tests.openapi`"


def test_the_document_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_route_is_described_and_nothing_else() -> None:
    assert [name for name, _ in OPERATIONS] == list(
        dict.fromkeys(f"{route.method} {path}" for path in DOCUMENT["paths"] for route in ROUTES if route.path == path)
    )
    assert {name for name, _ in OPERATIONS} == {f"{route.method} {route.path}" for route in ROUTES}
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))


def test_the_tables_of_answers_name_verbs_that_there_are() -> None:
    verbs = {route.verb for route in ROUTES}
    assert (set(ANSWERS) | MISSING | CLASHES) - verbs == set()


def test_every_parameter_of_a_path_is_described() -> None:
    for name, operation in OPERATIONS:
        described = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert described == re.findall(r"\{(\w+)\}", name)


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_every_operation_is_told_and_its_examples_fit(name: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] != ""
    assert operation["description"] != ""
    for status, response in operation["responses"].items():
        for media in response.get("content", {}).values():
            for example in media.get("examples", {}).values():
                assert problems(media["schema"], example["value"]) == [], status
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for example in body.get("examples", {}).values():
        assert problems(body["schema"], example["value"]) == []
    for parameter in operation["parameters"]:
        if "example" in parameter:
            assert problems(parameter["schema"], parameter["example"]) == []


def test_most_operations_show_an_answer() -> None:
    silent = [
        name
        for name, operation in OPERATIONS
        if not any(
            "examples" in media
            for answer in operation["responses"].values()
            for media in answer.get("content", {}).values()
        )
    ]
    assert silent == ["GET /api/v1/events", "GET /api/v1/metrics/prometheus"]
