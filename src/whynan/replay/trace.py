"""What the microscope saw: one `OpRecord` for every op, in order, and the tensors each read and wrote."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from whynan.case.facts import Phase, Site, State
from whynan.replay.memory import Area, Ledger, holdable, writers
from whynan.replay.schema import Plan
from whynan.tensors.expression import Spot, site_of
from whynan.tensors.look import unobserved


class TensorRef:
    """One tensor as an op saw it, at that moment.

    `index` is the number of ops that had run: those before it are the ones that can have written the values.
    """

    __slots__ = ("name", "area", "index", "_original")

    def __init__(self, name: str, area: Area, index: int, original: torch.Tensor | None = None) -> None:
        self.name = name
        self.area = area
        self.index = index
        self._original = weakref.ref(original) if original is not None else None

    @property
    def tensor(self) -> torch.Tensor | None:
        """The tensor object that was passed if it still lives, else the values that were kept."""
        alive = self._original() if self._original is not None else None
        return alive if alive is not None else self.area.tensor

    @property
    def value(self) -> torch.Tensor | None:
        """The values as they were then (not to be written into); None when they were not kept."""
        return self.area.value

    storage = property(lambda self: self.area.memory.number)
    version = property(lambda self: self.area.version)
    shape = property(lambda self: self.area.shape)
    dtype = property(lambda self: self.area.dtype)
    device = property(lambda self: self.area.device)

    @property
    def min(self) -> float | None:
        found = self.area.extremes
        return found[0] if found else None

    @property
    def max(self) -> float | None:
        found = self.area.extremes
        return found[1] if found else None

    @property
    def absmax(self) -> float | None:
        """Largest absolute value; nan when an element is nan; None for integers and empty tensors."""
        found = self.area.extremes
        return max(abs(found[0]), abs(found[1])) if found else None

    @property
    def has_nan(self) -> bool:
        found = self.area.extremes if self.area.bad else None
        return bool(found and found[2])

    @property
    def has_inf(self) -> bool:
        found = self.area.extremes if self.area.bad else None
        return bool(found and found[3])

    @property
    def bad(self) -> bool:
        return self.area.bad

    def __repr__(self) -> str:
        return f"{self.name}: {str(self.dtype).removeprefix('torch.')}{list(self.shape)} in [{self.min}, {self.max}]"


class OpRecord:
    """One op: what it read, what it wrote, where in the user's code and in which phase."""

    __slots__ = (
        "index", "func", "plan", "phase", "inputs", "outputs", "args", "kwargs", "node", "forward",
        "spots", "inside", "modules", "name_of", "scalar", "_state", "_sites", "_module",
    )  # fmt: skip

    def __init__(self, index: int, func: Any, plan: Plan) -> None:
        self.index = index
        self.func = func
        self.plan = plan
        self.phase: Phase = "forward"
        self.inputs: list[TensorRef] = []
        self.outputs: list[TensorRef] = []
        self.args: tuple = ()
        self.kwargs: dict[str, Any] = {}
        self.node: str | None = None
        self.forward: OpRecord | None = None
        self.spots: tuple[Spot, ...] = ()  # user frames, innermost first
        self.inside = 0  # how many of them run inside the backward pass (custom functions, hooks, recomputation)
        self.modules: tuple[Any, ...] = ()  # nn.Modules on the stack, innermost first
        self.name_of: Callable[[Any], str | None] | None = None
        self.scalar: float | None = None  # the Python number that the op gave (`.item()`)
        self._state: State | None = None
        self._sites: tuple[Site, ...] | None = None
        self._module: tuple[str | None] | None = None

    @property
    def op(self) -> str:
        return self.plan.op

    @property
    def bad(self) -> bool:
        return any(ref.bad for ref in self.outputs)

    @property
    def state(self) -> State:
        """By whole tensors; `Trace.births_reaching` decides element by element."""
        if self._state is None:
            from whynan.replay.births import state_of

            self._state = state_of(self)
        return self._state

    @property
    def stack(self) -> tuple[Site, ...]:
        """Sites in the user's code, outermost first."""
        if self._sites is None:
            self._sites = tuple(site_of(*spot) for spot in reversed(self.spots))
        return self._sites

    @property
    def origin(self) -> OpRecord:
        """The record whose lines explain this one: the forward op, for an op of the backward pass."""
        record = self
        while record.forward is not None and not record.inside:
            record = record.forward
        return record

    @property
    def site(self) -> Site | None:
        """The innermost place in the user's code; for an op of the backward pass, that of its forward op."""
        stack = self.origin.stack
        return stack[-1] if stack else None

    @property
    def module(self) -> str | None:
        """Qualified name of the innermost named module at work, "" for the root, None outside of all."""
        record = self.origin
        if record._module is None:
            names = (record.name_of(m) for m in record.modules) if record.name_of else ()
            record._module = (next((n for n in names if n is not None), None),)
        return record._module[0]

    def __repr__(self) -> str:
        site = self.site
        place = f" {site.file.rpartition('/')[2]}:{site.line}" if site else ""
        return f"<{self.index} {self.op} {self.phase}{f' in {self.node}' if self.node else ''}{place}>"


class Trace:
    """The ops of one step, and who wrote what. Ask it where a bad value comes from with `births_reaching`."""

    def __init__(self, keep_bytes: int = 2 << 30) -> None:
        self.records: list[OpRecord] = []
        self.errors: list[str] = []
        self.ledger = Ledger(keep_bytes)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def writers(self) -> dict[int, list[OpRecord]]:
        """Number of a storage -> the ops that wrote it, in order."""
        return {m.number: [w[0] for w in m.writes] for m in self.ledger.memories.values()}

    def capture(self, tensor: torch.Tensor, name: str = "") -> TensorRef | None:
        """`tensor` as it is now, to ask about later. None when it has no memory to look at (meta, fake)."""
        with unobserved():
            inner = holdable(tensor)
            if inner is None:
                return None
            area = self.ledger.area(inner)
            self.ledger.settle([area], precious=True, bad=True)
            return TensorRef(name, area, len(self.records), tensor)

    def _ref(self, tensor: torch.Tensor | TensorRef) -> TensorRef | None:
        return tensor if isinstance(tensor, TensorRef) else self.capture(tensor)

    def producer(self, tensor: torch.Tensor | TensorRef) -> OpRecord | None:
        """The op that last wrote (any part of) `tensor`; None when it came from outside the trace."""
        ref = self._ref(tensor)
        found = writers(ref.area, ref.index) if ref else []
        return found[0][0] if found else None

    def bad_records(self) -> Iterator[OpRecord]:
        return (r for r in self.records if r.bad)

    def births_reaching(self, tensors: torch.Tensor | TensorRef | Sequence[torch.Tensor | TensorRef]) -> Any:
        """The `Finding` for the bad values of a tensor: the birth or the source that reaches it, and the way.

        Of several tensors (all gradients that went bad, say) it is the earliest birth that reaches any of them. None
        when none of them has memory to look at.
        """
        from whynan.replay.backtrack import trace_back

        several = tensors if isinstance(tensors, (list, tuple)) else [tensors]
        refs = [ref for ref in map(self._ref, several) if ref is not None]  # type: ignore[arg-type]
        return trace_back(self, refs) if refs else None

    def path_to(self, tensor: torch.Tensor | TensorRef) -> list[OpRecord]:
        """The ops from the birth to `tensor`."""
        finding = self.births_reaching(tensor)
        return finding.path if finding else []
