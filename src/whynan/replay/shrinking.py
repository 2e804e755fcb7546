"""From a recorded slice to a script of a few lines: choose what to keep, reduce it, write it, run it.

Forms that are tried, the shortest first: the op that made the bad value on what it read; for a birth in the backward
pass the forward call and `.backward()`, with the consumer of its result where the gradient that arrives matters; more
of the ops before it if `context` asks for them. A form counts if its script, run in a process of its own, fails.
"""

from __future__ import annotations

import contextlib
import keyword
import platform
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from whynan.errors import CaseError
from whynan.replay.program import NotThere, Op, Program, Ref, execute
from whynan.replay.readable import texts
from whynan.replay.recipe import GRADIENT, Recipe
from whynan.replay.reduce import Reducer
from whynan.replay.scalarised import scalarised
from whynan.replay.settings import as_recorded
from whynan.replay.simple import written

MOST_LINES = 30
WIDTH = 110
ALIASES = ("detach", "alias", "lift_fresh", "clone")


def shrink(program: Program, *, context: int = 0, seconds: float = 20.0, title: str = "a recorded case") -> str:
    """The text of a script that was run and failed. CaseError where none of the forms fails by itself."""
    with as_recorded(program.settings):
        values = _values(program)
        for recipe in _forms(program, values, context):
            small = _reduced(recipe, program, seconds)
            text = script(small, program, title) if small is not None else None
            if text is not None and runs(text):
                return text
    raise CaseError(
        f"{program.born.place} could not be made to fail in a script of its own: it does not fail here from the "
        "values that were recorded. `whynan replay` says what differs."
    )


def script(recipe: Recipe, program: Program, title: str) -> str:
    """The script: what it is, in a comment; the tensors, the ops, a print, an assertion that holds if it fails."""
    check = recipe.failing()
    assert check is not None
    op, settings = program.born, program.settings
    kind = {"nan": "NaN", "inf": "Inf"}[program.kind]
    said = f", in `{op.expression}`" if op.expression and len(op.expression) < 80 else ""
    where = f"{op.file}:{op.line}" if op.file else "an unknown line"
    head = [f"{kind} from {op.name} in the {op.phase} pass, {where}{said}; reduced by whynan from {title}."]
    head.append(
        f"Recorded with PyTorch {settings.get('torch', '?')}, run with PyTorch {torch.__version__}, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, CPU."
    )
    lines = [row for part in head for row in textwrap.wrap(part, WIDTH, initial_indent="# ", subsequent_indent="# ")]
    lines += ["import torch", ""]
    if settings.get("flush denormal") == "True":
        lines.append("torch.set_flush_denormal(True)")
    for name, tensor in recipe.leaves.items():
        lines += _wrapped(f"{name} = {written(tensor, recipe.trains(name))}")
    for line in recipe.lines:
        lines += _wrapped(line)
    lines += [f"print({check})", f"assert not torch.isfinite({check}).all()  # finite: not reproduced here"]
    return "\n".join(lines) + "\n"


def runs(text: str) -> bool:
    """Does the script, in a process of its own in an empty folder, end well: with its assertion held?"""
    with tempfile.TemporaryDirectory(prefix="whynan-shrink-") as folder:
        path = Path(folder) / "reproducer.py"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([sys.executable, str(path)], cwd=folder, capture_output=True, timeout=120)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def _wrapped(line: str) -> list[str]:
    if len(line) <= WIDTH or "[" not in line:
        return [line]
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _values(program: Program) -> dict[int, Tensor]:
    """Every value of the slice as computed here; where an op refuses, what was recorded of the birth's inputs."""
    values = {n: leaf.tensor for n, leaf in program.leaves.items()}
    with contextlib.suppress(NotThere):
        execute(program, each=lambda i, made: values.update(made))
    for value, tensor in program.inputs.items():
        values.setdefault(value, tensor)
    return values


# forms ---------------------------------------------------------------------------------------------------------------


def _forms(program: Program, values: Mapping[int, Tensor], context: int) -> Iterator[Recipe]:
    born = program.born
    if born.forward is not None:
        yield from _backward_forms(program, values, program.ops[born.forward])
    bad = max(program.bad, key=lambda b: b.count)
    single, output = scalarised(born, bad.output)
    for depth in (context, 0) if context else (0,):
        ops = [*_before(program, born, depth), single]
        yield from _recipes(ops, values, program.kind, output=output)
    if single is not born:
        yield from _recipes([born], values, program.kind, output=bad.output)


def _backward_forms(program: Program, values: Mapping[int, Tensor], forward: Op) -> Iterator[Recipe]:
    """The forward call, then with the op that reads its result, then with the gradient that arrived there."""
    made = {out.value for out in forward.outs}
    alias = set(made)
    consumers: list[Op] = []
    for op in program.ops:
        if set(op.refs()) & alias and op.phase == "forward" and op is not forward:
            if op.base in ALIASES:
                alias |= {out.value for out in op.outs}
            else:
                consumers.append(_renamed(op, alias, forward.outs[0].value))
    for kind in (program.kind, "any"):
        for position in range(len(forward.outs)):
            for rest in ([], *([c] for c in consumers[:2])):
                yield from _recipes([forward, *rest], values, kind, output=0 if rest else position, backward=True)
        for gradient in _arriving(program, values, forward):
            yield from _recipes([forward], values, kind, backward=True, gradient=gradient)


