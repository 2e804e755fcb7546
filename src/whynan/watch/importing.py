"""Import hooks: the user's own modules are rewritten on import; a callback runs right after `import torch`.

Only the code differs. Specs, `__file__`, `__cached__`, `get_source`, `inspect`, reload, packages and pickling are the
standard loader's, because the loader is a subclass of it that compiles in another way. Bytecode is neither read nor
written: what lies in the user's `__pycache__` is python's. Modules that come with a loader of their own (another
import hook, an extension, a namespace package) are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any
from zipimport import zipimporter

from whynan.watch import inert
from whynan.watch.pickling import PICKLERS
from whynan.watch.source import SITES, SiteTable, rewrite
from whynan.watch.userfiles import is_user_file, set_script

Callback = Callable[[ModuleType], object]


class RewritingLoader(SourceFileLoader):
    """The standard loader, compiling rewritten source."""

    sites: SiteTable = SITES

    def path_stats(self, path: Any) -> Any:
        raise OSError("rewritten code is never cached")  # documented: the loader then uses no bytecode at all

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        if isinstance(data, bytes | str) and _optimize == -1:
            code = _rewritten(data, path, self.sites)
            if code is not None:
                return code
        try:
            return super().source_to_code(data, path, _optimize=_optimize)
        except BaseException as error:
            _leave_out_this_frame(error)
            raise


class RewritingZip(zipimporter):
    """A module in a zip archive, rewritten."""

    sites: SiteTable = SITES

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        code = _rewritten(source, self.get_filename(fullname), self.sites) if source is not None else None
        return super().get_code(fullname) if code is None else code


def _rewritten(source: bytes | str, path: str, sites: SiteTable) -> CodeType | None:
    """None where python's own compiler should speak: the source has an error."""
    try:
        return rewrite(source, path, sites)
    except Exception:
        return None


def _leave_out_this_frame(error: BaseException) -> None:
    """Take the frame that is handling `error` out of its traceback; a bare `raise` does not add it again.

    Python shortens tracebacks through the import system only where no foreign frame is in between.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


class _Finder(MetaPathFinder):
    """Asks the finders after it, and changes the loader of what they found."""

    def __init__(self) -> None:
        self.sites: SiteTable | None = None  # None: nothing is rewritten
        self.script_module: str | None = None  # what `-m` was given
        self.callbacks: dict[str, list[Callback]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self.sites is None and fullname not in self.callbacks:
            return None
        spec = self._ask_others(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        if self.sites is not None and spec.origin is not None:
            try:
                self._rewrite(fullname, spec, self.sites)
            except Exception as error:  # an import of the user's must not fail because of us
                _complain(f"could not look into {fullname}", error)
        if fullname in self.callbacks:
            _run_after(spec, self.callbacks)
        return spec

    def _ask_others(self, fullname: str, path: Any, target: Any) -> ModuleSpec | None:
        finders = list(sys.meta_path)
        start = finders.index(self) + 1 if self in finders else 0
        for finder in finders[start:]:
            find_spec = getattr(finder, "find_spec", None)
            if find_spec is not None and (spec := find_spec(fullname, path, target)) is not None:
                return spec
        return None

    def _rewrite(self, fullname: str, spec: ModuleSpec, sites: SiteTable) -> None:
        loader, origin = spec.loader, str(spec.origin)
        if self.script_module is not None and fullname in (self.script_module, self.script_module + ".__main__"):
            set_script(origin)
        new: RewritingLoader | RewritingZip
        if type(loader) is SourceFileLoader and is_user_file(origin):
            new = RewritingLoader(loader.name, loader.path)
        elif type(loader) is zipimporter and is_user_file(loader.archive):
            new = RewritingZip("/".join(part for part in (loader.archive, loader.prefix.rstrip("/\\")) if part))
        else:
            return
        new.sites = sites
        spec.loader = new


def _run_after(spec: ModuleSpec, callbacks: dict[str, list[Callback]]) -> None:
    """Let the callbacks run when the module has been executed. The loader is the original one again by then."""
    loader: Any = spec.loader

    class Loader:
        def __getattr__(self, name: str) -> Any:
            return getattr(loader, name)

        def create_module(self, spec: ModuleSpec) -> Any:
            return loader.create_module(spec)

        def exec_module(self, module: ModuleType) -> None:
            spec.loader = module.__loader__ = loader
            try:
                loader.exec_module(module)
            except BaseException as error:
                _leave_out_this_frame(error)
                raise
            for callback in callbacks.pop(spec.name, ()):
                _call(callback, module)

    spec.loader = Loader()  # type: ignore[assignment]


def _call(callback: Callback, module: ModuleType) -> None:
    try:
        callback(module)
    except Exception as error:
        _complain(f"could not watch {module.__name__}", error)


def _complain(what: str, error: Exception) -> None:
    if sys.stderr is not None:
        print(f"whynan: {what}: {type(error).__name__}: {error}", file=sys.stderr)


_finder = _Finder()
_taught: set[str] = set()  # the pickling modules that are, or will be, told to send code as the user wrote it


def install(sites: SiteTable = SITES, script_module: str | None = None) -> None:
    """Rewrite every module of the user's that is imported from now on.

    script_module: what `-m` was given; it counts as the user's wherever it is installed.
    """
    inert.keep_to_the_end()
    _finder.sites, _finder.script_module = sites, script_module
    for name, teach in PICKLERS.items():
        if name not in _taught:
            _taught.add(name)
            after_import(name, teach)
    _activate()


def after_import(name: str, callback: Callback) -> None:
    """Call `callback(module)` once, right after module `name` has been executed; now, if it already has been.

    What the callback raises is said in one line on stderr and goes no further.
    """
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _call(callback, module)
        return
    _finder.callbacks.setdefault(name, []).append(callback)
    _activate()


def uninstall() -> None:
    """Undo `install` and forget what waits in `after_import`. Modules that are loaded stay as they are."""
    _finder.sites = _finder.script_module = None
    _finder.callbacks.clear()
    _taught.difference_update(name for name in PICKLERS if name not in sys.modules)
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _activate() -> None:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
