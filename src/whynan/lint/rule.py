"""What a rule is, and all of them: one file per rule in `rules/`, whose docstring is its page."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from whynan.case.findings import RuleFacts, Severity
from whynan.lint.file import File

HEADINGS = ("What it does", "Why", "Bad", "Good", "When it is safe")


@dataclass(frozen=True, eq=False)
class Hit:
    """A place that a rule objects to. `rewrite`: the names of rewriting rules (remedy/rules) that may put it right.

    `doubtful`: it rests on data whose way the file does not show, and is reported where preview rules are on.
    """

    node: ast.AST
    message: str
    rewrite: tuple[str, ...] = ()
    doubtful: bool = False


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule; `preview` rules are off unless they are selected by code."""

    code: str
    name: str
    causes: tuple[str, ...]
    remedies: tuple[str, ...]
    check: Callable[[File], Iterable[Hit]]
    page: str
    preview: bool = False
    severity: Severity = "warning"

    @property
    def title(self) -> str:
        return self.page.split("\n", 1)[0]

    @property
    def facts(self) -> RuleFacts:
        return RuleFacts(
            code=self.code,
            name=self.name,
            title=self.title,
            page=self.page,
            causes=self.causes,
            remedies=self.remedies,
        )


@cache
def all_rules() -> dict[str, Rule]:
    """Rules by code, sorted. A file registers by being there: CODE, NAME, CAUSES, REMEDIES, check, docstring."""
    from whynan.lint import rules

    found: dict[str, Rule] = {}
    for name in sorted(m.name for m in pkgutil.iter_modules(rules.__path__)):
        module = importlib.import_module(f"{rules.__name__}.{name}")
        rule = Rule(
            code=module.CODE,
            name=module.NAME,
            causes=tuple(module.CAUSES),
            remedies=tuple(module.REMEDIES),
            check=module.check,
            page=(module.__doc__ or "").strip(),
            preview=getattr(module, "PREVIEW", False),
            severity=getattr(module, "SEVERITY", "warning"),
        )
        assert rule.code not in found, f"two rules are called {rule.code}"
        found[rule.code] = rule
    return dict(sorted(found.items()))


def find(name: str) -> Rule | None:
    """A rule by its code, in any case, or by its name."""
    return next((r for r in all_rules().values() if name.upper() == r.code or name == r.name), None)


def rules_about(*causes: str) -> list[Rule]:
    """The rules that name one of these causes."""
    return [rule for rule in all_rules().values() if set(causes) & set(rule.causes)]
