"""The JSON schema of a report, made from the dataclasses of `facts`. `python -m whynan.case.schema` prints it.

schema.json beside this file is that text, for people and for other programs; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import json
import types
from typing import Any, Literal, Union, get_args, get_origin

from .facts import SCHEMA, Report
from .serial import hints, key_of

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"$ref": "#/$defs/number"},
    Any: {},
}


def schema() -> dict[str, Any]:
    """The schema of `whynan.report/1` (JSON Schema, draft 2020-12)."""
    definitions: dict[str, Any] = {
        "number": {
            "description": "A number; JSON has no non-finite ones, so those are words.",
            "anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}],
        }
    }
    root = _record(Report, definitions)
    root["properties"]["schema"] = {"const": SCHEMA}
    root["required"] = ["schema", *root["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "What whynan found in one run",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    return {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": {key_of(field.name): _type(hints(kind)[field.name], definitions) for field in fields},
        "required": [
            key_of(field.name)
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ],
    }


def _type(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(arguments[0], definitions), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (tuple, list):
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if dataclasses.is_dataclass(kind):
        name = getattr(kind, "__name__", str(kind))
        if name not in definitions:
            definitions[name] = _record(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return _SCALARS[kind]


def text() -> str:
    """The schema as the text of schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(text(), end="")
