"""JSON that every parser can read: the numbers that JSON lacks are the strings "nan", "inf" and "-inf".

Nothing else is changed. Reading gives those strings back as strings, because only the schema knows whether a field
holds a number (`birth.inputs[0].max`) or a word (`symptom.value`); `serial.from_dict` turns the former into floats.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON text. TypeError for what JSON has no form for, as json.dumps."""
    return json.dumps(_spelled(value), allow_nan=False, indent=indent)


def loads(text: str) -> Any:
    """The value of strict JSON text. ValueError where it is none, also for the bare words NaN and Infinity."""
    return json.loads(text, parse_constant=_refuse)


def _spelled(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return value


def _refuse(word: str) -> NoReturn:
    raise ValueError(f'{word} is no JSON. Strict JSON spells non-finite numbers as "nan", "inf" and "-inf".')
