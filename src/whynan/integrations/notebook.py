"""IPython and Jupyter: `%load_ext whynan`, then `%%whynan` on top of the cell whose training loop fails.

From `%load_ext` on, the loops of every cell are rewritten as `whynan run` rewrites a script's, and do nothing special;
under `%%whynan` they are watched. The cell's namespace, its last expression and its output are as without it. When
something non-finite shows, the cell ends in the last healthy state and the report is shown. Words after `%%whynan` are
settings: `%%whynan why_budget=10`. Patches are not tried, for a notebook has no program to run from its start, and a
case is only recorded on request: `%%whynan case=yes`.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import linecache
import shlex
from pathlib import Path
from typing import Any

from whynan.case.facts import Report
from whynan.case.paths import relative_to
from whynan.config import FIELDS, PREFIX, Config, from_environment, load
from whynan.errors import UsageError, WhynanError
from whynan.investigation import Investigation, Target
from whynan.report.notebook import notebook
from whynan.report.words import headline
from whynan.watch import inert
from whynan.watch.signals import Stop
from whynan.watch.source import SITES, rewrite_tree
from whynan.watch.userfiles import is_user_file

MAGIC = "whynan"


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext whynan` calls."""
    inert.install()
    shell.register_magic_function(Cells(shell).magic, "cell", MAGIC)


class Cells:
    """The cells of one shell: rewritten all, watched on request."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._name = "<ipython-input-0>"
        shell.events.register("pre_run_cell", self._about_to_run)
        shell.ast_transformers.append(self)

    # every cell ------------------------------------------------------------------------------------------------

    def _about_to_run(self, info: Any) -> None:
        self._name = self._name_of(info.raw_cell)

    def _name_of(self, cell: str) -> str:
        """The name under which the shell compiles a cell, and `linecache` knows its lines."""
        return str(self.shell.compile.get_code_name(cell, self.shell.transform_cell(cell), self.shell.execution_count))

    def visit(self, tree: ast.Module) -> ast.Module:
        """IPython hands the tree of a cell to each of its transformers."""
        return rewrite_tree(tree, "".join(linecache.getlines(self._name)), self._name)

    # the cell that fails ---------------------------------------------------------------------------------------

    def magic(self, line: str, cell: str) -> None:
        """Run this cell under whynan; words are settings, such as why_budget=10."""
        try:
            settings = settings_of(line)
        except WhynanError as error:
            raise _usage(error) from None
        source = f"# %%{MAGIC}\n{cell}"  # so that line 2 of the cell is line 2 here
        transformed = self.shell.transform_cell(source)
        name = self.shell.compile.cache(transformed, self.shell.execution_count, raw_code=source)
        tree = rewrite_tree(self.shell.compile.ast_parse(transformed, filename=name), transformed, name)
        watch = CellWatch(settings)
        with watch:
            self._execute(tree, name)
        if watch.found is not None:
            _show(self.shell, watch.found, watch.case)

    def _execute(self, tree: ast.Module, name: str) -> None:
        """As the shell does: statement by statement, the value of a last expression is shown."""
        for i, node in enumerate(tree.body):
            if i == len(tree.body) - 1 and isinstance(node, ast.Expr):
                code = compile(ast.Interactive([node]), name, "single", dont_inherit=True)
            else:
                code = compile(ast.Module([node], []), name, "exec", dont_inherit=True)
            exec(code, self.shell.user_global_ns, self.shell.user_ns)


class CellWatch(Investigation):
    """One watched cell. Use as a context manager; `found` is the report afterwards."""

    def __init__(self, config: Config) -> None:
        super().__init__(Target("script", "notebook"), config)
        self.found: Report | None = None

    def __enter__(self) -> CellWatch:
        from whynan.watch.watcher import Watcher

        watcher = Watcher(SITES, is_user_file, share=self.config.snapshot_share, memory_mb=self.config.memory_mb)
        self.attach(watcher)
        vars(builtins).update(watcher.loops.names())
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        vars(builtins).update(inert.inert_names())
        assert self.watcher is not None
        self.watcher.remove()
        return isinstance(error, Stop)

    def _present_where(self, report: Report, located: Any) -> None:
        self.report = report

    def _present(self, report: Report, evidence: Any) -> None:
        self.found = self.report = report = relative_to(report, self.folder)
        if self.config.case:
            with contextlib.chdir(self.folder):
                self.case = self._save(report, evidence)


def settings_of(line: str) -> Config:
    """The settings in force with the words of the magic's line on top. UsageError for a word that is none."""
    given = {}
    for word in shlex.split(line):
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is no setting. Write NAME=VALUE; names are {', '.join(FIELDS)}.")
        given[PREFIX + key.replace("-", "_").upper()] = value
    return load({**from_environment(given), "fixes": False}, defaults={"case": False})


def _usage(error: WhynanError) -> Exception:
    from IPython.core.error import UsageError as Shown

    return Shown(str(error))  # type: ignore[no-any-return]


def _show(shell: Any, report: Report, case: Path | None) -> None:
    """The page in a notebook, text in a terminal; both say where the case is."""
    if shell.__class__.__name__ == "ZMQInteractiveShell":
        from IPython.display import publish_display_data

        publish_display_data({"text/html": notebook(report), "text/plain": headline(report)})
        if case is not None:
            print(f"case  {case}")
        return
    from whynan import report as reports

    reports.show_where(report)
    reports.show_why(report, case=case)
