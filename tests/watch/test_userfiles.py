"""The user's files are those that nobody installed."""

from __future__ import annotations

import json
import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import whynan
from whynan.watch import userfiles
from whynan.watch.userfiles import is_user_file, set_script


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    def clear() -> None:
        for known in (userfiles._known, userfiles._scripts, userfiles._homes):
            known.clear()
        for function in (userfiles._package, userfiles._is_environment):
            function.cache_clear()

    clear()
    yield
    clear()


def make(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [str(folder / name) for name in names]


def test_script_neighbours_and_modules_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, neighbour, deep, elsewhere = make(tmp_path, "a/train.py", "a/model.py", "a/p/q/r.py", "b/lib.py")
    set_script(script)
    assert all(map(is_user_file, (script, neighbour, deep, elsewhere)))
    monkeypatch.chdir(tmp_path)
    assert is_user_file("a/model.py")


def test_installed_code_is_not_the_users(tmp_path: Path) -> None:
    script, *installed = make(
        tmp_path, "train.py", "lib/site-packages/p/m.py", "dist-packages/q.py", ".venv/pyvenv.cfg", ".venv/src/x.py"
    )
    set_script(script)
    assert not any(map(is_user_file, [*installed, json.__file__, os.__file__, pytest.__file__, whynan.__file__]))
    assert not is_user_file(os.path.join(site.getsitepackages()[0], "anything.py"))


@pytest.mark.parametrize("name", ["<string>", "<frozen importlib._bootstrap>", "", "<stdin>", "<attrs generated>"])
def test_code_without_a_file(name: str) -> None:
    assert not is_user_file(name)


def test_cells_of_a_notebook(tmp_path: Path) -> None:
    assert is_user_file("<ipython-input-3-abc>")
    assert is_user_file("/tmp/ipykernel_12/345.py")


def test_a_project_inside_its_environment(tmp_path: Path) -> None:
    script, model, installed, _ = make(
        tmp_path, "env/project/train.py", "env/project/model.py", "env/lib/site-packages/x.py", "env/pyvenv.cfg"
    )
    set_script(script)
    assert is_user_file(model)
    assert not is_user_file(installed)


def test_an_installed_script_brings_its_package(tmp_path: Path) -> None:
    script, part, other, single = make(
        tmp_path / "site-packages", "lib/train.py", "lib/sub/m.py", "other/m.py", "one.py"
    )
    assert not is_user_file(script)
    set_script(script)
    assert is_user_file(script)
    assert is_user_file(part)
    assert not is_user_file(other)
    assert not is_user_file(single)


def test_a_single_installed_module_brings_nothing(tmp_path: Path) -> None:
    script, other = make(tmp_path, "site-packages/one.py", "site-packages/other/m.py")
    set_script(script)
    assert is_user_file(script)
    assert not is_user_file(other)


def test_torch_is_never_the_users(tmp_path: Path) -> None:
    script, checkout, plain, launcher, _, _ = make(
        tmp_path, "src/train.py", "src/torch/optim/adam.py", "torch/train.py",
        "site-packages/torch/run.py", "src/torch/__init__.py", "src/torch/optim/__init__.py",
    )  # fmt: skip
    make(tmp_path, "site-packages/torch/__init__.py", "site-packages/torch/elastic.py")
    set_script(script)
    assert not is_user_file(checkout)
    assert is_user_file(plain)  # a folder of that name is not the package
    set_script(launcher)
    assert not is_user_file(str(tmp_path / "site-packages/torch/elastic.py"))


def test_generated_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    assert not is_user_file("/tmp/torchinductor_me/ab/cab.py")
    assert not is_user_file(str(tmp_path / "cache/x.py"))
    assert is_user_file(str(tmp_path / "x.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_links(tmp_path: Path) -> None:
    real, _ = make(tmp_path, "project/train.py", "site-packages/cache/p.py")
    (tmp_path / "link.py").symlink_to(real)
    (tmp_path / "linked").symlink_to(tmp_path / "site-packages/cache")
    set_script(str(tmp_path / "link.py"))
    assert is_user_file(real)
    assert not is_user_file(str(tmp_path / "linked/p.py"))
