"""A program on disk: slice.json (ops, arguments, what was seen) and slice.safetensors (the leaves). Strict both ways.

Tensors in arguments are {"value": n}; what JSON has no form for is named: {"dtype": "float16"}, {"float": "nan"},
{"complex": [re, im]}, {"device": "cpu"}, {"layout": "strided"}, {"memory_format": "contiguous_format"}.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from whynan.case import strict_json
from whynan.case.contents import write_text
from whynan.errors import CaseError
from whynan.replay.pool import Pool, dtype_name
from whynan.replay.prints import print_of
from whynan.replay.program import Bad, Leaf, NotThere, Op, Out, Program, Ref, overload_of
from whynan.replay.schema import plan_of
from whynan.replay.tensorfile import DTYPES, TensorFile

SCHEMA = "whynan.slice/1"
JSON, TENSORS = "slice.json", "slice.safetensors"
MOST_OPS = 100_000
_FORMATS = ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")


class HeldProgram:
    """A program whose tensors are collected in a pool: copied once by `freeze`, written when the case is."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pool = Pool()
        self._leaves = {n: self.pool.add(f"{n} {leaf.name}", leaf.tensor) for n, leaf in program.leaves.items()}
        self._inputs = {n: self.pool.add(f"{n} read by the birth", t) for n, t in program.inputs.items()}
        self.whole = all(entry is not None for entry in self._leaves.values())

    def freeze(self) -> None:
        """Copy the leaves, and note what they are: an altered file is told from another machine by that."""
        self.pool.freeze()
        for leaf in self.program.leaves.values():
            leaf.seen = print_of(leaf.tensor)

    def write(self, folder: Path, root: str | None = None) -> None:
        """Write both files into `folder`; source files beneath `root` are named relative to it."""
        program = self.program
        data = {
            "schema": SCHEMA,
            "settings": program.settings,
            "kind": program.kind,
            "birth": program.birth,
            "bad": [vars(bad) for bad in program.bad],
            "leaves": [
                {"value": n, "name": leaf.name, "role": leaf.role, "seen": leaf.seen}
                | {"tensor": self.pool.place(self._leaves[n])}
                for n, leaf in program.leaves.items()
            ],
            "inputs": [{"value": n, "tensor": self.pool.place(e)} for n, e in self._inputs.items() if e is not None],
            "ops": [_op_out(op, root) for op in program.ops],
        }
        self.pool.write(folder / TENSORS)
        write_text(folder / JSON, strict_json.dumps(data))


