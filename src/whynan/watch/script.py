"""Running a script or a module exactly as `python script.py` and `python -m module` do, as far as python code can.

`__main__`, `sys.argv`, `sys.path`, tracebacks, messages and the exit status are python's, byte for byte. What cannot be
the same: `sys.orig_argv`, and the frames beneath the script's (`inspect.stack()[-1]`).

    outcome = run_script("train.py", ["--lr", "1"], rewrite=True)
    outcome.print_traceback()
    sys.exit(outcome.status)

The caller should look at `outcome.forked` first: after an `os.fork` in the script the child arrives here as well.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

from whynan.watch import importing
from whynan.watch.source import SITES, SiteTable
from whynan.watch.source import rewrite as rewrite_source
from whynan.watch.userfiles import set_script

SIGINT_STATUS = 130


@dataclass
class Outcome:
    """How a script ended. exception: what left the script, tracebacks free of whynan's frames; None if it ran out."""

    exception: BaseException | None
    status: int  # what python's exit status would be
    forked: bool = False  # we are in a child of the process that started the script

    def print_traceback(self) -> None:
        """Print what python prints: the traceback through `sys.excepthook`, or the message of `sys.exit`."""
        _flush()
        error = self.exception
        if isinstance(error, SystemExit):
            _print_exit_message(error)
        elif error is not None:
            self.status = _print_exception(error) or self.status


def run_script(path: str, argv: Sequence[str], *, rewrite: bool, sites: SiteTable = SITES) -> Outcome:
    """Run `python path argv...`: a script, or a folder or zip archive with a `__main__.py`.

    path: as on the command line; argv: the arguments after it; rewrite: whether loops of the script and of the user's
    modules are rewritten (the names they call must be in `builtins`).
    """
    sys.argv = [path, *argv]
    absolute = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    if rewrite:
        importing.install(sites)
    if pkgutil.get_importer(absolute) is not None:
        sys.path[0 : _own_entries()] = [absolute]
        set_script(os.path.join(absolute, "__main__.py"))
        main = _fresh_main()
        return _run(main, lambda: runpy._run_module_as_main("__main__", False))  # type: ignore[attr-defined]
    try:
        with open(absolute, "rb") as file:
            data = file.read()
    except OSError as error:
        why = f"[Errno {error.errno}] {error.strerror}"
        _say(f"{sys.orig_argv[0]}: can't open file {absolute!r}: {why}")
        return Outcome(SystemExit(2), 2)
    if own := _own_entries():
        sys.path[0:own] = [os.path.dirname(os.path.realpath(absolute))]
    set_script(absolute)
    main = _fresh_main()
    loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)("__main__", absolute)
    main.__dict__.update(__loader__=loader, __file__=absolute, __cached__=None)

    def run() -> None:
        if isinstance(loader, SourcelessFileLoader):
            code: CodeType | None = loader.get_code("__main__")
            assert code is not None
        else:
            try:
                code = _compile(data, absolute, sites if rewrite else None)
            except SyntaxError:
                if not _unreadable(data):
                    raise
                code = None
            if code is None:
                sys.exit(subprocess.run([sys.executable, absolute, *argv]).returncode)
        exec(code, main.__dict__)

    outcome = _run(main, run)
    for name in ("__file__", "__cached__"):
        main.__dict__.pop(name, None)  # as python does before it finalizes
    return outcome


def run_module(name: str, argv: Sequence[str], *, rewrite: bool, sites: SiteTable = SITES) -> Outcome:
    """Run `python -m name argv...`. The arguments are those of `run_script`."""
    sys.argv = ["-m", *argv]
    if own := _own_entries():
        sys.path[0:own] = [os.getcwd()]
    if rewrite:
        importing.install(sites, script_module=name)
    return _run(_fresh_main(), lambda: runpy._run_module_as_main(name))  # type: ignore[attr-defined]


def die_by_sigint() -> NoReturn:
    """End the process as python does after a KeyboardInterrupt: finalize, then be killed by SIGINT.

    Call it after the traceback was printed, and let what it raises leave the program's main module.
    """
    sys.excepthook = lambda *_: None
    raise KeyboardInterrupt


def _own_entries() -> int:
    """How many entries at the front of `sys.path` python put there for whynan itself, 1 or 0."""
    return 0 if sys.flags.safe_path else 1


def _fresh_main() -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins)
    if sys.version_info < (3, 14):
        del main.__dict__["__builtins__"]
        main.__dict__.update(__annotations__={}, __builtins__=builtins)
    _kept_alive.append(sys.modules.get("__main__"))
    sys.modules["__main__"] = main
    return main


_kept_alive: list[Any] = []  # the former `__main__` still has code that runs


def _unreadable(data: bytes) -> bool:
    """The source is no text. Python words that in another way when it reads a file itself: it shall say it."""
    try:
        importlib.util.decode_source(data)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return True
    return b"\0" in data


def _compile(data: bytes, filename: str, sites: SiteTable | None) -> CodeType:
    if sites is None:
        return compile(data, filename, "exec", dont_inherit=True)
    return rewrite_source(data, filename, sites)


def _run(main: ModuleType, run: Callable[[], object]) -> Outcome:
    process = os.getpid()
    error: BaseException | None = None
    try:
        run()
    except BaseException as raised:
        error = raised
        clean_tracebacks(error)
    return Outcome(error, _status(error), forked=os.getpid() != process)


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return SIGINT_STATUS
    if not isinstance(error, SystemExit):
        return 1
    code = error.code
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1
    return code & 0xFF if -(2**63) <= code < 2**63 else 0xFF


def clean_tracebacks(error: BaseException) -> None:
    """Take whynan's frames out of the tracebacks of an exception, its causes, contexts and group members."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _without_ours(one.__traceback__)
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    kept = []
    while traceback is not None:
        if not _is_ours(traceback):
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry, following in zip(kept, [*kept[1:], None], strict=False):
        if entry.tb_next is not following:
            entry.tb_next = following
    return kept[0] if kept else None


def _is_ours(traceback: TracebackType) -> bool:
    name = traceback.tb_frame.f_globals.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] == "whynan"


def _flush() -> None:
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(BaseException):  # python ignores it here too, and says so at the very end
            stream.flush()


def _say(line: str) -> None:
    stream = sys.stderr if sys.stderr is not None else sys.__stderr__
    if stream is not None:
        stream.write(line + "\n")


def _print_exit_message(error: SystemExit) -> None:
    if error.code is None or isinstance(error.code, int):
        return
    try:
        text = str(error.code)
    except BaseException:  # python prints what it can: the end of the line
        text = ""
    _say(text)


def _print_exception(error: BaseException) -> int | None:
    """Call the user's `sys.excepthook` as the interpreter does. The status, where the hook exits."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        _say("sys.excepthook is missing")
        sys.__excepthook__(type(error), error, error.__traceback__)
        return None
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as ending:
        _print_exit_message(ending)
        return _status(ending)
    except BaseException as second:
        clean_tracebacks(second)
        _say("Error in sys.excepthook:")
        sys.__excepthook__(type(second), second, second.__traceback__)
        _say("\nOriginal exception was:")
        sys.__excepthook__(type(error), error, error.__traceback__)
    _flush()
    return None
