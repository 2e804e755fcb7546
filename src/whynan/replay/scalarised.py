"""One tensor's share of an op on lists of tensors: `_foreach_addcdiv_([p...], [m...], [v...])` is addcdiv_(p, m, v)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from whynan.replay.program import Op, Out, Ref
from whynan.replay.schema import plan_of


def scalarised(op: Op, output: int) -> tuple[Op, int]:
    """The op of one tensor, and which of its outputs; the op itself where it is none on lists, or has no such form."""
    if not op.base.startswith("_foreach_"):
        return op, output
    name, _, tail = op.outs[output].name.partition("[")
    position = tail.rstrip("]")
    base = op.base.removeprefix("_foreach_")
    packet = getattr(torch.ops.aten, base, None)
    if not position.isdecimal() or packet is None:
        return op, output
    index = int(position)
    count = max((len(a) for a in op.args if isinstance(a, list)), default=0)

    def own(item: Any) -> Any:
        return item[index] if isinstance(item, list) and len(item) == count else item

    args, kwargs = [own(a) for a in op.args], {key: own(a) for key, a in op.kwargs.items()}
    for overload in packet.overloads():
        fitted = _fitted(getattr(packet, overload), args, kwargs)
        if fitted is not None:
            written = name if base.endswith("_") else "result"
            outs = [Out(op.outs[output].value, written)]
            return replace(op, name=f"aten::{base}", overload=overload, args=fitted[0], kwargs=fitted[1], outs=outs), 0
    return op, output


def _fitted(func: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """The arguments as this overload wants them; None where they do not fit. A scalar may be one of its keywords."""
    arguments = func._schema.arguments
    if any(a.name == "out" for a in arguments) or plan_of(func).names[:1] != ("self",):
        return None
    positional = [a for a in arguments if not a.kwarg_only]
    given, options = list(args), dict(kwargs)
    only = [a.name for a in arguments if a.kwarg_only]
    if len(given) == len(positional) + 1 and len(only) == 1 and not isinstance(given[-1], Ref):
        options[only[0]] = given.pop()
    if len(given) != len(positional) or any(key not in only for key in options):
        return None
    for argument, item in zip(positional, given):
        tensor = "Tensor" in str(argument.type)
        if tensor != isinstance(item, Ref) and not (tensor and isinstance(item, (int, float))):
            return None
    return given, options
