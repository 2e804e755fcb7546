"""The only file that registers anything in torch.

Global optimizer hooks, a wrapper around `torch.autograd.backward` (which `Tensor.backward` calls), around the
constructor of optimizers, around `GradScaler.scale` and `.step`, and around `torch.save`. Nothing stays registered on
modules or parameters: forward hooks cost a call per module, gradient hooks disturb `torch.autograd.grad`. The two
global forward hooks that watch programs which only evaluate are taken out by the first backward.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.modules.module as module_hooks
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from whynan.watch.evaluation import Evaluation
from whynan.watch.loops import LoopRuntime
from whynan.watch.sentinel import Sentinel

_is_compiling = torch.compiler.is_dynamo_compiling  # True where dynamo traces us, and one frame cheaper than the other
_fork_handlers: list[Callable[[], None]] = []


class Hooks:
    """Installs on construction; `remove` takes everything out again."""

    def __init__(self, sentinel: Sentinel, loops: LoopRuntime) -> None:
        self.sentinel = sentinel
        self.loops = loops
        self.active = True
        self._by_hand = False  # no optimizer exists: weights are updated by the program itself
        self.evaluation = Evaluation()
        self.compiles = _has_compiled()  # the program asked for torch.compile
        self._forward: list[Any] = []
        if not self.compiles:  # dynamo takes global module hooks for a change of the model, and compiles it again
            self._forward = [
                module_hooks.register_module_forward_pre_hook(self.evaluation.enter),
                module_hooks.register_module_forward_hook(self.evaluation.leave, always_call=False),
            ]
        self.on_backward: Callable[[tuple[Any, ...]], None] | None = None
        self._undo: list[Callable[[], None]] = []
        self._steps = [
            register_optimizer_step_pre_hook(self._before_step()),
            register_optimizer_step_post_hook(self._after_step()),
        ]
        self._wrap_backward()
        self._wrap(torch.optim.Optimizer, "__init__", self._new_optimizer)
        self._wrap(torch, "compile", self._compile)
        self._wrap(torch.nn.Module, "compile", self._compile)
        self._wrap(torch, "save", self._save)
        self._wrap(torch.amp.GradScaler, "scale", self._scale)
        self._wrap(torch.amp.GradScaler, "_maybe_opt_step", self._maybe_opt_step)
        if not _fork_handlers:
            os.register_at_fork(after_in_child=lambda: [handler() for handler in _fork_handlers])
        _fork_handlers.append(self._forked)

    def remove(self) -> None:
        self._leave_steps_alone()
        self._training_begins()
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        if self._forked in _fork_handlers:
            _fork_handlers.remove(self._forked)

    def _forked(self) -> None:
        self._leave_steps_alone()
        self.loops.forget()

    def _leave_steps_alone(self) -> None:
        self.active = False
        for handle in self._steps:
            handle.remove()

    def _training_begins(self) -> None:
        for handle in self._forward:
            handle.remove()
        self._forward = []

    def _wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not self.active or torch.compiler.is_compiling():
                return original(*args, **kwargs)
            return wrapper(original, *args, **kwargs)

        setattr(owner, name, wrapped)
        self._undo.append(lambda: setattr(owner, name, original))

    # -----------------------------------------------------------------------------------------------------------

    # These two run in every step, so they are one function each

    def _before_step(self) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
        before = self.sentinel.before_step

        def before_step(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not _is_compiling():
                before(optimizer, args, kwargs)

        return before_step

    def _after_step(self) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
        after, loops = self.sentinel.after_step, self.loops

        def after_step(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not _is_compiling():
                if self._forward:
                    self._training_begins()
                if not loops.stepped_again():
                    loops.stepped(sys._getframe(1))
                after(optimizer)

        return after_step

    def _wrap_backward(self) -> None:
        """`_wrap`, in one function: it runs in every step."""
        original, sentinel, loops = torch.autograd.backward, self.sentinel, self.loops

        @functools.wraps(original)
        def backward(tensors: Any = None, *args: Any, **kwargs: Any) -> Any:
            if not self.active or _is_compiling() or tensors is None:
                return original(*args, **kwargs) if tensors is None else original(tensors, *args, **kwargs)
            if self._forward:
                self._training_begins()
            if self._by_hand or not loops.optimizers_exist:  # every backward counts as a step
                self._by_hand = loops.optimizers_exist = True
                loops.stepped(sys._getframe(1))
            tensors = (tensors,) if isinstance(tensors, torch.Tensor) else tuple(tensors)
            if self.on_backward is not None:
                self.on_backward(tensors)
            sentinel.backward(tensors)
            return original(tensors, *args, **kwargs)

        torch.autograd.backward = backward
        self._undo.append(lambda: setattr(torch.autograd, "backward", original))

    def _new_optimizer(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.loops.optimizers_exist, self._by_hand = True, False
        return original(*args, **kwargs)

    def _compile(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.compiles = True
        self._training_begins()  # dynamo warns of global module hooks
        compiled = original(*args, **kwargs)
        owner = getattr(args[0], "__self__", None) if args else None
        if isinstance(owner, torch.optim.Optimizer) and getattr(args[0], "__name__", "") == "step":
            return self._compiled_step(compiled, owner)
        return compiled

    def _compiled_step(self, step: Callable[..., Any], optimizer: torch.optim.Optimizer) -> Callable[..., Any]:
        """The hooks of a compiled step were traced away."""

        @functools.wraps(step)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if not self.active or torch.compiler.is_compiling():
                return step(*args, **kwargs)
            self.sentinel.before_step(optimizer, (optimizer, *args), kwargs)
            before = self.sentinel.steps
            result = step(*args, **kwargs)
            if self.sentinel.steps == before:  # a graph break may have let the hooks run
                self.loops.stepped(sys._getframe(1))
                self.sentinel.after_step(optimizer)
            return result

        return stepped

    def _save(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A checkpoint is looked at before it is written, however rarely steps are."""
        if self.sentinel.probe is None and (seen := self.sentinel.last_look()) is not None:
            self.sentinel.alarm(seen)
        return original(*args, **kwargs)

    def _scale(self, original: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
        result = original(scaler, outputs)
        self.sentinel.scaled(result, outputs)
        return result

    def _maybe_opt_step(self, original: Callable[..., Any], scaler: Any, optimizer: Any, *args: Any, **kw: Any) -> Any:
        before = self.sentinel.steps
        result = original(scaler, optimizer, *args, **kw)
        if self.sentinel.steps == before:
            self.sentinel.scaler_skipped(optimizer)
        return result


def _has_compiled() -> bool:
    """Whether torch.compile was called before we came."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    return any(backend is not None for backend in getattr(frames, "cached_backends", {}).values())
