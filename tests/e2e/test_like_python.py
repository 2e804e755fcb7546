"""A program under whynan prints, byte for byte, what it prints under python, and ends with the same exit status.

WHYNAN_E2E chooses what is compared with `python`: "driver" (default: the rewritten loops with nobody watching), or
"run" for the real command, `whynan run`.
"""

from __future__ import annotations

import os
import py_compile
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from e2e.programs import PROGRAMS, Program

SOURCE = Path(__file__).parents[2] / "src"
DRIVER = Path(__file__).with_name("driver.py")
DRIVEN = os.environ.get("WHYNAN_E2E", "driver") == "driver"
WATCHED = [str(DRIVER)] if DRIVEN else ["-m", "whynan", "run", "--quiet"]

Ended = tuple[int, bytes, bytes]


def write(files: dict[str, str | bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def run(command: list[str], program: Program, folder: Path, **more: Any) -> Ended:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WHYNAN"))}
    search = [str(SOURCE)]
    if "PYTHONPATH" in program.environment:
        search.append(program.environment["PYTHONPATH"])
    environment |= {"OMP_NUM_THREADS": "1", **program.environment, "PYTHONPATH": os.pathsep.join(search)}
    options: dict[str, Any] = {"input": program.stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    ended = subprocess.run([sys.executable, *command], cwd=folder, env=environment, timeout=60, **options)
    output, errors = (re.sub(rb"0x[0-9a-f]{6,}", b"0x...", text or b"") for text in (ended.stdout, ended.stderr))
    return ended.returncode, output, errors


def compare(program: Program, folder: Path, **more: Any) -> Ended:
    plain = run([*program.arguments], program, folder, **more)
    write(program.files, folder)  # a program may have changed its own files
    watched = run([*WATCHED, *program.arguments], program, folder, **more)
    assert watched[2].decode(errors="replace") == plain[2].decode(errors="replace")
    assert watched == plain
    return plain


def _param(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow if name.startswith("torch_") else ())


@pytest.mark.parametrize("name", [_param(name) for name in PROGRAMS])
def test_output_and_status_are_pythons(name: str, tmp_path: Path) -> None:
    if name == "missing" and not DRIVEN:
        pytest.skip("a usage error, which whynan words itself")
    program = PROGRAMS[name]
    write(program.files, tmp_path)
    status, _, _ = compare(program, tmp_path)
    assert program.status is None or status == program.status


def test_the_order_of_output_is_pythons(tmp_path: Path) -> None:
    program = PROGRAMS["mixed_streams"]
    write(program.files, tmp_path)
    compare(program, tmp_path, stderr=subprocess.STDOUT)


def test_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import sys, y\nprint(sys.argv, sys.path[0], __file__)\nfor i in [0]: y.f(i)\n")
        archive.writestr("y.py", "def f(i):\n    for j in [i]: print(1 / i)\n")
    compare(Program({}, ("app.zip", "a")), tmp_path)


def test_bytecode_file(tmp_path: Path) -> None:
    write({"x.py": "import sys\nprint(sys.argv, __file__)\nfor i in [0]: print(1 / i)\n"}, tmp_path)
    py_compile.compile(str(tmp_path / "x.py"), cfile=str(tmp_path / "x.pyc"))
    compare(Program({}, ("x.pyc", "a")), tmp_path)


def test_symbolic_link(tmp_path: Path) -> None:
    write({"real/x.py": "import sys, y\nprint(__file__, sys.path[0])\n", "real/y.py": "print(__file__)\n"}, tmp_path)
    (tmp_path / "link.py").symlink_to("real/x.py")
    compare(Program({}, ("link.py",)), tmp_path)


@pytest.mark.skipif(not DRIVEN, reason="a usage error, which whynan words itself")
def test_unreadable_script(tmp_path: Path) -> None:
    (tmp_path / "x.py").symlink_to("x.py")  # a loop of links: cannot be opened, even by root
    compare(Program({}, ("x.py",)), tmp_path)


def test_broken_pipe(tmp_path: Path) -> None:
    program = Program({"x.py": "for i in range(20000):\n    print('line', i)\n"})
    write(program.files, tmp_path)
    ends = []
    for command in ([*program.arguments], [*WATCHED, *program.arguments]):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            ends.append(run(command, program, tmp_path, stdout=writer))
        finally:
            os.close(writer)
    assert ends[0] == ends[1]


def test_broken_pipe_at_the_end(tmp_path: Path) -> None:
    program = Program({"x.py": "for i in range(2):\n    print('line', i)\n"})
    write(program.files, tmp_path)
    ends = []
    for command in ([*program.arguments], [*WATCHED, *program.arguments]):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            ends.append(run(command, program, tmp_path, stdout=writer))
        finally:
            os.close(writer)
    assert ends[0] == ends[1]
    assert ends[0][0] == 120


def test_no_bytecode_of_rewritten_code_is_left(tmp_path: Path) -> None:
    program = Program({"x.py": "import y\nprint(y.z)\n", "y.py": "z = 0\nfor i in range(3): z += int(i)\n"})
    write(program.files, tmp_path)
    watched = run([*WATCHED, "x.py"], program, tmp_path)
    assert watched[:2] == (0, b"3\n")
    assert not list(tmp_path.rglob("*.pyc"))
    plain = run(["x.py"], program, tmp_path)
    assert plain == watched
    assert list(tmp_path.rglob("*.pyc"))  # python's own, which the next watched run must not be misled by
    assert run([*WATCHED, "x.py"], program, tmp_path) == plain
