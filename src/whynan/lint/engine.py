"""All selected rules over one source text."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from whynan.case.findings import Finding
from whynan.lint import fixes
from whynan.lint.file import TORCH, File
from whynan.lint.ignores import Ignores
from whynan.lint.rule import Hit, Rule, all_rules
from whynan.lint.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `error`: why it could not be read; `fixed`: its text after the fixes, where asked."""

    path: str
    findings: tuple[Finding, ...] = ()
    lines: int = 0
    error: str | None = None
    before: str | None = None
    fixed: str | None = None


def lint_text(text: str, path: str = "train.py", settings: Settings | None = None) -> list[Finding]:
    """The findings in a source text, by place. SyntaxError and ValueError as `ast.parse` raises them."""
    settings = settings or Settings()
    rules = [rule for rule in all_rules().values() if settings.wants(rule, path)]
    return [finding for finding, _ in found_in(text, path, rules, settings)]


def found_in(text: str, path: str, rules: list[Rule], settings: Settings) -> list[tuple[Finding, Hit]]:
    """Findings with the hits they were made from, doubtful ones where wanted. None for a file that imports no torch."""
    if not rules or TORCH.search(text) is None:
        return []
    ignores = Ignores(text)
    if ignores.file is True:
        return []
    file = File(text, path, rel=path)
    out: list[tuple[Finding, Hit]] = []
    for rule in rules:
        for hit in rule.check(file):
            if hit.doubtful and not settings.doubts(rule):
                continue
            finding = _finding(file, rule, hit)
            if not ignores.covers(finding):
                out.append((finding, hit))
    unique = {(f.code, f.line, f.column): (f, h) for f, h in reversed(out)}
    return sorted(unique.values(), key=lambda pair: (pair[0].line, pair[0].column, pair[0].code))


def fix_text(text: str, path: str, rules: list[Rule], most: int = 20, settings: Settings | None = None) -> str:
    """The text with the patches of all fixable findings made, again until none is left."""
    for _ in range(most):
        file_hits = [hit for _, hit in found_in(text, path, rules, settings or Settings()) if hit.rewrite]
        if not file_hits:
            break
        after = fixes.apply(text, path, [(hit.node, hit.rewrite) for hit in file_hits])
        if after == text:
            break
        text = after
    return text


def _finding(file: File, rule: Rule, hit: Hit) -> Finding:
    node = hit.node
    line, end_line = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        end_line = line  # the heading of a loop or try, not all of it
    source = file.line(line)
    end = node.end_col_offset if end_line == node.end_lineno else len(source.encode())  # type: ignore[attr-defined]
    return Finding(
        file=str(file.path),
        line=line,
        column=file.character(line, node.col_offset) + 1,  # type: ignore[attr-defined]
        end_line=end_line,
        end_column=file.character(end_line, end or 0) + 1,
        code=rule.code,
        name=rule.name,
        message=hit.message,
        severity=rule.severity,
        source=source,
        fixable=bool(hit.rewrite) and fixes.possible(file, hit.node, hit.rewrite),
    )
