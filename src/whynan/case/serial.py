"""A report as a dictionary for JSON, and back.

The dataclasses of `facts` are the schema: this file reads their type hints, so a field that is added there needs
nothing here. `class_` is spelled `class`. Reading is strict in what it knows (a wrong type, a missing field, another
schema raise `CaseError` with the path of the field) and lenient in what it does not: unknown keys, from a newer
whynan, are left out and named in the report's notes.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import CaseError
from .facts import SCHEMA, Report
from .strict_json import WORDS

IGNORED = "Left out while reading, because this version of whynan does not know it: "


def to_dict(report: Report) -> dict[str, Any]:
    """The report as dictionaries, lists and scalars; `strict_json.dumps` writes it."""
    return {"schema": report.schema, **_plain(report)}


def from_dict(data: Any) -> Report:
    """The report that `data` (what `strict_json.loads` gave) describes. CaseError says which field is wrong."""
    if not isinstance(data, Mapping):
        raise CaseError(f"This is no report: it has to be a JSON object and is {_shown(data)}.")
    schema = data.get("schema")
    if schema != SCHEMA:
        raise CaseError(f'This is no report that this version can read: "schema" is {_shown(schema)}, not "{SCHEMA}".')
    ignored: list[str] = []
    report = _read(Report, data, "", ignored)
    if ignored:
        report = dataclasses.replace(report, notes=(*report.notes, f"{IGNORED}{', '.join(ignored)}."))
    return report


def plain(value: Any) -> Any:
    """One record of `facts` (or a tuple of them) as dictionaries, lists and scalars."""
    return _plain(value)


def record_from(kind: Any, data: Any) -> Any:
    """The record of class `kind` that `plain` made `data` of. CaseError says which field is wrong."""
    return _read(kind, data, "", [])


def key_of(name: str) -> str:
    """The JSON key of a field: `class_` is `class`."""
    return name.rstrip("_")


@cache
def hints(kind: type) -> dict[str, Any]:
    """Field name -> type of one dataclass of `facts`."""
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {key_of(field.name): _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _read(kind: Any, value: Any, path: str, ignored: list[str]) -> Any:
    """`value` as `kind`, which is a type hint of `facts`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return _history_item(value)
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _read(inner[0], value, path, ignored)
    if origin is Literal:
        if value not in arguments:
            raise CaseError(f"{path} is {_shown(value)}. Valid values are {', '.join(arguments)}.")
        return value
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise CaseError(f"{path} has to be a list and is {_shown(value)}.")
        items = [_read(arguments[0], item, f"{path}[{i}]", ignored) for i, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        if not isinstance(value, Mapping):
            raise CaseError(f"{path} has to be an object and is {_shown(value)}.")
        return {key: _read(arguments[1], item, f"{path}.{key}", ignored) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, path, ignored)
    return _read_scalar(kind, value, path)


def _read_record(kind: Any, value: Any, path: str, ignored: list[str]) -> Any:
    if not isinstance(value, Mapping):
        raise CaseError(f"{path or 'the report'} has to be an object and is {_shown(value)}.")
    dot = f"{path}." if path else ""
    known = {key_of(field.name): field for field in dataclasses.fields(kind)}
    ignored += [f"{dot}{key}" for key in value if key not in known]
    given = {}
    for key, field in known.items():
        if key in value:
            given[field.name] = _read(hints(kind)[field.name], value[key], f"{dot}{key}", ignored)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise CaseError(f"{dot}{key} is missing.")
    return kind(**given)


def _read_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float:
        if isinstance(value, str) and value in WORDS:
            return WORDS[value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise CaseError(f'{path} has to be a number, "nan", "inf" or "-inf", and is {_shown(value)}.')
    if type(value) is not kind:
        raise CaseError(f"{path} has to be {_NAMES[kind]} and is {_shown(value)}.")
    return value


_NAMES = {str: "a string", int: "a whole number", bool: "true or false"}


def _history_item(value: Any) -> Any:
    """One entry of a history series: a number, a number's word, or None where nothing was measured."""
    return WORDS.get(value, value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
