"""What `whynan check` found, on a terminal: problems first, then the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..case.preflight import Column, Edge, Layer, OpHeadroom, Preflight, Problem
from .terminal import print_tight
from .words import visible

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}
PARTS = {"data": "Data", "initialization": "Initialization", "step": "One step", "settings": "Settings",
          "source": "Source"}  # fmt: skip
MOST_COLUMNS, MOST_LAYERS, MOST_EDGES, MOST_OPS = 8, 12, 6, 8  # rows of a table; the worst ones
TIGHT, NEAR = 2.0, 5.0  # powers of ten of room in float16 below which a factor is shown, or the distance of an exp


@dataclass(frozen=True)
class Rows:
    """One table: `rows` as values, `total` of which some are left out."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    total: int

    @property
    def more(self) -> int:
        return self.total - len(self.rows)


def render(answer: Preflight, console: Console) -> None:
    """Print the answer; the tables only as far as there is something in them."""
    print_tight(console, _headline(answer))
    for title, found in by_part(answer):
        console.print()
        print_tight(console, Text(title, "bold"))
        for problem in found:
            for line in _problem(problem):
                print_tight(console, line)
    for rows in tables(answer):
        console.print()
        print_tight(console, Text(rows.title, "bold"))
        print_tight(console, Padding(_table(rows), (0, 0, 0, 2)))
    for note in answer.notes:
        console.print()
        print_tight(console, Text(f"Note: {visible(note)}", "dim"))


def by_part(answer: Preflight) -> list[tuple[str, list[Problem]]]:
    """(title, problems) of each part that has some, the part with the most serious ones first."""
    parts = [(title, [p for p in answer.problems if p.part == part]) for part, title in PARTS.items()]
    found = [(title, problems) for title, problems in parts if problems]
    first = PARTS["step"]  # among equals: what the run would meet
    return sorted(found, key=lambda pair: (list(_COLOURS).index(pair[1][0].severity), pair[0] != first))


def text(answer: Preflight, width: int = 100) -> str:
    """What `print(answer)` shows: the same without colours."""
    stream = StringIO()
    render(answer, Console(file=stream, width=width, color_system=None, highlight=False, emoji=False))
    return stream.getvalue().rstrip("\n")


def next_command(answer: Preflight, program: str) -> str | None:
    """What to type next: an explanation where a step fails, the page of the first rule."""
    for problem in answer.problems:
        if problem.part == "step" and problem.severity == "error":
            return f"whynan run {program}"
        if problem.part == "source" and problem.severity != "note":
            return f"whynan explain {problem.kind.split()[0]}"
    return None


def counted(answer: Preflight) -> str:
    """What was found in a few words: 2 errors, 1 note."""
    counts = {s: sum(p.severity == s for p in answer.problems) for s in _COLOURS}
    return ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items() if n) or "nothing found"


def looked_at(answer: Preflight) -> str:
    """How much was looked at."""
    steps = f"{answer.tried:,} batches tried" if answer.tried > 1 else "one step"
    also = "".join(f", {samples:,} in {name}" for name, samples in answer.loaders.items())
    steps += f", the first {answer.updates:,} iterations" if answer.updates > 1 else ""
    own = f"{answer.samples:,} samples in {answer.batches:,} batches" if answer.batches else "no data found"
    return f"{own}{also}, {len(answer.layers)} layers, {steps}"


def _headline(answer: Preflight) -> Text:
    worst = next((s for s in _COLOURS if any(p.severity == s for p in answer.problems)), None)
    style = _COLOURS[worst] if worst else "green"
    return Text.assemble(("whynan check: ", "dim"), (counted(answer), style), (f"  ({looked_at(answer)})", "dim"))


def _problem(problem: Problem) -> Iterator[Any]:
    head = Table.grid(padding=(0, 1, 0, 0))
    head.add_column(width=7)
    head.add_column(overflow="fold")
    told = Text.assemble((visible(problem.where), "cyan"), f"  {visible(problem.message)}")
    head.add_row(Text(problem.severity, _COLOURS[problem.severity]), told)
    yield Padding(head, (0, 0, 0, 2))
    if problem.measured:
        yield Padding(Text(visible(problem.measured), "dim"), (0, 0, 0, 10))
    if problem.samples:
        rows = ", ".join(map(str, problem.samples))
        yield Padding(Text(f"samples {rows}", "dim"), (0, 0, 0, 10))
    if problem.remedy and problem.severity != "note":
        for line in problem.remedy.splitlines():
            yield Text(f"          {visible(line)}", "green", no_wrap=True)


