"""Static rules for numerically unsafe PyTorch code: reads files, runs nothing, needs no torch.

    whynan lint src train.py               what there is to say, with the place under each expression
    whynan lint --diff src                 the patches of the fixable findings, as a diff; changes nothing
    whynan lint --fix src                  writes them
    whynan explain WN102                   the page of a rule

Comments `# whynan: ignore[WN102]` and `# whynan: ignore-file[WN102]` switch rules off; [tool.whynan.lint] in
pyproject.toml selects rules and files.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..case.findings import Finding
    from ..lint.engine import Outcome
    from ..lint.settings import Settings

NAME = "lint"
HELP = "find numerically unsafe training code by reading it"
MANY = 200  # files; fewer are read before a bar would be seen


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """Paths, what to do with what is found, which rules."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="Python files and folders (default: .)")
    parser.add_argument("--fix", action="store_true", help="write the patches of fixable findings into the files")
    parser.add_argument("--diff", action="store_true", help="print these patches as a diff, and change nothing")
    parser.add_argument("--format", default="text", metavar="FORMAT", help="text (default), json, github or sarif")
    parser.add_argument("--output", metavar="FILE", help="write the findings to FILE instead of stdout")
    parser.add_argument("--select", metavar="CODES", help="only these rules: WN102,WN6 (a beginning means all of them)")
    parser.add_argument("--extend-select", metavar="CODES", help="these rules as well, preview rules too")
    parser.add_argument("--ignore", metavar="CODES", help="not these rules")
    parser.add_argument("--exclude", metavar="PATTERNS", help="leave out files and folders: build,vendor/*")
    parser.add_argument("--preview", action="store_true", default=None, help="the preview rules too")
    parser.add_argument("--statistics", action="store_true", help="how many findings each rule has, instead of them")
    parser.add_argument("--rules", action="store_true", help="list all rules and end")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no summary and no progress on stderr")


def run(options: argparse.Namespace) -> int:
    """Status 0 where nothing is found, 1 where something is, 2 where a file cannot be read or an option is wrong."""
    from ..lint import all_rules, lint_paths

    if options.rules:
        for rule in all_rules().values():
            print(f"{rule.code} {rule.name:32} {rule.title}{' (preview)' if rule.preview else ''}")
        return 0
    settings = _settings(options)
    paths = options.paths or ["."]
    progress = _Bar() if sys.stderr.isatty() and not options.quiet else None
    outcomes = lint_paths(paths, settings, jobs=options.jobs, fix=options.fix or options.diff, progress=progress)
    errors = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in errors:
        print(f"whynan: {outcome.path} was not read: {outcome.error}", file=sys.stderr)
    if options.diff:
        return _print_diff(outcomes) or (2 if errors else 0)
    changed = _write_back(outcomes) if options.fix else 0
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    _print(findings, options)
    if not options.quiet:
        _summary(findings, outcomes, changed)
    return 2 if errors else 1 if findings else 0


def _settings(options: argparse.Namespace) -> Settings:
    from ..lint import settings
    from ..report.formats import FORMATS

    if options.format not in FORMATS:
        raise UsageError(f"--format {options.format} is no format. Valid formats are: {', '.join(FORMATS)}.")
    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"--jobs is {options.jobs}. Valid values are whole numbers from 1 up.")
    given: dict[str, Any] = {
        name: _listed(getattr(options, name)) for name in ("select", "extend_select", "ignore", "exclude")
    }
    return settings.load(Path.cwd(), given | {"preview": options.preview})


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _print(findings: Sequence[Finding], options: argparse.Namespace) -> None:
    from ..lint import all_rules
    from ..report.formats import write

    if options.statistics:
        counts = Counter((finding.code, finding.name) for finding in findings)
        text = "".join(f"{n:6} {code} {name}\n" for (code, name), n in counts.most_common())
    else:
        text = write(findings, options.format, [rule.facts for rule in all_rules().values()])
    if options.output:
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{options.output} cannot be written: {error.strerror}.") from None
    else:
        sys.stdout.write(text)


def _print_diff(outcomes: Sequence[Outcome]) -> int:
    from ..remedy.edits import unified_diff

    changed = [o for o in outcomes if o.fixed is not None and o.before is not None]
    for outcome in changed:
        assert outcome.before is not None and outcome.fixed is not None
        sys.stdout.write(unified_diff(outcome.before, outcome.fixed, Path(outcome.path).as_posix()))
    return 1 if changed else 0


def _write_back(outcomes: Sequence[Outcome]) -> int:
    """Write the fixed texts; how many files were changed. A file that changed meanwhile is left alone."""
    from ..lint.writing import write_back

    return sum(write_back(o.path, o.before, o.fixed) for o in outcomes if o.fixed is not None and o.before is not None)


def _summary(findings: Sequence[Finding], outcomes: Sequence[Outcome], changed: int) -> None:
    fixable = sum(finding.fixable for finding in findings)
    parts = [f"{len(findings):,} finding{'s' * (len(findings) != 1)} in {len(outcomes):,} files"]
    if changed:
        parts.append(f"{changed:,} file{'s' * (changed != 1)} fixed")
    if fixable:
        parts.append(f"{fixable:,} fixable with --fix (--diff shows how)")
    print(f"whynan: {'; '.join(parts)}.", file=sys.stderr)
    if findings:
        print(f"next whynan explain {findings[0].code}", file=sys.stderr)


class _Bar:
    """How many files are read, on one line of a terminal that is gone at the end."""

    def __call__(self, done: int, of: int) -> None:
        if of < MANY or (done % 20 and done != of):
            return
        if done == of:
            sys.stderr.write("\r\x1b[K")
        else:
            width = 30 * done // of
            sys.stderr.write(f"\rwhynan: {'#' * width}{'.' * (30 - width)} {done:,} of {of:,} files")
        sys.stderr.flush()
