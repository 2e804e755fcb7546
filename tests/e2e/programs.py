"""Programs for test_like_python: files, and what follows `python` on the command line.

In like_python/*.txt a line `#### NAME $ ARGUMENTS -> STATUS` begins a program; without arguments it is `x.py`. A line
`---- PATH` begins a file of it, the first one may be left out: it is x.py. Here are those that are no plain text.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Program:
    files: dict[str, str | bytes]
    arguments: tuple[str, ...] = ("x.py",)
    stdin: bytes = b""
    status: int | None = None  # where only equality would prove too little
    environment: dict[str, str] = field(default_factory=dict)


def _script(code: str | bytes, stdin: bytes = b"") -> Program:
    return Program({"x.py": code}, stdin=stdin)


PROGRAMS: dict[str, Program] = {
    "syntax_tabs": _script("if 1:\n        print(1)\n\tprint(2)\n"),
    "syntax_null": _script(b"print(1)\nx = '\0'\n"),
    "syntax_latin": _script("x = 1\ny = 'ä'\n".encode("latin-1")),
    "latin_cookie": _script("# coding: latin-1\nfor i in 'ä':\n    print(ascii(i))\n    1/0  # ö\n".encode("latin-1")),
    "bom_crlf": _script(b"\xef\xbb\xbffor i in range(2):\r\n    print(i)\r\n    print('''a\r\nb''')\r\n1/0\r\n"),
    "no_newline_at_the_end": _script("for i in range(2):\n    print(1 / i)"),
    "input": _script("import sys\nwhile line := sys.stdin.readline():\n    print(line.strip()[::-1])\n", b"ab\ncd"),
    "input_ends": _script("while True:\n    print(input('> '))\n", b"one\ntwo\n"),
    "pythonpath": Program(
        {"x.py": "import y\nprint(y.__file__)\ny.f()\n", "lib/y.py": "def f():\n    for i in [0]: print(1 / i)\n"},
        environment={"PYTHONPATH": "lib"},
    ),
}

if sys.version_info < (3, 12):  # later ones complain of these in the middle of their own shutdown
    PROGRAMS["exit_huge"] = _script("raise SystemExit(2**70)\n")
    PROGRAMS["exit_bad_object"] = _script(
        "class A:\n    def __str__(self): raise ValueError('no text')\nraise SystemExit(A())\n"
    )


def _parse(part: str) -> tuple[str, Program]:
    title, text = part.split("\n", 1)
    found = re.fullmatch(r"(\w+)(?: \$ (.*?))?(?: -> (-?\d+))?", title)
    assert found is not None, title
    name, arguments, status = found.groups()
    files: dict[str, str | bytes] = {}
    for path, code in re.findall(r"---- (\S+)\n(.*?)(?=^---- |\Z)", text, re.DOTALL | re.MULTILINE):
        files[path] = code
    if not files and not (arguments or "x.py").startswith(("-m", "not/")):
        files["x.py"] = text
    return name, Program(files, tuple((arguments or "x.py").split()), status=None if status is None else int(status))


for _path in sorted(Path(__file__).parent.glob("like_python/*.txt")):
    for _part in re.split(r"^#### ", _path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        _name, _program = _parse(_part)
        assert _name not in PROGRAMS, _name
        PROGRAMS[_name] = _program
