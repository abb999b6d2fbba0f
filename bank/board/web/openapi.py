"""The description of the board's HTTP side (OpenAPI 3.1), generated from what serves it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bank.board.web.endpoints import Endpoint, Parameter
from bank.board.web.views import ErrorView

_STATUSES = {
    202: "Taken; the receipt says for which round",
    400: "The request is malformed",
    403: "It is not signed as it must be, or doesn't prove what it says",
    404: "There is no such thing",
    409: "Another group is waited for; the receipt says which",
    413: "It is too long",
    429: "Too many like this one; Retry-After says when to come again",
    503: "Not now; try again later",
}


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    kinds = [endpoint.answer for endpoint in endpoints if endpoint.answer] + [ErrorView]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mixmint bulletin board",
            "version": "1",
            "description": "The public log of coins certified and spent. See docs/spec/board.md and log.md.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, by_kind: dict[type, dict[str, Any]]) -> dict[str, Any]:
    good = by_kind[endpoint.answer] if endpoint.answer else {"type": "string"}
    error = {"application/json": {"schema": by_kind[ErrorView]}}
    responses: dict[str, Any] = {
        "200": {"description": endpoint.summary, "content": {endpoint.media_type: {"schema": good}}}
    }
    for status in sorted({400, *endpoint.statuses}):
        # They carry the same receipt as a 200.
        content = {endpoint.media_type: {"schema": good}} if status in (202, 409) else error
        responses[str(status)] = {"description": _STATUSES[status], "content": content}
    operation: dict[str, Any] = {"summary": endpoint.summary, "responses": responses}
    if endpoint.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in endpoint.parameters]
    if endpoint.method == "POST":
        body = {"application/octet-stream": {"schema": {"type": "string"}}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any]
    if parameter.pattern:
        schema = {"type": "string", "pattern": parameter.pattern}
    elif parameter.hex_bytes:
        schema = {"type": "string", "pattern": f"^[0-9a-fA-F]{{{2 * parameter.hex_bytes}}}$"}
    else:
        schema = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
        if parameter.default is not None:
            schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": schema,
    }
