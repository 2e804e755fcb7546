"""State before the failing step on disk: parameters, buffers, gradients, optimizer state, local tensors; random states.

state.json names the tensors of state.safetensors and holds what is no tensor (options and counters of optimizers);
random.json holds python's and numpy's states as numbers and names the tensors of random.safetensors, which are torch's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from whynan.case import strict_json
from whynan.case.contents import write_text
from whynan.replay.names import flatten
from whynan.replay.pool import Pool
from whynan.watch.randomness import RandomState

SCHEMA, RANDOM_SCHEMA = "whynan.state/1", "whynan.random/1"
JSON, TENSORS = "state.json", "state.safetensors"
RANDOM_JSON, RANDOM_TENSORS = "random.json", "random.safetensors"

Named = tuple[str, str, Tensor]  # kind, name, tensor


class HeldState:
    """Named tensors, collected in a pool."""

    def __init__(self, named: Iterable[Named], optimizers: Iterable[Any], step: int, iteration: int) -> None:
        self.pool = Pool()
        self.step, self.iteration = step, iteration
        self.entries: list[dict[str, Any]] = []
        self.unheld: list[str] = []
        names: dict[int, str] = {}
        for kind, name, tensor in named:
            names.setdefault(id(tensor), name)
            entry = self.pool.add(name, tensor)
            if entry is None:
                self.unheld.append(name)
            else:
                grad = {"requires_grad": tensor.requires_grad}
                self.entries.append({"kind": kind, "name": name, "tensor": entry, **grad})
        self.optimizers = [_options(optimizer, names) for optimizer in optimizers]

    def write(self, folder: Path) -> None:
        self.pool.write(folder / TENSORS)
        entries = [{**entry, "tensor": self.pool.place(entry["tensor"])} for entry in self.entries]
        data = {"schema": SCHEMA, "step": self.step, "iteration": self.iteration, "entries": entries}
        write_text(folder / JSON, strict_json.dumps({**data, "optimizers": self.optimizers}))


def named_state(
    roots: Mapping[str, nn.Module], optimizers: Iterable[Any], variables: Mapping[str, Any]
) -> Iterator[Named]:
    """Everything with a name, in an order that a second run of the program repeats. Tied tensors come under each name.

    With several models the names begin with the variable that holds the model.
    """
    holders = {id(value): name for name, value in variables.items() if isinstance(value, nn.Module)}
    owner: dict[int, str] = {}
    for key, root in roots.items():
        prefix = f"{holders.get(id(root), key)}." if len(roots) > 1 else ""
        for path, module in root.named_modules():
            for kind, table in (("parameter", module._parameters), ("buffer", module._buffers)):
                for name, tensor in table.items():
                    if tensor is not None:
                        full = f"{prefix}{path}.{name}" if path else prefix + name
                        first = id(tensor) not in owner
                        owner.setdefault(id(tensor), full)
                        yield kind, full, tensor
                        if first and tensor.is_leaf and tensor.grad is not None:
                            yield "gradient", f"{full}.grad", tensor.grad
    for path, tensor in flatten({k: v for k, v in variables.items() if not k.startswith("__")}):
        if id(tensor) not in owner:
            full = owner[id(tensor)] = _spelled(path)
            yield "local", full, tensor
            if tensor.is_leaf and tensor.grad is not None:
                yield "gradient", f"{full}.grad", tensor.grad
    for number, optimizer in enumerate(optimizers):
        for group, options in enumerate(optimizer.param_groups):
            for i, parameter in enumerate(options["params"]):
                name = owner.setdefault(id(parameter), f"optimizer {number}, group {group}, parameter {i}")
                state = optimizer.state.get(parameter)
                for key, value in state.items() if isinstance(state, dict) else ():
                    if isinstance(value, Tensor):
                        yield "state", f"{key} of {name}", value


def _spelled(path: str) -> str:
    """The path that `flatten` gives below a dictionary of variables: ['x'][0] is x[0]."""
    name, _, rest = path.removeprefix("['").partition("']")
    return name + rest


def _options(optimizer: Any, names: Mapping[int, str]) -> dict[str, Any]:
    groups = []
    for options in optimizer.param_groups:
        scalars = (bool, int, float, str, type(None))
        plain = {k: v for k, v in options.items() if k != "params" and isinstance(v, scalars)}
        pairs = {k: list(v) for k, v in options.items() if isinstance(v, (tuple, list)) and _numbers(v)}
        groups.append({**plain, **pairs, "params": [names.get(id(p), "?") for p in options["params"]]})
    counters = {}
    for parameter, state in list(optimizer.state.items()):
        found = {k: v for k, v in state.items() if isinstance(v, (bool, int, float))} if isinstance(state, dict) else {}
        if found and isinstance(parameter, Tensor):
            counters[names.get(id(parameter), "?")] = found
    return {"class": type(optimizer).__name__, "groups": groups, "counters": counters}


def _numbers(items: Any) -> bool:
    return 0 < len(items) <= 8 and all(isinstance(item, (bool, int, float)) for item in items)


class HeldRandom:
    """The random states of python, numpy and torch at one moment."""

    def __init__(self, state: RandomState) -> None:
        self.state = state
        self.pool = Pool()
        tensors: dict[str, Tensor] = {"torch": state.torch}  # type: ignore[dict-item]
        tensors |= {f"cuda:{i}": t for i, t in enumerate(state.cuda or ())}
        self.entries = {name: self.pool.add(name, tensor) for name, tensor in tensors.items()}

    def write(self, folder: Path) -> None:
        self.pool.write(folder / RANDOM_TENSORS)
        python, numpy = self.state.python, self.state.numpy
        data: dict[str, Any] = {"schema": RANDOM_SCHEMA}
        data["python"] = [python[0], list(python[1]), python[2]] if python is not None else None
        if numpy is not None:
            kind, keys, position, has_gauss, cached = numpy
            data["numpy"] = [kind, keys.tolist(), int(position), int(has_gauss), float(cached)]
        data["tensors"] = {name: self.pool.place(entry) for name, entry in self.entries.items() if entry is not None}
        write_text(folder / RANDOM_JSON, strict_json.dumps(data))