def read_program(folder: Path) -> Program:
    """The program of a case's tensors folder. CaseError names the file and the field that cannot be meant."""
    path = folder / JSON
    data = read_json(path, SCHEMA)
    try:
        return _program(data, TensorFile(folder / TENSORS))
    except CaseError as error:
        raise CaseError(str(error) if str(folder) in str(error) else f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise CaseError(f"{path} is damaged: {type(error).__name__}: {error}.") from None


def read_json(path: Path, schema: str) -> dict[str, Any]:
    """The object in a JSON file of this schema. CaseError where it is missing, no JSON, or of another schema."""
    try:
        data = strict_json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaseError(f"{path} is missing: this part of the case was left out or removed.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CaseError(f"{path} cannot be read: {error}.") from None
    if not isinstance(data, dict) or data.get("schema") != schema:
        found = data.get("schema") if isinstance(data, dict) else None
        raise CaseError(f'{path}: "schema" is {found!r}, and this version reads "{schema}".')
    return data


def _program(data: dict[str, Any], file: TensorFile) -> Program:
    leaves = {}
    for item in data["leaves"]:
        name = _text(item["name"], "the name of a leaf")
        tensor = file.read(item["tensor"], f"leaf {name!r}").to(here(item["tensor"].get("device", "cpu")))
        seen = _optional(item.get("seen"), dict)
        leaves[_number(item["value"])] = Leaf(name, _text(item["role"], "a role"), tensor, seen)
    if len(data["ops"]) > MOST_OPS:
        raise CaseError(f"there are {len(data['ops'])} ops; a case has at most {MOST_OPS}")
    ops: list[Op] = []
    known = set(leaves)
    for i, item in enumerate(data["ops"]):
        op = _op_in(item)
        _check(op, i, known, ops)
        known |= {out.value for out in op.outs}
        ops.append(op)
    birth = _number(data["birth"])
    if birth >= len(ops) or data["kind"] not in ("nan", "inf"):
        raise CaseError("birth names no op of the slice")
    inputs = {
        _number(item["value"]): file.read(item["tensor"], "an input").to(here(item["tensor"].get("device", "cpu")))
        for item in data["inputs"]
    }
    bad = [
        Bad(_number(b["output"]), _number(b["count"]), _number(b["total"]), [list(map(_number, i)) for i in b["first"]])
        for b in data["bad"]
    ]
    if any(b.output >= len(ops[birth].outs) for b in bad):
        raise CaseError("bad names no output of the birth")
    return Program(ops, leaves, birth, data["kind"], bad, inputs, dict(data["settings"]))


def _check(op: Op, position: int, known: set[int], ops: list[Op]) -> None:
    """The op is one that may run, and reads only what was made before it."""
    with contextlib.suppress(NotThere):  # another version of PyTorch: the replay will say so
        known_names = plan_of(overload_of(op.name, op.overload)).names
        if len(op.args) > len(known_names) or any(name not in known_names for name in op.kwargs):
            raise CaseError(f"op {position} ({op.name}) has arguments that it does not take")
    if any(value not in known for value in op.refs()):
        raise CaseError(f"op {position} ({op.name}) reads a value that nothing before it makes")
    if op.forward is not None and not 0 <= op.forward < position:
        raise CaseError(f"op {position} ({op.name}) names no forward op before it")
    if any(out.value in known for out in op.outs):
        raise CaseError(f"op {position} ({op.name}) makes a value that was there before")


def _op_out(op: Op, root: str | None) -> dict[str, Any]:
    data = dict(vars(op))
    data["file"] = shortened(op.file, root)
    data["args"] = [encode(a) for a in op.args]
    data["kwargs"] = {name: encode(a) for name, a in op.kwargs.items()}
    data["outs"] = [vars(out) for out in op.outs]
    return data


def _op_in(item: dict[str, Any]) -> Op:
    texts = {f: _optional(item.get(f), str) for f in ("file", "source", "expression", "node")}
    outs = [
        Out(_number(o["value"]), _text(o["name"], "an output"), _optional(o.get("seen"), dict)) for o in item["outs"]
    ]
    return Op(
        name=_text(item["name"], "an op"),
        overload=_text(item["overload"], "an overload"),
        args=[decode(a) for a in item["args"]],
        kwargs={_text(name, "an argument"): decode(a) for name, a in item["kwargs"].items()},
        outs=outs,
        phase=_text(item["phase"], "a phase"),
        line=_optional(item.get("line"), int),
        forward=_optional(item.get("forward"), int),
        **texts,
    )


def encode(item: Any) -> Any:
    """An argument as JSON. TypeError for what has no form."""
    if isinstance(item, Ref):
        return {"value": item.value}
    if isinstance(item, list):
        return [encode(part) for part in item]
    if item is None or isinstance(item, (bool, int, str)):
        return item
    if isinstance(item, float):
        return item if item == item and abs(item) != float("inf") else {"float": repr(item)}
    if isinstance(item, complex):
        return {"complex": [encode(item.real), encode(item.imag)]}
    if isinstance(item, torch.dtype):
        return {"dtype": dtype_name(item)}
    for kind, key in ((torch.device, "device"), (torch.layout, "layout"), (torch.memory_format, "memory_format")):
        if isinstance(item, kind):
            return {key: str(item.type if isinstance(item, torch.device) else item).removeprefix("torch.")}
    raise TypeError(f"an argument of type {type(item).__name__}")


def decode(item: Any) -> Any:
    """The argument that `encode` wrote. CaseError for anything else."""
    if isinstance(item, list):
        return [decode(part) for part in item]
    if not isinstance(item, dict):
        return item
    if len(item) != 1:
        raise CaseError(f"{str(item)[:60]} is no argument")
    ((key, value),) = item.items()
    if key == "value":
        return Ref(_number(value))
    if key == "float" and value in ("nan", "inf", "-inf"):
        return float(value)
    if key == "complex" and isinstance(value, list) and len(value) == 2:
        return complex(*(float(decode(part)) for part in value))
    if key == "dtype" and value in DTYPES:
        return DTYPES[value]
    if key == "device" and value in ("cpu", "cuda", "mps", "xpu"):
        return here(value)
    if key == "layout" and value in _LAYOUTS or key == "memory_format" and value in _FORMATS:
        return getattr(torch, value)
    raise CaseError(f"{str(item)[:60]} is no argument that this version knows")


def here(kind: str) -> torch.device:
    """The device of that kind, where this machine has one; else the CPU: a replay computes where it can."""
    return torch.device("cuda" if kind == "cuda" and torch.cuda.is_available() else "cpu")


def shortened(file: str | None, root: str | None) -> str | None:
    """A path relative to `root` where it lies beneath it, else its bare name: a case names no home directory."""
    if file is None or not os.path.isabs(file):
        return file
    real = os.path.realpath(file)
    inside = root is not None and real.startswith(os.path.realpath(root) + os.sep)
    return os.path.relpath(real, os.path.realpath(root)) if inside else os.path.basename(file)  # type: ignore[type-var]


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise CaseError(f"{str(value)[:40]!r} is no number of a value")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise CaseError(f"{what} is {str(value)[:40]!r} and has to be text")
    return value


def _optional(value: Any, kind: type) -> Any:
    if value is not None and type(value) is not kind:
        raise CaseError(f"{str(value)[:40]!r} is not of type {kind.__name__}")
    return value
