"""What `whynan check` found told as findings: those without a place in a file stand at the top of the program."""

from __future__ import annotations

from ...case.findings import Finding, RuleFacts
from ...case.preflight import Preflight, Problem


def findings_of(answer: Preflight, program: str) -> list[Finding]:
    """One finding for each problem. program: the file that problems without a place of their own are shown at."""
    return [_finding(problem, program) for problem in answer.problems]


def rules_of(answer: Preflight) -> list[RuleFacts]:
    """One rule for each kind of problem."""
    kinds = {_code(p): p for p in reversed(answer.problems)}
    return [
        RuleFacts(code=code, name=p.kind, title=f"whynan check: {p.kind.replace('-', ' ')}", causes=p.causes)
        for code, p in sorted(kinds.items())
    ]


def _code(problem: Problem) -> str:
    """Lint findings keep their code; the others are named by their kind."""
    return problem.kind.split()[0] if problem.part == "source" else f"check/{problem.kind}"


def _finding(problem: Problem, program: str) -> Finding:
    line = problem.line or 1
    where = "" if problem.file else f"{problem.where}: "
    measured = f" ({problem.measured})" if problem.measured and problem.part != "source" else ""
    rows = f" Samples {', '.join(map(str, problem.samples))}." if problem.samples else ""
    return Finding(
        file=problem.file or program,
        line=line,
        column=1,
        end_line=line,
        end_column=2,
        code=_code(problem),
        name=problem.kind,
        message=f"{where}{problem.message}{measured}.{rows}",
        severity=problem.severity,
    )
