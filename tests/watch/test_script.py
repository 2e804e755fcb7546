"""What `run_script` and `run_module` hand back. That they run as python does: tests/e2e/test_like_python.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whynan.watch.script import clean_tracebacks

SOURCE = Path(__file__).parents[2] / "src"

START = """\
import builtins, json, os, sys
from whynan.watch import inert, script
from whynan.watch.source import FOR, SITES, WHILE
inert.install()
"""


def python(code: str, folder: Path, *options: str) -> Any:
    """Run `code` in a fresh interpreter; what it printed last, from JSON."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, *options, "-c", START + code]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("program", "status", "kind"),
    [
        ("x = 1", 0, None),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise SystemExit", 0, "SystemExit"),
        ("raise SystemExit(3)", 3, "SystemExit"),
        ("raise SystemExit(-1)", 255, "SystemExit"),
        ("raise SystemExit(256)", 0, "SystemExit"),
        ("raise SystemExit(2**80)", 255, "SystemExit"),
        ("raise SystemExit('text')", 1, "SystemExit"),
        ("raise SystemExit(False)", 0, "SystemExit"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
        ("x = = 1", 1, "SyntaxError"),
        ("import os\nif os.fork() == 0: os._exit(0)\nos.wait()", 0, None),
    ],
)
def test_outcome(program: str, status: int, kind: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(program)
    outcome = "type(o.exception).__name__ if o.exception else None"
    for start in ("script.run_script('x.py', [], rewrite=True)", "script.run_module('x', [], rewrite=True)"):
        assert python(f"o = {start}\nprint(json.dumps([o.status, {outcome}, o.forked]))", tmp_path) == [
            status,
            kind,
            False,
        ]


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    assert python("o = script.run_script('x.py', [], rewrite=True)\nprint(json.dumps(o.status))", tmp_path) == 2


def test_a_forked_child_is_known_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import os\nif os.fork(): os.wait()\n")
    code = "o = script.run_script('x.py', [], rewrite=True)\nopen(f'{o.forked}', 'w').close()\nprint(1)"
    python(code, tmp_path)
    assert (tmp_path / "True").exists() and (tmp_path / "False").exists()


def test_loops_of_the_script_and_of_its_modules_are_rewritten_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import y\nfor i in y.f(): print(i)\n")
    (tmp_path / "y.py").write_text("def f():\n    while True: return list(range(2))\n")
    for rewrite in (True, False):
        code = f"o = script.run_script('x.py', [], rewrite={rewrite})\nprint(json.dumps([s.file for s in SITES]))"
        expected = [str(tmp_path / name) for name in ("x.py", "y.py")] if rewrite else []
        assert python(code, tmp_path) == expected


def test_a_module_from_site_packages_is_the_users_when_it_is_run(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("for i in range(1): str(i)\n")
    (package / "__main__.py").write_text("from lib import loop\nfor i in range(1): str(i)\n")
    (package / "loop.py").write_text("for i in range(1): str(i)\n")
    code = (
        f"sys.path.append({str(tmp_path / 'site-packages')!r})\n"
        "o = script.run_module('lib', [], rewrite=True)\no.print_traceback()\n"
        "print(json.dumps([os.path.basename(s.file) for s in SITES]))"
    )
    assert python(code, tmp_path) == ["__init__.py", "__main__.py", "loop.py"]


def test_safe_path_is_respected(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.py").write_text("import sys\nprint(sys.path[0], file=sys.stderr)\nsys.exit(sys.path[0])\n")
    code = "o = script.run_script('sub/x.py', [], rewrite=True)\nprint(json.dumps(o.exception.code))"
    assert python(code, tmp_path) == str(tmp_path / "sub")
    assert python(code, tmp_path, "-P") == str(SOURCE)


def test_main_is_the_scripts_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("class A: pass\n")
    code = (
        "import pickle\no = script.run_script('x.py', [], rewrite=True)\nA = sys.modules['__main__'].A\n"
        "print(json.dumps([type(pickle.loads(pickle.dumps(A()))) is A, hasattr(sys.modules['__main__'], '__file__')]))"
    )
    assert python(code, tmp_path) == [True, False]


def ours(function: Any) -> Any:
    """The function as if whynan had defined it."""
    return type(function)(function.__code__, {**globals(), "__name__": "whynan.watch.loops"})


def through(call: Any) -> None:
    call()


def names(error: BaseException) -> list[str]:
    found, entry = [], error.__traceback__
    while entry is not None:
        found.append(entry.tb_frame.f_code.co_name)
        entry = entry.tb_next
    return found


def test_frames_of_whynan_are_taken_out_everywhere() -> None:
    def low() -> None:
        raise ValueError("low")

    def middle() -> None:
        try:
            ours(through)(low)
        except ValueError as low_error:
            raise KeyError("middle") from low_error

    def high() -> None:
        try:
            ours(through)(middle)
        except KeyError as first:
            errors = [first]
        try:
            ours(through)(low)
        except ValueError as second:
            errors.append(second)
        raise ExceptionGroup("high", errors)

    with pytest.raises(ExceptionGroup) as raised:
        ours(through)(high)
    group = raised.value
    clean_tracebacks(group)
    assert names(group)[1:] == ["high"]
    assert [names(error)[-1:] for error in group.exceptions] == [["middle"], ["low"]]
    assert names(group.exceptions[0]) == ["high", "middle"]
    assert names(group.exceptions[0].__cause__) == ["middle", "low"]  # type: ignore[arg-type]


def test_exceptions_in_a_circle_and_without_traceback() -> None:
    one, other = ValueError(1), ValueError(2)
    one.__context__, other.__context__ = other, one
    clean_tracebacks(one)
    assert one.__traceback__ is None


def test_error_raised_by_whynan_for_python_keeps_the_users_line(tmp_path: Path) -> None:
    """`for i in 5` fails inside the run time; the last line shown is the user's."""
    (tmp_path / "x.py").write_text("for i in 5:\n    print(i)\n")
    code = (
        "real = vars(builtins)[FOR]\n"
        "space = {'__name__': 'whynan.watch.loops', 'real': real}\n"
        "exec('def for_(iterable, site): return iter(iterable)', space)\n"
        "setattr(builtins, FOR, space['for_'])\n"
        "o = script.run_script('x.py', [], rewrite=True)\n"
        "t = o.exception.__traceback__\nprint(json.dumps([t.tb_lineno, t.tb_next is None, str(o.exception)]))"
    )
    assert python(code, tmp_path) == [1, True, "'int' object is not iterable"]
