"""An alarm: what the always-on look found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Seen:
    """One alarm: what, which tensor (by name as far as known), its value, and the tensors to trace back from."""

    what: str
    name: str | None
    value: str
    tensors: list[Tensor] = field(default_factory=list)
    step: int = 0
    hard: bool = True  # certain to hurt; a soft one is looked at again under the microscope
    error: BaseException | None = None
    site: tuple[str, int, str] | None = None  # file, line, function of the user's code that was running
    owner: Tensor | None = None  # the parameter that a gradient or a state entry belongs to


def word(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
