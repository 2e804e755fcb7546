"""Was this exception, or this early exit, caused by non-finite values? And by which?

Programs notice a NaN in their own ways: a constraint of torch.distributions, a LinAlgError, an assertion, `sys.exit(1)`
behind `if not math.isfinite(loss)`, a `break`. The variables of the frames that the exception passed through say which
tensors were bad; the replay then proves or denies it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from whynan.tensors.many import is_finite, local_values
from whynan.watch.sentinel import Seen

# words in which programs and PyTorch itself speak of non-finite values
_WORDS = re.compile(
    r"\b(nan|nans|inf|infs|infinite|infinity|non-?finite|not finite|isfinite|diverged|exploded)\b"
    r"|singular|ill-conditioned|failed to converge|not positive-definite|constraint|probability tensor",
    re.IGNORECASE,
)


def suspect(error: BaseException, step: int) -> Seen | None:
    """What the exception says about non-finite values, or None if nothing points to them."""
    found = list(_nonfinite_locals(error.__traceback__))
    telling = bool(_WORDS.search(str(error))) or isinstance(error, (torch.linalg.LinAlgError, FloatingPointError))
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return None
    losses = [(name, value) for name, value, scalar in found if scalar]
    if not (found and telling) and not losses:
        return None
    tensors = [value for _, value, _ in found if isinstance(value, Tensor)]
    name = type(error).__name__
    return Seen("exception", name, f"{name}: {error}"[:300], tensors, step, hard=False, error=error)


def suspect_leaving(before: dict[str, Any], now: dict[str, Any], step: int) -> Seen | None:
    """A loop is about to be left: is a loss that this iteration computed non-finite?"""
    for name, value in now.items():
        if before.get(name) is value:
            continue
        scalar = isinstance(value, Tensor) and value.requires_grad and value.numel() == 1 and not value.is_leaf
        if scalar and not is_finite(value):
            number = value.detach().item()
            return Seen("loss", name, "nan" if math.isnan(number) else "inf", [value], step, hard=False)
    return None


def _nonfinite_locals(traceback: TracebackType | None) -> Iterator[tuple[str, Any, bool]]:
    """(name, value, is it a scalar loss) in the frames of a traceback, innermost frame first."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    seen: set[int] = set()
    for frame in reversed(frames):
        module_level = frame.f_locals is frame.f_globals
        for name, value in list(frame.f_locals.items()):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Tensor):
                values = local_values(value)
                if values is not None and not is_finite(values):
                    scalar = (
                        values.numel() == 1
                        and bool(torch.isnan(values).any())
                        or (values.numel() == 1 and value.requires_grad)
                    )
                    yield name, value, scalar
            elif isinstance(value, float) and math.isnan(value) and not module_level:
                yield name, value, True
