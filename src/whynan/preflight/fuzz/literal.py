"""Tensors as Python text that makes the same tensor, and a program of a few lines that shows the failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whynan.preflight.fuzz.findings import Argument
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Values
from whynan.preflight.fuzz.target import Target


def arguments(plan: Plan, values: Values) -> tuple[Argument, ...]:
    out = []
    for slot, value in zip(plan.slots, values):
        if isinstance(value, Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            out.append(Argument(name=slot.name, dtype=dtype, shape=tuple(value.shape), literal=literal(value)))
        else:
            out.append(Argument(name=slot.name, dtype=None, shape=(), literal=repr(value)))
    return tuple(out)


def literal(tensor: Tensor, grad: bool = False) -> str:
    """`torch.tensor([[0.0, 89.0]])`, or zeros, ones, full where that says the same in less."""
    plain = {torch.float32, torch.int64, torch.bool}
    options = "" if tensor.dtype in plain else f", dtype={tensor.dtype}"
    options += ", requires_grad=True" if grad else ""
    flat = tensor.reshape(-1)
    if tensor.numel() > 8 and bool((flat == flat[0]).all()) and tensor.is_floating_point():
        return f"torch.full({tuple(tensor.shape)}, {number(flat[0])}{options})"
    return f"torch.{'empty' if not tensor.numel() else 'tensor'}({_nested(tensor)}{options})"


def _nested(tensor: Tensor) -> str:
    if not tensor.numel():
        return str(tuple(tensor.shape))
    if tensor.dim() == 0:
        return number(tensor)
    return "[" + ", ".join(_nested(part) for part in tensor) + "]"


def number(value: Tensor) -> str:
    """The shortest decimal that becomes the same number in the tensor's dtype."""
    if not value.is_floating_point():
        return repr(value.item())
    exact = value.item()
    for digits in range(1, 18):
        text = f"{exact:.{digits}g}"
        if torch.tensor(float(text), dtype=torch.float64).to(value.dtype).item() == exact:
            break
    return repr(float(text))


def reproducer(target: Target, plan: Plan, values: Values, what: str) -> str:
    """A program that runs by itself where the function can be imported."""
    leaves = [s.name for s in plan.slots if s.floating and s.grad]
    lines = [*_head(target, plan, values, leaves), f"result = {_call(target, plan)}", "print(result)"]
    if what != "value" and leaves:
        lines += ["result.sum().backward()", f"print({', '.join(f'{n}.grad' for n in leaves)})"]
    return "\n".join(lines) + "\n"


def comparison(target: Target, plan: Plan, values: Values) -> str:
    """A program that prints values and gradients in both precisions."""
    leaves = [s.name for s in plan.slots if s.floating and s.grad]
    lines = [*_head(target, plan, values, []), f"function = {_name(target)}"]
    lines.append("for kind in (lambda t: t, lambda t: t.double()):")
    if target.module is not None:
        lines.append("    function = kind(function)")
    for slot in plan.slots:
        if slot.floating:
            grad = ".requires_grad_()" if slot.grad else ""
            lines.append(f"    {slot.name} = kind({slot.name}.detach()){grad}")
    call = ", ".join(f"{s.name}={s.name}" if s.keyword else s.name for s in plan.slots)
    lines += [f"    result = function({call})", "    print(result)"]
    if leaves:
        lines += [
            "    upstream = torch.linspace(1, 2, result.numel()).reshape(result.shape).to(result.dtype)",
            "    result.backward(upstream)",
            f"    print({', '.join(f'{n}.grad' for n in leaves)})",
        ]
    return "\n".join(lines) + "\n"


def _head(target: Target, plan: Plan, values: Values, leaves: list[str]) -> list[str]:
    lines = ["import torch", *_import(target), ""]
    for slot, value in zip(plan.slots, values):
        text = literal(value, slot.name in leaves) if isinstance(value, Tensor) else repr(value)
        lines.append(f"{slot.name} = {text}")
    return lines


def _call(target: Target, plan: Plan) -> str:
    call = ", ".join(f"{s.name}={s.name}" if s.keyword else s.name for s in plan.slots)
    return f"{_name(target)}({call})"


def _import(target: Target) -> list[str]:
    given: Any = target.module if target.module is not None and not callable(target.given) else target.given
    home = getattr(given, "__module__", None) or type(given).__module__
    root = (target.qualname or target.name).split(".")[0]
    if isinstance(target.given, torch.nn.Module):
        home = type(target.given).__module__
    if target.spec and (place := target.spec.rpartition(":")[0]).endswith(".py"):
        folder = str(Path(place).parent)
        before = [] if folder == "." else ["import sys", f"sys.path.insert(0, {folder!r})"]
        return [*before, f"from {Path(place).stem} import {target.name.split('.')[0]}"]
    return [f"from {home} import {root}"]


def _name(target: Target) -> str:
    if target.module is None:
        return target.name if target.spec else (target.qualname or target.name)
    if isinstance(target.given, torch.nn.Module):
        return target.name
    return f"{target.name}({', '.join(map(repr, target.arguments))})"
