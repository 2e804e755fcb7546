"""What `whynan check` found, on a terminal: problems first, then the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..case.preflight import Column, Preflight, Problem
from .terminal import print_tight
from .words import visible

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}
_PARTS = {"data": "Data", "initialization": "Initialization", "step": "One step", "settings": "Settings",
          "source": "Source"}  # fmt: skip
MOST_COLUMNS, MOST_LAYERS = 12, 24  # rows of a table; the worst ones


def render(answer: Preflight, console: Console) -> None:
    """Print the answer; the tables only as far as there is something in them."""
    print_tight(console, _headline(answer))
    for part, title in _PARTS.items():
        found = [p for p in answer.problems if p.part == part]
        if found:
            console.print()
            print_tight(console, Text(title, "bold"))
            for problem in found:
                for line in _problem(problem):
                    print_tight(console, line)
    for title, table in _tables(answer):
        console.print()
        print_tight(console, Text(title, "bold"))
        print_tight(console, Padding(table, (0, 0, 0, 2)))
    for note in answer.notes:
        console.print()
        print_tight(console, Text(f"Note: {visible(note)}", "dim"))


def _headline(answer: Preflight) -> Text:
    counts = {s: sum(p.severity == s for p in answer.problems) for s in ("error", "warning", "note")}
    told = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items() if n) or "nothing found"
    style = "bold red" if counts["error"] else "yellow" if counts["warning"] else "green"
    looked = f"{answer.samples:,} samples in {answer.batches:,} batches, {len(answer.layers)} layers, one step"
    return Text.assemble(("whynan check: ", "dim"), (told, style), (f"  ({looked})", "dim"))


def _problem(problem: Problem) -> Iterator[Any]:
    yield Text.assemble(
        "  ", (f"{problem.severity:<8}", _COLOURS[problem.severity]), (visible(problem.where), "cyan"),
        f"  {visible(problem.message)}",
    )  # fmt: skip
    if problem.measured:
        yield Padding(Text(visible(problem.measured), "dim"), (0, 0, 0, 10))
    if problem.samples:
        rows = ", ".join(map(str, problem.samples))
        yield Padding(Text(f"samples {rows}", "dim"), (0, 0, 0, 10))
    if problem.remedy and problem.severity != "note":
        for line in problem.remedy.splitlines():
            yield Text(f"          {visible(line)}", "green", no_wrap=True)


def _tables(answer: Preflight) -> Iterator[tuple[str, Table]]:
    if answer.columns:
        yield "Columns", _columns(answer.columns)
    if answer.layers:
        heads = ("layer", "kind", "activation std", "absmax", "gradient norm", "gain", "std as recommended", "float16")
        half = {h.module: h.float16 for h in answer.headroom}
        rows = [
            (layer.name, layer.kind, layer.activation_std, layer.activation_absmax, layer.gradient_norm, layer.gain,
             layer.std_recommended, half.get(layer.name, ""))
            for layer in answer.layers[:MOST_LAYERS]
        ]  # fmt: skip
        yield "Layers", _table(heads, rows)
    if answer.edges:
        heads = ("at", "op", "argument", "nearest", "edge", "distance")
        rows = [
            (f"{e.file}:{e.line}" if e.file else "", e.op, e.argument, e.nearest, e.edge, e.distance)
            for e in answer.edges[:8]
        ]  # fmt: skip
        yield "Closest to an edge", _table(heads, rows)
    if answer.settings:
        yield "Optimizer", _table(("group", "options"), list(answer.settings.items()))


def _columns(columns: tuple[Column, ...]) -> Table:
    """The columns that stand out: not finite first, then the widest range."""
    chosen = sorted(columns, key=lambda c: (-(c.nan + c.inf), -(c.worst_z or 0.0)))[:MOST_COLUMNS]
    heads = ("column", "dtype", "values", "nan", "inf", "min", "median", "max", "std")
    rows = [
        (c.tensor if c.index is None else f"{c.tensor}[{c.index}]", c.dtype, f"{c.count:,}", c.nan or "", c.inf or "",
         c.min, c.median, c.max, c.std)
        for c in chosen
    ]  # fmt: skip
    table = _table(heads, rows)
    if len(columns) > len(chosen):
        table.add_row(Text(f"... {len(columns) - len(chosen)} more", "dim"))
    return table


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    numeric = [bool(rows) and all(isinstance(row[i], int | float | None) or row[i] == "" for row in rows)
               for i in range(len(heads))]  # fmt: skip
    for head, right in zip(heads, numeric, strict=True):
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else visible(str(value))
