"""What is searched: a function, a layer, a class of layers, or a factory that makes one."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from whynan.errors import UsageError

SIZES = (4, 8, 3)
"""What a constructor's number of features is tried with."""


@dataclass
class Target:
    """A thing to call. `make(dtype)` gives a fresh callable with its module (or None) in that dtype."""

    name: str
    given: Any
    module: torch.nn.Module | None = None
    file: str | None = None
    qualname: str | None = None
    arguments: tuple[Any, ...] = ()  # with which a class was constructed
    spec: str | None = None  # MODULE:CALLABLE, by which another process finds it

    @property
    def signature(self) -> inspect.Signature:
        what = self.module.forward if self.module is not None else self.given
        try:
            return inspect.signature(what)
        except (ValueError, TypeError):
            raise UsageError(
                f"The arguments of {self.name} cannot be read; say them with --input, in the order of the call."
            ) from None

    def make(self, dtype: torch.dtype) -> tuple[Callable[..., Any], torch.nn.Module | None]:
        if self.module is None:
            return self.given, None
        import copy

        module = copy.deepcopy(self.module)
        module = module.to(dtype) if dtype.is_floating_point else module
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        return module, module


def load(spec: str) -> Target:
    """The target that `MODULE:CALLABLE` or `FILE.py:CALLABLE` names. UsageError says what was not found and where."""
    place, sign, name = spec.rpartition(":")
    if not sign or not place or not name:
        raise UsageError(
            f"{spec!r} names nothing to search. It is MODULE:CALLABLE or FILE.py:CALLABLE, such as losses.py:dice."
        )
    module = _file(place) if place.endswith(".py") or os.sep in place else _module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{place} has no {name!r}. It has: {', '.join(_offers(module)) or 'nothing callable'}.")
        found = getattr(found, part)
    target = resolve(found, name)
    target.spec = spec
    return target


def resolve(given: Any, name: str | None = None) -> Target:
    """A `Target` from a function, an nn.Module, its class, or a function without arguments that makes one."""
    name = str(name or getattr(given, "__qualname__", type(given).__name__))
    if isinstance(given, torch.nn.Module):
        return _of_module(given, name, given, ())
    if isinstance(given, type):
        return _of_class(given, name)
    if not callable(given):
        raise UsageError(f"{name} is a {type(given).__name__} and cannot be called.")
    if _needs_nothing(given):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                made = given()
            except Exception as error:
                raise UsageError(f"{name}() raised {type(error).__name__}: {error}") from error
        if isinstance(made, torch.nn.Module):
            return _of_module(made, name, given, ())
        raise UsageError(f"{name} takes no arguments, so there is nothing to search.")
    code = inspect.unwrap(given)
    return Target(name, given, file=_source_file(code), qualname=getattr(code, "__qualname__", None))


def _of_module(module: torch.nn.Module, name: str, given: Any, arguments: tuple[Any, ...]) -> Target:
    kind = type(module)
    return Target(name, given, module, _source_file(kind), kind.__qualname__, arguments)


def _of_class(kind: type, name: str) -> Target:
    """An instance of a class, made with nothing, or with small numbers where its constructor wants sizes."""
    needed = [
        p
        for p in inspect.signature(kind).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    problem = ""
    for size in SIZES:
        arguments = tuple(1.0 if p.annotation in (float, "float") else size for p in needed)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                made = kind(*arguments)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if isinstance(made, torch.nn.Module):
            return _of_module(made, name, kind, arguments)
        if callable(made):
            return Target(name, made, file=_source_file(kind), qualname=kind.__qualname__)
        raise UsageError(f"{name} is a class whose instances cannot be called.")
    raise UsageError(
        f"{name}({', '.join(p.name for p in needed)}) could not be made with sizes of {SIZES}: {problem}. Write a "
        f"function without arguments that returns one, and name that function."
    )


def _needs_nothing(given: Any) -> bool:
    try:
        parameters = inspect.signature(given).parameters.values()
    except (ValueError, TypeError):
        return False
    return not any(
        (p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)) or p.kind is p.VAR_POSITIONAL
        for p in parameters
    )


def _source_file(thing: Any) -> str | None:
    try:
        return inspect.getsourcefile(thing)
    except TypeError:
        return None


def _offers(module: ModuleType) -> list[str]:
    own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
    return [n for n in own if getattr(vars(module)[n], "__module__", None) == module.__name__][:20]


def _file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise UsageError(f"There is no file {place!r} in {os.getcwd()}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that its neighbours can be imported, as when it is run
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    _execute(lambda: spec.loader.exec_module(module), place)  # type: ignore[union-attr]
    return module


def _module(place: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        if importlib.util.find_spec(place) is None:
            raise UsageError(f"There is no module {place!r}: not in {os.getcwd()}, and not installed.")
    except ModuleNotFoundError as error:
        raise UsageError(f"There is no module {place!r}: {error}.") from None
    return _execute(lambda: importlib.import_module(place), place)


def _execute(run: Callable[[], Any], place: str) -> Any:
    try:
        return run()
    except Exception as error:
        raise UsageError(f"{place} could not be imported: {type(error).__name__}: {error}") from error


def load_example(place: str, target: Target) -> dict[str, Any]:
    """Arguments by name, from a file that `torch.save` wrote: a dict, a tuple in the order of the call, or a tensor."""
    try:
        saved = torch.load(place, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"--example {place}: it cannot be read: {type(error).__name__}: {error}") from error
    if isinstance(saved, dict):
        return saved
    given = list(saved) if isinstance(saved, (list, tuple)) else [saved]
    names = list(target.signature.parameters)
    if len(given) > len(names):
        raise UsageError(f"--example {place} holds {len(given)} arguments, and {target.name} takes {len(names)}.")
    return dict(zip(names, given))
