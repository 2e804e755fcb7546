"""What else there is to notice a non-finite value while a program trains: one contender each around the bare loop."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterator

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.measure import Contender, Train
from benchmarks.programs import Program


def peers(program: Program) -> tuple[list[Contender], list[str]]:
    """The contenders that can be tried here, and a note about each that cannot."""
    contenders = [Contender("isfinite by hand", _around(program, _by_hand))]
    contenders.append(Contender("torch detect_anomaly", _around(program, _anomaly), share=0.3))
    notes = []
    for name, module, context in (
        ("torch DebugMode", "torch.utils._debug_mode", _debug_mode),
        ("transformers DebugUnderflowOverflow", "transformers.debug_utils", _underflow_overflow),
        ("torchlens", "torchlens", _torchlens),
    ):
        try:
            importlib.import_module(module)
        except ImportError:
            notes.append(f"{name} is not installed here")
        else:
            contenders.append(Contender(name, _around(program, context), share=0.05))
    return contenders, notes


Context = Callable[[Program], contextlib.AbstractContextManager[object]]


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
def _anomaly(program: Program) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly(check_nan=True):
            yield


@contextlib.contextmanager
def _debug_mode(program: Program) -> Iterator[None]:
    from torch.utils._debug_mode import DebugMode

    with DebugMode():
        yield


@contextlib.contextmanager
def _underflow_overflow(program: Program) -> Iterator[None]:
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


@contextlib.contextmanager
def _torchlens(program: Program) -> Iterator[None]:
    """Records every activation of every forward pass, which is how torchlens finds a NaN."""
    import torchlens

    model = program.state[0]
    forward = model.forward

    def logged(*args: object, **kwargs: object) -> object:
        model.forward = forward
        with torch.no_grad():
            torchlens.log_forward_pass(model, args, input_kwargs=kwargs)
        output = forward(*args, **kwargs)
        model.forward = logged
        return output

    model.forward = logged
    try:
        yield
    finally:
        model.forward = forward
