"""From the Python stack to what a report needs: the user's frames, the phase, the modules at work.

Frames are kept as (code, instruction) and resolved later; what a code object means is decided once per code object.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import torch

from whynan.case.facts import Phase
from whynan.tensors.expression import Spot

USER, OPTIMIZER, ENGINE, CHECKPOINT, DATA, INIT, SELF, STEP = (1 << i for i in range(8))

_TORCH = os.path.dirname(torch.__file__) + os.sep
_OPTIMIZER_FILES = ("optim" + os.sep, os.path.join("nn", "utils", "clip_grad.py"))
_NOT_OPTIMIZER = (os.path.join("optim", "lr_scheduler.py"),)


def _kind(code: CodeType, is_user_file: Callable[[str], bool]) -> int:
    file, kind = code.co_filename, 0
    if code.co_argcount and code.co_varnames[0] == "self":
        kind |= SELF
    if is_user_file(file):
        kind |= USER
        kind |= STEP if kind & SELF and code.co_name == "step" else 0
        kind |= INIT if kind & SELF and code.co_name == "__init__" else 0
    elif file.startswith(_TORCH):
        kind |= _torch_kind(file[len(_TORCH) :], code.co_name)
    return kind


def _torch_kind(file: str, name: str) -> int:
    if file.startswith(_OPTIMIZER_FILES) and file not in _NOT_OPTIMIZER:
        return OPTIMIZER
    if file == os.path.join("amp", "grad_scaler.py"):
        return 0 if name == "scale" else OPTIMIZER
    if file == os.path.join("autograd", "graph.py") and name == "_engine_run_backward":
        return ENGINE
    if file == os.path.join("utils", "checkpoint.py"):
        return CHECKPOINT
    if file.startswith(os.path.join("utils", "data") + os.sep):
        return DATA
    if file == os.path.join("nn", "init.py") or name == "reset_parameters":
        return INIT
    return 0


class Stack:
    """What one look at the stack found."""

    __slots__ = ("spots", "inside", "modules", "optimizer", "recomputing", "data", "init")

    def __init__(self) -> None:
        self.spots: list[Spot] = []  # user frames, innermost first
        self.inside = 0  # how many of them are below the autograd engine
        self.modules: list[Any] = []
        self.optimizer = False
        self.recomputing = False
        self.data = False
        self.init = False


class Frames:
    """Walks the stack. `named(module)` says whether a module needs no further outer one to be named."""

    def __init__(self, is_user_file: Callable[[str], bool], named: Callable[[Any], bool]) -> None:
        self.is_user_file = is_user_file
        self.named = named
        self._kinds: dict[int, tuple[int, CodeType]] = {}

    def walk(self, frame: FrameType | None, in_node: bool) -> Stack:
        found, kinds = Stack(), self._kinds
        engine, wants_module = not in_node, True
        outer_step: FrameType | None = None
        while frame is not None:
            code = frame.f_code
            known = kinds.get(id(code))
            if known is None:
                known = kinds[id(code)] = (_kind(code, self.is_user_file), code)
            kind = known[0]
            if kind:
                if kind & USER:
                    found.spots.append((code, frame.f_lasti))
                    if kind & STEP and outer_step is None:
                        outer_step = frame
                elif kind & OPTIMIZER and not found.spots:
                    found.optimizer = True
                elif kind & ENGINE and not engine:
                    engine, found.inside = True, len(found.spots)
                elif kind & CHECKPOINT and not engine:
                    found.recomputing = True
                elif kind & DATA:
                    found.data = True
                if kind & (SELF | INIT):
                    owner = frame.f_locals.get("self") if kind & SELF else None
                    if isinstance(owner, torch.nn.Module):
                        if kind & INIT:
                            found.init = True
                        if wants_module:
                            found.modules.append(owner)
                            wants_module = not self.named(owner)
                    elif kind & INIT and not kind & USER:
                        found.init = True
            frame = frame.f_back
        if outer_step is not None and not found.optimizer:
            found.optimizer = _own_step(outer_step, found.spots)
        return found


def _own_step(frame: FrameType, spots: list[Spot]) -> bool:
    """A user's own `Optimizer.step` is at work, and not the closure it was given."""
    seen = frame.f_locals
    if not isinstance(seen.get("self"), torch.optim.Optimizer):
        return False
    closure = getattr(seen.get("closure"), "__code__", None)
    return all(code is not closure for code, _ in spots)


def phase_of(stack: Stack, in_node: bool) -> Phase:
    if in_node:
        return "forward" if stack.recomputing and torch.is_grad_enabled() else "backward"
    if stack.optimizer:
        return "optimizer"
    if stack.data:
        return "data"
    return "init" if stack.init else "forward"


def here(depth: int = 1) -> FrameType | None:
    return sys._getframe(depth)
