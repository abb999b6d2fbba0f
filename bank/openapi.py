"""The description of the bank's HTTP side (OpenAPI 3.1)."""

from collections.abc import Sequence
from typing import Any

_SUMMARIES = {
    "order": "Exchange or hold coins, or execute a held order",
    "withdraw": "Certify coins and debit an account",
    "deposit": "Spend coins and credit an account",
    "replace": "Credit an account with expired coins that it withdrew and never spent",
    "statements": "Read an account's statements",
}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_STATUSES = {
    "400": "Not a request of this kind; a request that is malformed further in gets a signed refusal (200)",
    "413": "Too long",
    "503": "Not now: no board, a full disk, too many at once. Nothing happened; ask again",
}


def describe(post_paths: Sequence[str]) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    paths: dict[str, Any] = {path: {"post": _post(path.rsplit("/", 1)[1])} for path in post_paths}
    paths["/api/v1/keys"] = {"get": _get("The bank's id, signing key, coin epoch, values, terms and limits")}
    paths["/openapi.json"] = {"get": _get("This description")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mixmint bank",
            "version": "1",
            "description": "The direct, not anonymous side. Bytes as in docs/spec/order.md and account.md.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _post(name: str) -> dict[str, Any]:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": _SUMMARIES[name],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The bank's signed answer", "content": content},
            **{status: {"description": text, "content": error} for status, text in _STATUSES.items()},
        },
    }


def _get(summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}
