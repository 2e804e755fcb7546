"""Functions that are pickled by value travel as the user wrote them.

cloudpickle and dill send the code of what `__main__` defines to processes that know nothing of whynan (joblib, ray,
environments of reinforcement learning in subprocesses). Rewritten code would meet a NameError there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import CodeType, ModuleType
from typing import Any

from whynan.watch.source import NAMES, SOURCES


def original(code: CodeType) -> CodeType:
    """The code as python compiles it from the user's source; `code` itself where it was not rewritten."""
    if code.co_filename not in SOURCES or not _is_rewritten(code):
        return code
    same = _originals(code.co_filename, SOURCES[code.co_filename]).get((code.co_qualname, code.co_firstlineno), [])
    if len(same) > 1:  # several lambdas of one line, which hold no loops: their positions are the same as before
        same = [one for one in same if list(one.co_positions()) == list(code.co_positions())]
    return same[0] if same else code


def _is_rewritten(code: CodeType) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return any(name in NAMES for name in code.co_names) or any(map(_is_rewritten, inner))


@cache
def _originals(filename: str, source: str | bytes) -> dict[tuple[str, int], list[CodeType]]:
    found: dict[tuple[str, int], list[CodeType]] = {}
    pending = [compile(source, filename, "exec", dont_inherit=True)]
    while pending:
        code = pending.pop()
        found.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
        pending.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    return found


def _cloudpickle(module: Any) -> None:
    table = module.CloudPickler._dispatch_table
    reduce = table[CodeType]
    table[CodeType] = lambda code: reduce(original(code))


def _dill(module: Any) -> None:
    table = module.Pickler.dispatch
    save = table[CodeType]
    table[CodeType] = lambda pickler, code: save(pickler, original(code))


# Modules that pickle code, and how they are told: for `after_import`
PICKLERS: dict[str, Callable[[ModuleType], None]] = {"dill._dill": _dill}
for _package in ("cloudpickle", "joblib.externals.cloudpickle", "ray.cloudpickle"):
    PICKLERS[f"{_package}.cloudpickle"] = _cloudpickle
