"""A report of `whynan fuzz` as text: where, what, with which input, why, how far it is safe, the patch, a program."""

from __future__ import annotations

import os
from collections.abc import Iterator

from whynan.preflight.fuzz.findings import Finding, FuzzReport

WIDE = 100  # characters of a literal on one line


def render(report: FuzzReport) -> str:
    """The whole report, ending in a newline."""
    return "\n".join([*_lines(report), ""])


def headline(report: FuzzReport) -> str:
    count = len(report.findings)
    tried = f"{report.calls} calls in {report.seconds:.1f} s, {', '.join(report.dtypes)}, seed {report.seed}"
    if not count:
        return f"{report.name}: nothing found ({tried})"
    return f"{report.name}: {count} {'place breaks' if count == 1 else 'places break'} ({tried})"


def _lines(report: FuzzReport) -> Iterator[str]:
    yield headline(report)
    for text in report.searched:
        yield f"  searched {text}"
    for number, finding in enumerate(report.findings, 1):
        yield ""
        yield from _finding(number, finding)
    if report.remarks:
        yield ""
    for remark in report.remarks:
        yield f"  note: {remark}"
    if not report.findings and report.refused:
        words, times = next(iter(report.refused.items()))
        yield f"  note: {sum(report.refused.values())} inputs were refused, {times} of them with: {words}"


def _finding(number: int, finding: Finding) -> Iterator[str]:
    place = f"{_relative(finding.file)}:{finding.line}" if finding.file else "inside a library"
    yield f"{number}. {place}  {finding.expression or finding.op or ''}"
    if finding.source and finding.expression and finding.source != finding.expression:
        yield f"     {finding.source}"
    yield f"   {finding.result} ({finding.dtype})"
    op = f"{finding.op}" + (f" in {finding.node}" if finding.node else "")
    if finding.op:
        yield f"   born in   {op}"
    for argument in finding.inputs:
        yield f"   input     {argument.name} = {_short(argument.literal)}"
    if finding.cause:
        yield f"   cause     {finding.cause} ({finding.level or 'measured'})"
    if finding.why:
        yield f"             {finding.why}"
    if finding.safe:
        yield f"   range     {finding.safe}"
    if finding.also:
        yield f"   also      {'; '.join(finding.also)} (cured by the same patch)"
    yield from _repair(finding)
    yield "   reproduce"
    yield from (f"     {line}".rstrip() for line in finding.reproducer.rstrip().splitlines())


def _repair(finding: Finding) -> Iterator[str]:
    repair = finding.repair
    if repair is None:
        return
    tested = f"finite on {repair.cured} failing inputs, equal on {repair.equal} of {repair.compared} others"
    yield f"   remedy    {repair.class_}: {repair.title} ({'verified: ' if repair.verified else ''}{tested})"
    yield from (f"     {line}".rstrip() for line in repair.patch.rstrip().splitlines())


def _short(text: str) -> str:
    return text if len(text) <= WIDE else f"{text[: WIDE - 20]} ... {text[-15:]}"


def _relative(file: str | None) -> str:
    if file is None:
        return "?"
    path = os.path.relpath(file)
    return file if path.startswith("..") else path
