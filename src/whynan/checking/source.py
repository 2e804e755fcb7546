"""What the source says of a program that was just seen to take a step: its script, and the user's modules.

A formula counts where it ran in the step and reaches the loss; elsewhere (metrics, logging, code that is not used) it
is a note, and so is an exponential of something without a bound that is far from its overflow in the step. What
modules say of loops and optimizers counts where a function ran that it stands in.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from whynan.case.findings import Finding
from whynan.case.paths import shortened
from whynan.case.preflight import Problem
from whynan.lint import all_rules
from whynan.lint.engine import lint_text
from whynan.preflight.step import exponentials

if TYPE_CHECKING:
    from whynan.replay.trace import OpRecord, Trace

SECONDS = 10.0  # for all files together; a thousand lines take about 0.1 s
NOTES = 10  # of imported modules
CALM = 20.0  # times below its overflow; 4.4 in float32 is four times the unit scale of network outputs
OVERFLOW = "exp-overflow"  # the cause that such a formula leads to
FORMULA = "WN6"  # codes before this one are formulas

Lines = dict[str, set[int]]  # by file


def problems_of_source(
    trace: Trace,
    differentiated: Iterable[OpRecord],
    script: str | None,
    is_user_file: Callable[[str], bool],
    folder: str,
) -> Iterator[Problem]:
    """Findings of `whynan lint` in the script (a path) and in modules that are loaded, those of the script first."""
    of_loss, ran = _lines(differentiated), _lines(trace.records)
    measured_exp = {(str(Path(file).resolve()), line): most for (file, line), most in exponentials(trace).items()}
    causes = {code: rule.facts.causes for code, rule in all_rules().items()}
    end, notes = time.monotonic() + SECONDS, 0
    for file in _files(script, is_user_file):
        own = file == script
        if time.monotonic() > end:
            return
        for found, functions in _findings(file, shortened(file, folder) or file):
            counts = own
            if found.code < FORMULA:
                counts = _meet(of_loss.get(file, set()), found.line, found.end_line)
            elif not own:
                counts = any(_meet(ran.get(file, set()), *span) for span in functions)
            measured = (found.source or "").strip()
            most = _calm(measured_exp, file, found.line, functions) if OVERFLOW in causes[found.code] else None
            if most is not None:
                counts, measured = False, f"{measured}  # at most {most:.3g} in the first step"
            notes += not counts and not own
            if not counts and not own and notes > NOTES:
                continue
            yield Problem(
                part="source", kind=f"{found.code} {found.name}", severity="warning" if counts else "note",
                where=f"{found.file}:{found.line}", message=f"{found.code}: {found.message}",
                measured=measured, file=found.file, line=found.line, causes=causes[found.code],
            )  # fmt: skip


def _calm(
    exponentials: dict[tuple[str, int], tuple[float, float]], file: str, line: int, functions: list[tuple[int, int]]
) -> float | None:
    """The largest operand of the exponentials of this line, else of its function, if all are far from overflow."""
    first, last = max(functions, default=(1, 1 << 30))  # the innermost
    here = [most for (f, n), most in exponentials.items() if f == file and n == line]
    here = here or [most for (f, n), most in exponentials.items() if f == file and first <= n <= last]
    far = all(operand * CALM < edge for operand, edge in here)
    return max(operand for operand, _ in here) if here and far else None


def _files(script: str | None, is_user_file: Callable[[str], bool]) -> list[str]:
    """The script and the user's modules: absolute paths without links, each once."""
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    modules = {str(Path(file).resolve()) for file in loaded if file and file.endswith(".py") and is_user_file(file)}
    return [*([script] if script else []), *sorted(modules - {script})]


def _findings(file: str, shown: str) -> Iterator[tuple[Finding, list[tuple[int, int]]]]:
    """(finding, first and last lines of the functions that it stands in); none of what cannot be read."""
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
        tree = ast.parse(text)
        found = lint_text(text, shown)
    except (OSError, SyntaxError, ValueError):
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    spans = [(node.lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if isinstance(node, kinds)]
    for one in found:
        yield one, [span for span in spans if span[0] <= one.line <= span[1]]


def _lines(records: Iterable[OpRecord]) -> Lines:
    """The lines of the user's that ops came from, callers included."""
    found: Lines = {}
    for record in records:
        for site in record.stack:
            found.setdefault(str(Path(site.file).resolve()), set()).add(site.line)
    return found


def _meet(lines: set[int], first: int, last: int) -> bool:
    return any(line in lines for line in range(first, last + 1))
