"""The microscope: watch every op of one step, forward, backward and optimizer, and remember what is needed to ask
afterwards where a bad value was born.

    with Scope(is_user_file=..., roots=..., phase=...) as scope:
        loss = step()
    finding = scope.trace.births_reaching(loss)

It changes no number: what it computes for itself no mode, hook or graph of the user's can see, and it draws no random
numbers. A mistake in its own book-keeping is noted in `trace.errors` and never reaches the user's step. It is slow
(a few dozen microseconds an op), so it is meant for one step, executed again.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from whynan.replay.frames import Frames, Stack, here, phase_of
from whynan.replay.memory import holdable
from whynan.replay.modules import ModuleNames, Roots
from whynan.replay.schema import Plan, plan_of
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.tensors.look import unobserved

_RUNNING = ("running_mean", "running_var")
_MOST_ERRORS = 50  # more of the same tell nobody more


class Scope:
    """Context manager that records every op into `.trace`. It may be entered again, to go on; not for two threads."""

    def __init__(
        self,
        *,
        is_user_file: Callable[[str], bool],
        roots: Roots | None = None,
        phase: Callable[[], str | None] | None = None,
        keep_bytes: int = 2 << 30,
    ) -> None:
        self.trace = Trace(keep_bytes)
        self._observer = _Observer(self.trace, is_user_file, ModuleNames(roots), phase)
        self._exit = ExitStack()

    def __enter__(self) -> Scope:
        self._exit.enter_context(torch.autograd.set_multithreading_enabled(False))
        if "torch._dynamo" in sys.modules:  # a dispatch mode would make dynamo give up on the model for good
            self._exit.enter_context(torch.compiler.set_stance("force_eager"))
        self._observer.start()
        self._exit.enter_context(self._observer)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._exit.__exit__(*exc)
        self._observer.stop()


class _Observer(TorchDispatchMode):
    def __init__(
        self,
        trace: Trace,
        is_user_file: Callable[[str], bool],
        names: ModuleNames,
        phase: Callable[[], str | None] | None,
    ) -> None:
        super().__init__()
        self.trace = trace
        self.names = names
        self.frames = Frames(is_user_file, names.known)
        self.phase = phase
        self.forward_of: dict[int, OpRecord] = {}  # autograd sequence number -> the op that made the node
        self.mark = 0

    def start(self) -> None:
        self.mark = torch._C._autograd._get_sequence_nr()
        with unobserved():
            self.trace.ledger.resume(len(self.trace.records))

    def stop(self) -> None:
        with unobserved():
            self.trace.ledger.pause()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        record = None
        try:
            with unobserved():
                record = self._before(func, args, kwargs)
        except Exception:
            self._note()
        result = func(*args, **kwargs)
        if record is not None:
            try:
                with unobserved():
                    self._after(record, args, kwargs, result)
            except Exception:
                self._note()
        return result

    def _note(self) -> None:
        if len(self.trace.errors) < _MOST_ERRORS:
            self.trace.errors.append(traceback.format_exc(limit=-3))

    # -- before the op runs: what does it read, and what will it destroy

    def _before(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> OpRecord | None:
        plan = plan_of(func)
        if plan.op.startswith("profiler::"):
            return None
        record = OpRecord(len(self.trace.records), func, plan)
        record.args = tuple([self._take(record, name, a) for name, a in zip(plan.names, args)])
        if kwargs:
            record.kwargs = {name: self._take(record, name, a) for name, a in kwargs.items()}
        if plan.written or plan.running:
            for _, tensor in _written(plan, args, kwargs):
                self.trace.ledger.before_write(tensor)
        return record

    def _take(self, record: OpRecord, name: str, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            ref = self._ref(record, name, value)
            if ref is None:
                return value
            record.inputs.append(ref)
            return ref
        if isinstance(value, (list, tuple)) and any(isinstance(v, (torch.Tensor, list, tuple)) for v in value):
            return [self._take(record, f"{name}[{i}]", v) for i, v in enumerate(value)]
        return value

    def _ref(self, record: OpRecord, name: str, tensor: torch.Tensor) -> TensorRef | None:
        inner = holdable(tensor)
        if inner is None:
            return None
        area = self.trace.ledger.area(inner)
        if type(tensor) is torch.nn.Parameter:
            area.memory.parameter = True
        if not area._checked and not area.memory.clean and area.floating:
            area.measure(inner)
            if not area.memory.writes and not area.bad and _whole(inner):
                area.memory.clean = True
        return TensorRef(name, area, record.index, tensor)

    # -- after it ran: what came out, and where are we

    def _after(self, record: OpRecord, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
        plan = record.plan
        self._results(record, result)
        if plan.written or plan.running:
            for name, tensor in _written(plan, args, kwargs):
                self._write(record, name, tensor)
        if record.outputs or record.scalar is not None:
            self.trace.records.append(record)
            node = torch._C._current_autograd_node()
            stack = self.frames.walk(here(3), node is not None)
            self._place(record, stack, node)
        bad = record.bad
        areas = [ref.area for ref in (*record.inputs, *record.outputs)]
        self.trace.ledger.settle(areas, precious=bad or record.phase != "optimizer", bad=bad)

    def _results(self, record: OpRecord, result: Any) -> None:
        plan = record.plan
        if isinstance(result, torch.Tensor):
            self._result(record, plan.results[0] if plan.results else "result", result, not plan.fresh or plan.fresh[0])
        elif isinstance(result, (list, tuple)):
            several = len(plan.results) == len(result)
            for i, item in enumerate(result):
                name = plan.results[i] if several else f"result[{i}]"
                fresh = plan.fresh[i] if several else (not plan.fresh or plan.fresh[0])
                for part in item if isinstance(item, (list, tuple)) else (item,):
                    if isinstance(part, torch.Tensor):
                        self._result(record, name, part, fresh)
        elif isinstance(result, float):
            record.scalar = result

    def _result(self, record: OpRecord, name: str, tensor: torch.Tensor, fresh: bool) -> None:
        inner = holdable(tensor)
        if inner is None:
            return
        memory = self.trace.ledger.memory(inner)
        if fresh and record.plan.op.startswith("aten::"):  # `_unsafe_view` is a view that does not say so
            fresh = all(ref.area.memory is not memory for ref in record.inputs)
        if fresh or not (memory.writes or memory.areas):
            self._write(record, name, inner)
        elif not record.plan.written:  # a view: it wrote nothing, but it is what the op gave
            record.outputs.append(TensorRef(name, self.trace.ledger.area(inner), record.index + 1))

    def _write(self, record: OpRecord, name: str, tensor: torch.Tensor) -> None:
        area = self.trace.ledger.after_write(record, tensor)
        memory = area.memory
        if not area._checked and area.floating:
            if record.plan.allocates:
                memory.clean = False
            else:
                area.measure(tensor)
                if area.bad:
                    memory.clean = False
                elif _whole(tensor):
                    memory.clean = True
        record.outputs.append(TensorRef(name, area, record.index + 1, tensor))

    def _place(self, record: OpRecord, stack: Stack, node: Any) -> None:
        said = self.phase() if self.phase is not None else None
        record.phase = said or phase_of(stack, node is not None)  # type: ignore[assignment]
        record.spots = tuple(stack.spots)
        record.modules = tuple(stack.modules)
        record.name_of = self.names
        number = torch._C._autograd._get_sequence_nr() - 1
        if number >= self.mark:  # a node was made since the scope began; the first op with its number made it
            self.forward_of.setdefault(number, record)
        if node is not None and not (stack.recomputing and record.phase == "forward"):
            record.node = node.name()
            record.inside = stack.inside
            record.forward = self.forward_of.get(node._sequence_nr())


def _written(plan: Plan, args: tuple, kwargs: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    """The plain tensors that the op writes, with the names of the arguments."""
    given = dict(zip(plan.names, args)) | kwargs
    wanted = plan.written or (_RUNNING if given.get("training", True) else ())
    named = [(n, a) for n, a in given.items() if n in wanted]
    found = []
    for name, value in named:
        many = isinstance(value, (list, tuple))
        for i, item in enumerate(value if many else (value,)):
            inner = holdable(item)
            if inner is not None:
                found.append((f"{name}[{i}]" if many else name, inner))
    return found


def _whole(tensor: torch.Tensor) -> bool:
    """The tensor covers its storage, so what holds for it holds for every view."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
