"""What a guard may do. Never imports torch: a bad word is answered before anything is started.

    "skip"                        hold back an update whose loss or gradients are not finite
    "clip", "clip=percentile:95"  limit the gradients to what their own past says is usual; also zscore:3, norm:1.0
    "rollback", "rollback=10"     put back a healthy state of so many iterations ago or more, drop the batches since
    "rate=0.5"                    with each rollback, multiply the learning rate by this for good; no batch but the
                                  failing one is dropped then
    "precision", "precision=50"   execute the iterations again without autocast, and so many after them
    "cap=20"                      actions of the whole run (clipping is not counted)
    "row=5"                       actions without a healthy update between them
    "wait=600"                    seconds that a rank waits for the others before an update (skip and clip)
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError

_BARE = {"skip": True, "clip": "percentile:95", "rollback": 10, "precision": 50}
_METHODS = {"percentile": (0, 100), "zscore": (0, math.inf), "norm": (0, math.inf)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a guard may do; UsageError where a value cannot be meant."""

    # hold back updates that are not finite
    skip: bool = False
    # method:number, see above; None: no clipping
    clip: str | None = None
    # iterations to go back; 0: never
    rollback: int = 0
    # factor of the learning rate after each rollback
    rate: float = 1.0
    # iterations in full precision; 0: never
    precision: int = 0
    # actions of the whole run
    cap: int = 20
    # actions without a healthy update between them
    row: int = 5
    # seconds for the slowest rank to come to its update
    wait: float = 600.0

    def __post_init__(self) -> None:
        for name in ("rollback", "precision", "cap", "row"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise UsageError(f"guard: {name} is {value!r}. Valid values are whole numbers from 0 up.")
        if not isinstance(self.rate, (int, float)) or not 0 < self.rate <= 1:
            raise UsageError(f"guard: rate is {self.rate!r}. Valid values are factors above 0, at most 1.")
        if not isinstance(self.wait, (int, float)) or not 0 < self.wait < math.inf:
            raise UsageError(f"guard: wait is {self.wait!r}. Valid values are seconds above 0.")
        if not isinstance(self.skip, bool):
            raise UsageError(f"guard: skip is {self.skip!r}. Valid values are True and False.")
        if self.clip is not None:
            method(self.clip)

    @property
    def acts(self) -> bool:
        return self.skip or self.clip is not None or self.rollback > 0 or self.precision > 0


def method(clip: Any) -> tuple[str, float]:
    """("percentile", 95.0) of "percentile:95"."""
    name, _, number = clip.partition(":") if isinstance(clip, str) else ("", "", "")
    low, high = _METHODS.get(name, (math.inf, -math.inf))
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not low < value <= high:
        raise UsageError(f"guard: clip is {clip!r}. Valid values are percentile:95, zscore:3 or norm:1.0, say.")
    return name, value


def parse(text: str) -> Settings:
    """The settings of "skip,clip=percentile:95,rollback=10". UsageError for an unknown word or value."""
    values: dict[str, Any] = {}
    kinds = {field.name: field.type for field in dataclasses.fields(Settings)}
    for word in filter(None, (w.strip() for w in text.split(","))):
        name, given, value = word.partition("=")
        if name not in kinds or not given and name not in _BARE:
            raise UsageError(f"guard: there is no {word!r}. Valid words, separated by commas: {', '.join(kinds)}.")
        values[name] = _read(name, value, kinds[name]) if given else _BARE[name]
    return Settings(**values)


def _read(name: str, value: str, kind: Any) -> Any:
    if kind == "bool":
        if value.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise UsageError(f"guard: {name} is {value!r}. Valid values are true and false.")
        return value.lower() in ("true", "1", "yes", "on")
    try:
        return int(value) if kind == "int" else float(value) if kind == "float" else value
    except ValueError:
        raise UsageError(f"guard: {name} is {value!r}. It has to be a number.") from None