def tables(answer: Preflight) -> Iterator[Rows]:
    """The tables that have something in them: for the terminal and for the page."""
    if answer.columns:
        yield Rows("Columns", _COLUMN_HEADS, _column_rows(answer.columns), len(answer.columns))
    if answer.layers:
        heads = ("layer", "kind", "std", "redrawn", "absmax", "grad norm", "gain", "float16")
        half = {h.module: h.float16 for h in answer.headroom}
        rows = [
            (layer.name, layer.kind, layer.activation_std, layer.std_recommended, layer.activation_absmax,
             layer.gradient_norm, layer.gain, half.get(layer.name, ""))
            for layer in _layers_that_stand_out(answer.layers, half)
        ]  # fmt: skip
        yield Rows("Layers", heads, rows, len(answer.layers))
    if answer.edges:
        titles: tuple[str, ...] = ("at", "op", "argument", "nearest", "edge", "distance")
        near: list[tuple[Any, ...]] = [
            (_at(e), _name(e.op), e.argument, e.nearest, e.edge, e.distance) for e in answer.edges[:MOST_EDGES]
        ]
        yield Rows("Closest to an edge", titles, near, len(answer.edges))
    if chosen := _tightest(answer.ops):
        titles = ("at", "op", "of", "value", "float16", "bfloat16", "autocast")
        near = [
            (_at(o), _name(o.op), o.argument, o.nearest, o.float16, o.bfloat16, "float32" if o.autocast else "")
            for o in chosen
        ]
        yield Rows("In half precision", titles, near, len(chosen))
    if answer.settings:
        yield Rows("Optimizer", ("group", "options"), list(answer.settings.items()), len(answer.settings))


def _at(thing: Edge | OpHeadroom) -> str:
    return f"{thing.file}:{thing.line}" if thing.file else ""


def _name(op: str) -> str:
    return op.removeprefix("aten::")


def _tightest(ops: tuple[OpHeadroom, ...]) -> list[OpHeadroom]:
    """What would be lost, then the operands with an edge, and results and gradients close to theirs."""
    lost = [op for op in ops if op.room_float16 <= 0]
    near = [op for op in ops if 0 < op.room_float16 < (TIGHT if "times" in op.float16 else NEAR)]
    chosen: dict[tuple[object, ...], OpHeadroom] = {}
    for op in (*lost, *near):
        chosen.setdefault((op.file, op.line, op.op), op)
    return list(chosen.values())[:MOST_OPS]


def _layers_that_stand_out(layers: tuple[Layer, ...], half: dict[str, str]) -> list[Layer]:
    """In the order in which they ran; of many, those that do not fit float16, or whose scale is farthest from 1."""

    def far(layer: Layer) -> tuple[bool, float]:
        std = layer.activation_std
        size = abs(math.log10(std)) if std and math.isfinite(std) else 0.0
        return half.get(layer.name, "fits") != "fits", size

    chosen = {id(layer) for layer in sorted(layers, key=far, reverse=True)[:MOST_LAYERS]}
    return [layer for layer in layers if id(layer) in chosen]


_COLUMN_HEADS = ("column", "dtype", "values", "nan", "inf", "min", "median", "max", "std")


def _column_rows(columns: tuple[Column, ...]) -> list[tuple[Any, ...]]:
    """The columns that stand out: not finite first, then those with the farthest value, of other data last."""
    chosen = sorted(columns, key=lambda c: (-(c.nan + c.inf), ": " in c.tensor, -(c.worst_z or 0.0)))[:MOST_COLUMNS]
    return [
        (c.tensor if c.index is None else f"{c.tensor}[:, {c.index}]", c.dtype, c.count, c.nan or None, c.inf or None,
         c.min, c.median, c.max, c.std)
        for c in chosen
    ]  # fmt: skip


def numeric(rows: list[tuple[Any, ...]], column: int) -> bool:
    """Whether a column of a table is aligned to the right."""
    return bool(rows) and all(isinstance(row[column], int | float | None) for row in rows)


def cell(value: Any) -> str:
    """One entry of a table as text."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else visible(str(value))


def _table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, head in enumerate(rows.heads):
        table.add_column(head, justify="right" if numeric(rows.rows, i) else "left", overflow="fold")
    for row in rows.rows:
        table.add_row(*(cell(value) for value in row))
    if rows.more:
        table.add_row(Text(f"... {rows.more} more", "dim"))
    return table
