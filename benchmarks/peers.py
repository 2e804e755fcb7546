"""What else there is to notice a non-finite value while a program trains: one contender each around the bare loop.

Each does its whole job: it raises when something non-finite shows (`tests/benchmarks/test_peers.py` proves it).
"""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from collections.abc import Callable, Iterator

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.measure import Contender, Train
from benchmarks.programs import Program

Context = Callable[[Program], contextlib.AbstractContextManager[object]]


def peers(program: Program) -> tuple[list[Contender], list[str]]:
    """The contenders that can be tried here, and a note about each that cannot."""
    contenders, notes = [], []
    for name, module, context, share in (
        ("isfinite by hand", "torch", _by_hand, 1.0),
        ("torchlens checks", "torchlens.checks", _torchlens, 0.5),
        ("torch detect_anomaly", "torch", _anomaly, 0.3),
        ("torch DebugMode", "torch.utils._debug_mode", _debug_mode, 0.05),
        ("transformers DebugUnderflowOverflow", "transformers.debug_utils", _underflow_overflow, 0.05),
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            notes.append(f"{name} is not installed here")
        else:
            contenders.append(Contender(name, _around(program, context), share=share))
    return contenders, notes


def _around(program: Program, context: Context) -> Callable[[], contextlib.AbstractContextManager[Train]]:
    @contextlib.contextmanager
    def around() -> Iterator[Train]:
        with context(program):
            yield program.train

    return around


@contextlib.contextmanager
def _by_hand(program: Program) -> Iterator[None]:
    """What people write: every gradient before the step, every parameter after it."""

    def gradients(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not torch.isfinite(p.grad).all():
                    raise RuntimeError("a gradient is not finite")

    def parameters(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if not torch.isfinite(p).all():
                    raise RuntimeError("a parameter is not finite")

    handles = [register_optimizer_step_pre_hook(gradients), register_optimizer_step_post_hook(parameters)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _torchlens(program: Program) -> Iterator[None]:
    """Its two checks for training: gradients before every step, parameters after it. Not buffers: an attention mask is
    one, and is infinite on purpose."""
    from torchlens.checks import ChecksSession

    model, optimizer, _ = program.state
    session = ChecksSession(model, optimizer)
    session.register_nonfinite_gradient_check()
    session.register_nonfinite_param_check(every=1, include_buffers=False)
    with session:
        yield


@contextlib.contextmanager
def _anomaly(program: Program) -> Iterator[None]:
    """Every gradient that a node of the backward pass gives; the forward pass keeps a traceback of each op."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly(check_nan=True):
            yield


@contextlib.contextmanager
def _debug_mode(program: Program) -> Iterator[None]:
    """It logs the norm of every result, and raises nothing: the log of a step is read, and dropped, at its end."""
    from torch.utils._debug_mode import DebugMode
    from torch.utils._pytree import tree_leaves

    mode = DebugMode()

    def read(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        calls = mode.logs
        mode.reset()
        for call in calls:
            numbers = [x for x in tree_leaves((call.log or {}).get("hash")) if x is not None]
            if any(map(math.isnan, numbers)):  # not infinities: a mask is infinite on purpose, and so is all made of it
                raise RuntimeError(f"{call} gave a NaN")

    handle = register_optimizer_step_post_hook(read)
    try:
        with mode, DebugMode.log_tensor_hashes("norm"):
            yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _underflow_overflow(program: Program) -> Iterator[None]:
    """Parameters, inputs and outputs of every module, in its forward pass."""
    from transformers.debug_utils import DebugUnderflowOverflow

    model = program.state[0]
    before = {module: dict(module._forward_hooks) for module in model.modules()}
    DebugUnderflowOverflow(model)
    try:
        yield
    finally:
        for module, hooks in before.items():
            module._forward_hooks.clear()
            module._forward_hooks.update(hooks)
