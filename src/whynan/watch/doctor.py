"""Self-test of what whynan needs from Python and PyTorch: each private name and each assumption, tried once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch

from whynan.watch.frames import read_locals, write_locals


def checks() -> Iterator[tuple[str, bool, str]]:
    """(what, works, detail) of every check."""
    for what, check in _CHECKS:
        try:
            yield what, True, check() or ""
        except Exception as error:
            yield what, False, f"{type(error).__name__}: {error}"


def _locals() -> str:
    x = 1
    saved = read_locals(sys._getframe())
    x = 2
    write_locals(sys._getframe(), saved)
    if x != 1:
        raise RuntimeError("a local variable could not be written back")
    return "PEP 667" if sys.version_info >= (3, 13) else "PyFrame_LocalsToFast"


def _sequence_numbers() -> str:
    x = torch.ones(1, requires_grad=True)
    before = torch._C._autograd._get_sequence_nr()
    y = x.log()
    if y.grad_fn is None or y.grad_fn._sequence_nr() not in (before, before - 1):  # type: ignore[attr-defined]
        raise RuntimeError("forward ops cannot be tied to their derivatives")
    return "autograd sequence numbers"


def _norms() -> str:
    from whynan.tensors.many import first_nonfinite

    if first_nonfinite([torch.ones(3), torch.tensor([1.0, float("nan")])]) != 1:
        raise RuntimeError("torch._foreach_norm does not carry NaN")
    return "torch._foreach_norm"


def _optimizer_hooks() -> str:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    seen: list[int] = []
    handle = register_optimizer_step_post_hook(lambda *_: seen.append(1))
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    torch.optim.SGD([parameter], lr=0.1).step()
    handle.remove()
    if not seen:
        raise RuntimeError("global optimizer hooks do not fire")
    return "register_optimizer_step_post_hook"


def _stance() -> str:
    if not hasattr(torch.compiler, "set_stance"):
        raise RuntimeError("torch.compiler.set_stance is missing: compiled code cannot be re-executed eagerly")
    return "torch.compiler.set_stance"


_CHECKS: list[tuple[str, Callable[[], str]]] = [
    ("local variables of a running frame", _locals),
    ("forward ops and their derivatives", _sequence_numbers),
    ("one pass over many tensors", _norms),
    ("optimizer hooks", _optimizer_hooks),
    ("compiled code, eagerly", _stance),
]
