"""The user's modules are rewritten on import, and nobody could tell from anything but their loops."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import pickle
import py_compile
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from whynan.watch import importing, inert
from whynan.watch.source import FOR, NAMES, SiteTable

LOOP = "def loop():\n    out = []\n    for i in range(3):\n        out.append(i)\n    return out\nclass A: pass\n"

Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, function in inert.inert_names().items():
        monkeypatch.setattr(builtins, name, function, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    importing.uninstall()
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(name: str, code: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        importlib.invalidate_caches()

    return writer


def rewritten(module: ModuleType) -> bool:
    return bool(set(module.loop.__code__.co_names) & set(NAMES))


def test_modules_of_the_user_are_rewritten(write: Write, tmp_path: Path) -> None:
    write("mine1.py", LOOP)
    write("mine2/__init__.py", LOOP)
    write("mine2/part.py", LOOP)
    write("mine3/part.py", LOOP)  # a namespace package
    sites = SiteTable()
    importing.install(sites)
    for name in ("mine1", "mine2", "mine2.part", "mine3.part"):
        module = importlib.import_module(name)
        assert rewritten(module)
        assert module.loop() == [0, 1, 2]
    assert [site.file for site in sites] == [
        str(tmp_path / name) for name in ("mine1.py", "mine2/__init__.py", "mine2/part.py", "mine3/part.py")
    ]


def test_installed_modules_and_the_standard_library_are_not(write: Write, monkeypatch: Any, tmp_path: Path) -> None:
    write("site-packages/mine4.py", LOOP)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    sites = SiteTable()
    importing.install(sites)
    assert not rewritten(importlib.import_module("mine4"))
    importlib.reload(importlib.import_module("textwrap"))
    assert len(sites) == 0


def test_a_module_looks_as_under_python(write: Write, tmp_path: Path) -> None:
    write("mine5.py", '"""Doc."""\n' + LOOP)

    def look() -> dict[str, Any]:
        module = importlib.import_module("mine5")
        seen = {
            name: getattr(module, name) for name in ("__file__", "__cached__", "__package__", "__doc__", "__name__")
        }
        spec, loader = module.__spec__, module.__loader__
        assert spec is not None and loader is spec.loader and isinstance(loader, importlib.machinery.SourceFileLoader)
        seen |= {name: getattr(spec, name) for name in ("name", "origin", "cached", "parent", "has_location")}
        seen |= {"source": loader.get_source("mine5"), "data": loader.get_data(spec.origin), "path": loader.path}
        seen |= {"package": loader.is_package("mine5"), "keys": list(vars(module))}
        seen |= {"text": inspect.getsource(module.loop), "line": module.loop.__code__.co_firstlineno}
        seen |= {"back": pickle.loads(pickle.dumps(module.A())).__class__ is module.A, "repr": repr(module)}
        del sys.modules["mine5"]
        return seen

    plain = look()
    importing.install(SiteTable())
    assert look() == plain


def test_reload_rewrites_what_changed(write: Write) -> None:
    write("mine6.py", LOOP)
    sites = SiteTable()
    importing.install(sites)
    module = importlib.import_module("mine6")
    write("mine6.py", "x = 1\n" + LOOP)
    assert importlib.reload(module) is module
    assert rewritten(module) and module.x == 1
    assert [site.line for site in sites] == [3, 4]


def test_pythons_bytecode_is_neither_used_nor_touched(write: Write, tmp_path: Path) -> None:
    write("mine7.py", LOOP)
    cached = Path(py_compile.compile(str(tmp_path / "mine7.py"), doraise=True) or "")
    content = cached.read_bytes()
    importing.install(SiteTable())
    assert rewritten(importlib.import_module("mine7"))
    assert cached.read_bytes() == content


def test_zip_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("mine8.py", LOOP)
        archive.writestr("mine9/__init__.py", "")
        archive.writestr("mine9/part.py", LOOP)
    monkeypatch.syspath_prepend(tmp_path / "lib.zip")
    importing.install(SiteTable())
    for name in ("mine8", "mine9.part"):
        module = importlib.import_module(name)
        assert rewritten(module)
        assert inspect.getsource(module.loop).startswith("def loop")


def test_other_import_hooks_keep_their_modules(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write("mine10.py", LOOP)

    class Loader(importlib.machinery.SourceFileLoader):
        pass

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any, target: Any = None) -> Any:
            file = tmp_path / "mine10.py"
            return (
                importlib.util.spec_from_file_location(name, file, loader=Loader(name, str(file)))
                if name == "mine10"
                else None
            )

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    importing.install(SiteTable())
    module = importlib.import_module("mine10")
    assert type(module.__loader__) is Loader
    assert not rewritten(module)


def test_tracebacks_of_failing_imports_are_short(write: Write) -> None:
    write("mine11.py", "for i in [0]:\n    print(1 / i)\n")
    write("mine12.py", "def f(:\n")
    importing.install(SiteTable())
    for name, depth in (("mine11", 2), ("mine12", 1)):
        with pytest.raises((ZeroDivisionError, SyntaxError)) as raised:
            exec(f"import {name}")
        entries = traceback.extract_tb(raised.value.__traceback__)
        assert len(entries) == depth + 1  # this function, the line of `import`, and the module
        assert not any("whynan" in entry.filename and "tests" not in entry.filename for entry in entries)


def test_an_error_of_ours_leaves_the_import_alone(write: Write, monkeypatch: Any, capsys: Any) -> None:
    write("mine13.py", LOOP)
    importing.install(SiteTable())

    def broken(path: str) -> bool:
        raise RuntimeError("ours")

    monkeypatch.setattr(importing, "is_user_file", broken)
    assert importlib.import_module("mine13").loop() == [0, 1, 2]
    assert capsys.readouterr().err == "whynan: could not look into mine13: RuntimeError: ours\n"


def test_uninstall_ends_it(write: Write) -> None:
    write("mine14.py", LOOP)
    importing.install(SiteTable())
    importing.install(SiteTable())
    importing.uninstall()
    importing.uninstall()
    assert not rewritten(importlib.import_module("mine14"))


# after_import ---------------------------------------------------------------------------------------------------------


def test_callbacks_run_once_after_the_module_and_before_its_importer_goes_on(write: Write) -> None:
    write("mine20/__init__.py", "x = 1\nfrom . import part\ny = 2\n")
    write("mine20/part.py", "")
    seen: list[Any] = []
    importing.after_import("mine20", lambda module: seen.append((module.__name__, module.x, module.y)))
    importing.after_import("mine20", lambda module: seen.append("second"))
    sys.modules["seen"] = seen  # type: ignore[assignment]
    try:
        write("mine21.py", "import seen\nimport mine20.part\nafter = list(seen)\n")
        module = importlib.import_module("mine21")
    finally:
        del sys.modules["seen"]
    assert module.after == seen == [("mine20", 1, 2), "second"]
    importlib.reload(sys.modules["mine20"])
    assert len(seen) == 2


def test_the_loader_is_the_original_one(write: Write) -> None:
    write("mine22.py", LOOP)
    plain = importlib.util.find_spec("mine22")
    assert plain is not None
    importing.after_import("mine22", lambda module: None)
    module = importlib.import_module("mine22")
    assert type(module.__loader__) is type(plain.loader) is type(module.__spec__.loader)  # type: ignore[union-attr]
    assert inspect.getsource(module.loop).startswith("def loop")


def test_a_module_that_is_there_already() -> None:
    seen: list[ModuleType] = []
    importing.after_import("json", seen.append)
    assert seen == [sys.modules["json"]]


def test_an_error_in_a_callback_is_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("mine23.py", "x = 1\n")
    importing.after_import("mine23", lambda module: 1 / 0)
    assert importlib.import_module("mine23").x == 1
    assert capsys.readouterr().err == "whynan: could not watch mine23: ZeroDivisionError: division by zero\n"


def test_an_import_that_fails_may_be_tried_again(write: Write) -> None:
    write("mine24.py", "1 / 0\n")
    seen: list[str] = []
    importing.after_import("mine24", lambda module: seen.append(module.__name__))
    with pytest.raises(ZeroDivisionError) as raised:
        exec("import mine24")
    assert len(traceback.extract_tb(raised.value.__traceback__)) == 3
    assert seen == []
    write("mine24.py", "x = 1\ny = 2\n")
    importlib.import_module("mine24")
    assert seen == ["mine24"]


def test_looking_for_the_module_is_not_importing_it(write: Write) -> None:
    write("mine25.py", "")
    seen: list[ModuleType] = []
    importing.after_import("mine25", seen.append)
    spec = importlib.util.find_spec("mine25")
    assert spec is not None and spec.loader is not None
    assert spec.loader.is_package("mine25") is False  # type: ignore[attr-defined]
    assert seen == []


def test_both_kinds_together(write: Write) -> None:
    write("mine26.py", LOOP)
    seen: list[ModuleType] = []
    importing.install(SiteTable())
    importing.after_import("mine26", seen.append)
    module = importlib.import_module("mine26")
    assert seen == [module]
    assert rewritten(module)


def test_the_names_stay_in_builtins_to_the_very_end() -> None:
    importing.install(SiteTable())
    keeper = vars(builtins)["__whynan_keeper__"]
    assert FOR in keeper.names
