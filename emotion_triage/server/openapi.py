"""The API's own description, made from the structs that it reads and writes."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

import emotion_triage
from emotion_triage.server.endpoints import ENDPOINTS, WHO, Endpoint
from emotion_triage.server.schemas import Fault

__all__ = ["document"]

_FAULTS = {
    "400": "The body is not as it should be.",
    "401": "The token is missing, wrong or expired.",
    "403": "The token is not of a kind that may do this.",
    "404": "There is no such call.",
    "409": "The call is not in a state that allows this.",
    "422": "The ledger refuses it, and says why.",
    "503": "The ledger cannot be asked.",
}


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    kinds = [Fault, *(endpoint.answer for endpoint in ENDPOINTS), *(each.body for each in ENDPOINTS if each.body)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        path = re.sub(r":path}", "}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "emotion-triage", "version": emotion_triage.__version__},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, by_kind: dict[str, Any]) -> dict[str, Any]:
    told = inspect.getdoc(endpoint.run) or ""
    faults = {
        status: {"description": why, "content": {"application/json": {"schema": by_kind[repr(Fault)]}}}
        for status, why in _FAULTS.items()
    }
    operation: dict[str, Any] = {
        "operationId": endpoint.run.__name__,
        "summary": told.partition("\n")[0],
        "description": f"For tokens of kind {', '.join(WHO[endpoint.who])}.",
        "responses": {
            "200": {
                "description": "It was done.",
                "content": {"application/json": {"schema": by_kind[repr(endpoint.answer)]}},
            }
        }
        | faults,
    }
    if "{call_id" in endpoint.path:
        operation["parameters"] = [{"name": "call_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_kind[repr(endpoint.body)]}},
        }
    return operation
