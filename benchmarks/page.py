"""The figures as text and as a plot: the part of docs/benchmarks.md between two marks, and docs/overhead.svg."""

from __future__ import annotations

import datetime
import math
import os
import platform
from pathlib import Path
from xml.sax.saxutils import escape

import torch

from benchmarks.endtoend import Runs
from benchmarks.measure import Times

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- overhead: begin, written by `python -m benchmarks` -->", "<!-- overhead: end -->"
COLOURS = {"whynan": "#0b6e4f", "whynan, no warnings": "#74b49b"}


def row(label: str, times: list[Times]) -> str:
    ratios = ", ".join(f"{t.name} {t.ratio():.3f}" for t in times[1:])
    return f"{label}: bare {times[0].median * 1e3:.2f} ms; {ratios}"


def section(
    results: dict[str, list[Times]],
    scope: tuple[float, float, float],
    memory: dict[str, dict[str, float]],
    notes: list[str],
    runs: list[Runs],
    *,
    rounds: int,
) -> str:
    names = [t.name for t in next(iter(results.values()))]
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{os.cpu_count()} CPU cores, no GPU"
    clock = "the wall clock" if cuda else "CPU time"
    lines = [
        f"`python -m benchmarks`, {datetime.date.today()}. {device}, {platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, one thread. Load of the machine meanwhile: "
        f"{os.getloadavg()[1]:.1f} (other jobs may run beside it; {clock} is what is counted). A B A B in one process, "
        f"{rounds} rounds; a ratio is the median over the rounds.",
        "",
        "| loop | " + " | ".join(["bare", *names[1:]]) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for label, times in results.items():
        ratios = [f"{t.ratio():.3f}" if t.ratio() < 1.5 else f"{t.ratio():.1f}" for t in times]
        lines.append(f"| {label} | {times[0].median * 1e3:.2f} ms | " + " | ".join(ratios[1:]) + " |")
    lines += ["", "![ratios](overhead.svg)", ""]
    lines += [f"Not measured: {note}.\n" for note in notes]
    if runs:
        lines += ["Whole processes in turns, `python train.py` and `whynan run train.py`, which time their steps:", ""]
        lines += [*(f"- {run}" for run in runs), ""]
    lines += [
        f"One step of the transformer under the microscope: {scope[1]:.0f} ms against {scope[0]:.0f} ms bare, "
        f"{scope[2]:.1f} times.",
        "",
        "Memory without snapshots, of the resident memory of the bare process: "
        + ", ".join(
            f"{name} {100 * m['share']:.2f} % of {m['bare']:.0f} MiB (with pages of torch's code that are executed for "
            f"the first time {100 * m['resident_share']:.2f} %), {m['growth']:+.1f} MiB after as many steps again"
            for name, m in memory.items()
        )
        + ".",
    ]
    return "\n".join(lines)


def write(text: str, svg: str) -> None:
    path = DOCS / "benchmarks.md"
    old = path.read_text()
    head, rest = old.split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    (DOCS / "overhead.svg").write_text(svg)


def plot(results: dict[str, list[Times]]) -> str:
    """Bars of the added time in percent on a logarithmic axis, one group a program."""
    bars = [(label, t.name, 100 * (t.ratio() - 1)) for label, times in results.items() for t in times[1:]]
    low, high = 0.1, max(1000.0, *(value for *_, value in bars))
    height, left, width = 20, 330, 420

    def x(percent: float) -> float:
        return left + width * (math.log10(max(percent, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))

    parts = []
    for i, (label, name, value) in enumerate(bars):
        y = 30 + i * height
        colour = COLOURS.get(name, "#9aa5b1")
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(f"{label}: {name}")}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{x(value) - left:.1f}" height="{height - 6}" fill="{colour}"/>')
        parts.append(f'<text x="{x(value) + 4:.1f}" y="{y + 13}">{value:.1f} %</text>')
    bottom = 30 + len(bars) * height
    for exponent in range(-1, int(math.log10(high)) + 1):
        at = x(10.0**exponent)
        parts.append(f'<line x1="{at:.1f}" y1="24" x2="{at:.1f}" y2="{bottom}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{at:.1f}" y="18" text-anchor="middle">{10.0**exponent:g} %</text>')
    style = 'font-family="sans-serif" font-size="12" fill="#24292f"'
    size = f'width="{left + width + 80}" height="{bottom + 10}"'
    title = "<title>Time added to a training step</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{title}<g {style}>' + "\n".join(parts) + "</g></svg>\n"