def _renamed(op: Op, aliases: set[int], value: int) -> Op:
    def changed(item: object) -> object:
        if isinstance(item, Ref):
            return Ref(value) if item.value in aliases else item
        return [changed(part) for part in item] if isinstance(item, list) else item

    return replace(op, args=[changed(a) for a in op.args], kwargs={k: changed(a) for k, a in op.kwargs.items()})


def _arriving(program: Program, values: Mapping[int, Tensor], forward: Op) -> Iterator[Tensor]:
    """Gradients of the forward op's result: what its backward ops read from outside, of the same shape."""
    result = values.get(forward.outs[0].value)
    born = program.born
    group = [op for op in program.ops if op.node == born.node and op.forward == born.forward]
    inside = {out.value for op in group for out in op.outs} | set(forward.refs()) | {o.value for o in forward.outs}
    for op in group:
        for value in op.refs():
            tensor = values.get(value)
            if value not in inside and tensor is not None and result is not None and tensor.shape == result.shape:
                yield tensor


def _before(program: Program, op: Op, depth: int) -> list[Op]:
    """Ops that lead to what `op` reads, in order, up to `depth` of them; copies and aliases come on top."""
    wanted, chosen = set(op.refs()), []
    for other in reversed(program.ops[: program.birth]):
        if depth > 0 and wanted & {out.value for out in other.outs} and other.node is None:
            chosen.append(other)
            wanted |= set(other.refs())
            depth -= other.base not in ALIASES
    return chosen[::-1]


def _recipes(
    ops: list[Op],
    values: Mapping[int, Tensor],
    kind: str,
    *,
    output: int = 0,
    backward: bool = False,
    gradient: Tensor | None = None,
) -> Iterator[Recipe]:
    """The recipe of these ops with the first text of each that works; nothing where a value is missing."""
    made = {out.value for op in ops for out in op.outs}
    read = list(dict.fromkeys(value for op in ops for value in op.refs() if value not in made))
    if any(value not in values or values[value].layout is not torch.strided for value in read):
        return
    names = _names(ops, read)
    leaves = {names[value]: values[value].detach().cpu() for value in read}
    if gradient is not None:
        leaves[GRADIENT] = gradient.detach().cpu()
    outputs = tuple(output if op is ops[-1] else _used(op, ops) for op in ops)
    choices = [0] * len(ops)
    try:
        menu = [len(texts(op, names.__getitem__, out)) for op, out in zip(ops, outputs)]
    except (NotThere, CaseError, KeyError):
        return
    for i in range(len(ops) - 1, -1, -1):
        for choice in range(menu[i]):
            choices[i] = choice
            recipe = Recipe(tuple(ops), names, leaves, kind, outputs, tuple(choices), backward, dict(leaves))
            if recipe.failing() is not None:
                yield replace(recipe, wide=recipe.fails_wide())
                return


def _used(op: Op, ops: list[Op]) -> int:
    """Which output of an op the later ones read."""
    read = {value for other in ops for value in other.refs()}
    return next((i for i, out in enumerate(op.outs) if out.value in read), 0)


def _names(ops: list[Op], read: list[int]) -> dict[int, str]:
    """Variables: leaves by the argument that they are first given as, results y, z, ..."""
    from whynan.replay.program import overload_of
    from whynan.replay.schema import plan_of

    names: dict[int, str] = {}
    taken = {"torch", "y", GRADIENT}

    def fresh(wish: str) -> str:
        wish = "x" if wish in ("self", "input") or keyword.iskeyword(wish) or not wish.isidentifier() else wish
        name, number = wish, 2
        while name in taken:
            name, number = f"{wish}{number}", number + 1
        taken.add(name)
        return name

    for op in ops:
        arguments = plan_of(overload_of(op.name, op.overload)).names
        given = [*zip(arguments, op.args), *op.kwargs.items()]
        for argument, item in given:
            for part in item if isinstance(item, list) else [item]:
                if isinstance(part, Ref) and part.value in read and part.value not in names:
                    names[part.value] = fresh(argument.rstrip("s") if isinstance(item, list) else argument)
    for op in ops:
        for i, out in enumerate(op.outs):
            names[out.value] = "y" if op is ops[-1] and not i else fresh("h")
    if ops:
        for out in ops[-1].outs:
            names[out.value] = "y"
    return names


def _reduced(recipe: Recipe, program: Program, seconds: float) -> Recipe | None:
    if not recipe.holds():
        return None
    hints = [i for bad in program.bad for index in bad.first[:1] for i in index]
    small = Reducer(recipe, seconds, hints).run()
    plain = replace(small, scalar=True)
    return plain if small.backward and plain.holds() else small
