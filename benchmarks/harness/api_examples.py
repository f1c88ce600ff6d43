"""The documented examples of the API, as requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

Described = dict[str, Any]


class Operation(NamedTuple):
    """An operation as OpenAPI describes it."""

    method: str
    path: str
    description: Described


class Request(NamedTuple):
    """A request; ``options`` are those of httpx."""

    method: str
    path: str
    options: dict[str, Any]


@cache
def description() -> Described:
    """The description of the API."""
    from serving.app import describe

    return describe()


@cache
def operations() -> dict[str, Operation]:
    """Every operation by its id."""
    return {
        operation["operationId"]: Operation(method.upper(), path, operation)
        for path, by_method in description()["paths"].items()
        for method, operation in by_method.items()
    }


def links() -> dict[str, tuple[str, dict[str, str]]]:
    """By operation: the operation whose response is linked to it, and the linked parameters."""
    return {
        link["operationId"]: (name, link["parameters"])
        for name, operation in operations().items()
        for response in operation.description["responses"].values()
        for link in response.get("links", {}).values()
    }


def linked_values(parameters: Mapping[str, str], body: Any) -> dict[str, str]:
    """The values of linked parameters in a response."""
    return {name: _at(body, place.partition("#")[2]) for name, place in parameters.items()}


def example_request(name: str, linked: Mapping[str, str]) -> Request:
    """The documented example of an operation, with values that the response of another is linked to.

    Raises:
        LookupError: a parameter of the path, or the body, has no example.
    """
    method, path, operation = operations()[name]
    options: dict[str, Any] = {"params": {}}
    for parameter in operation.get("parameters", ()):
        value = linked.get(parameter["name"], _example(parameter["schema"]))
        if parameter["in"] == "path":
            if value is None:
                raise LookupError(f"{name}: no example of {parameter['name']}")
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif value is not None:
            options["params"][parameter["name"]] = value
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        options["json"] = content.get("example") or _example(content["schema"])
        if not options["json"]:
            raise LookupError(f"{name}: no example of a body")
    return Request(method, path, options)


def _example(schema: Described) -> Any:
    """The first documented example of a body or a parameter; None if there is none."""
    if "$ref" in schema:
        schema = description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return next(iter(schema.get("examples", ())), None)


def _at(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer."""
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
