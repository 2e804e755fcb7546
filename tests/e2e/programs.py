"""Programs for test_like_python: files, and what follows `python` on the command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Program:
    files: dict[str, str | bytes]
    arguments: tuple[str, ...] = ("x.py",)
    stdin: bytes = b""
    status: int | None = None  # where only equality would prove too little
    environment: dict[str, str] = field(default_factory=dict)


def _script(code: str | bytes, *argv: str, **more: object) -> Program:
    return Program({"x.py": code}, ("x.py", *argv), **more)  # type: ignore[arg-type]


LOOP = "for i in range(3):\n    print(i)\n"

PROGRAMS: dict[str, Program] = {
    "arguments": _script("import sys\nprint(sys.argv, sys.flags)\n" + LOOP, "a", "-b", "--c=d"),
    "main_module": _script(
        "import sys, __main__\n"
        "print(list(globals()), __name__, __file__, __spec__, __package__, __doc__, __cached__)\n"
        "print(type(__loader__).__name__, __loader__.name, __loader__.path, __builtins__, globals().get('__annotations__'))\n"
        "print(sys.modules['__main__'] is __main__, vars(__main__) is globals(), sys.path[0], repr(__main__))\n"
    ),
    "main_at_exit": _script(
        "import atexit, __main__\natexit.register(lambda: print(sorted(vars(__main__))))\nprint(1)\n"
    ),
    "subfolder": Program(
        {"sub/x.py": "import sys, y\nprint(__file__, sys.path[0], y.__file__)\n1/0\n", "sub/y.py": ""}, ("./sub/../sub/x.py",)
    ),
    "no_suffix": Program({"train": LOOP + "print(__file__)\n1/0"}, ("train",)),
    "imports": Program(
        {
            "x.py": "import sys, inspect, y, p.q, importlib\nfrom p import r\nprint(y.loop(), p.q.__name__, r.z)\n"
            "for m in (y, p, p.q):\n"
            "    print(m.__file__, m.__cached__, m.__spec__.origin, m.__spec__.cached, m.__package__, m.__spec__.parent)\n"
            "    print(m.__spec__.submodule_search_locations, m.__loader__.get_source(m.__name__) == open(m.__file__).read())\n"
            "    print(m.__loader__ is m.__spec__.loader, list(vars(m))[:8])\n"
            "print(inspect.getsource(y.loop), inspect.getsourcelines(y.loop)[1], y.loop.__code__.co_filename)\n"
            "print(importlib.reload(y) is y, y.loop())\n",
            "y.py": "def loop():\n    out = []\n    for i in range(3):\n        out.append(i)\n    return out\n",
            "p/__init__.py": "",
            "p/q.py": "from . import r\nfor i in range(2): print(i)\n",
            "p/r.py": "z = 1\n",
        }
    ),
    "error": _script("def f(n):\n    for i in range(n):\n        print(1 / (1 - i))\nwhile True:\n    f(3)\n", status=1),
    "error_chain": _script(
        "def f():\n    for i in [1]:\n        try:\n            {}[print(i)]\n        except KeyError as e:\n"
        "            raise ValueError('v') from e\n"
        "try:\n    f()\nexcept ValueError:\n    while True:\n        print(2)\n        raise OSError(3, 'x')\n"
    ),
    "error_group": _script(
        "def f(i):\n    for j in range(2):\n        print(i / j)\n"
        "errors = []\nfor i in range(2):\n    try:\n        f(i)\n    except Exception as e:\n        errors.append(e)\n"
        "raise ExceptionGroup('several', errors)\n"
    ),
    "error_notes": _script("for i in range(2):\n    e = ValueError(i)\n    e.add_note('a note')\n    raise e\n"),
    "error_in_module": Program(
        {"x.py": "for i in range(1):\n    import y\n    y.f(i)\n", "y.py": "def f(i):\n    for j in [i]:\n        print(j, j / i)\n"}
    ),
    "error_while_importing": Program(
        {"x.py": "import p.q\n", "p/__init__.py": "for i in range(1): print(i)\n", "p/q.py": "for i in [0]:\n    print(1 / i)\n"}
    ),
    "import_error": _script("for i in range(1):\n    print(i)\n    import not_there_at_all\n"),
    "import_circular": Program({"x.py": "import a\n", "a.py": "from b import f\n", "b.py": "from a import g\n"}),
    "error_shown_by_user": Program(
        {
            "x.py": "import traceback, logging, y\n"
            "for i in range(2):\n    try:\n        next(y.f())\n    except ZeroDivisionError:\n"
            "        traceback.print_exc()\n        logging.exception('it')\n"
            "try:\n    import z\nexcept SyntaxError:\n    traceback.print_exc()\n",
            "y.py": "def f():\n    yield int(1 / 0)\n",
            "z.py": "for i in range(2):\n    print(i\n",
        }
    ),
    "recursion_in_repr": _script("class A:\n    def __str__(self): raise ValueError\nraise Exception(A())\n"),
    "syntax": _script("for i in range(2):\n    print(i)\nx = = 1\n", status=1),
    "syntax_indent": _script("if 1:\nprint(1)\n"),
    "syntax_tabs": _script("if 1:\n        print(1)\n\tprint(2)\n"),
    "syntax_open": _script("print((1,\n2\n"),
    "syntax_string": _script("x = 'abc\n"),
    "syntax_compile_stage": _script("for i in range(2):\n    print(i)\nreturn 3\n"),
    "syntax_break": _script("for i in range(2):\n    print(i)\n\n\nbreak\n"),
    "syntax_unicode": _script("ä = 'ö' ü\n"),
    "syntax_future": _script("print(1)\nfrom __future__ import annotations\n"),
    "syntax_null": _script(b"print(1)\nx = '\0'\n"),
    "syntax_latin": _script("x = 1\ny = 'ä'\n".encode("latin-1")),
    "syntax_bad_cookie": _script("# coding: no-such-codec\nprint(1)\n"),
    "syntax_in_module": Program({"x.py": "for i in range(1):\n    print(i)\n    import y\n", "y.py": "def f(:\n    pass\n"}),
    "latin_cookie": _script("# coding: latin-1\nfor i in 'ä':\n    print(ascii(i))\n    1 / 0  # ö\n".encode("latin-1")),
    "bom_crlf": _script(b"\xef\xbb\xbffor i in range(2):\r\n    print(i)\r\n    print('''a\r\nb''')\r\n1/0\r\n"),
    "empty": _script(""),
    "exit_none": _script(LOOP + "import sys\nsys.exit()\n", status=0),
    "exit_number": _script("import sys\nfor i in range(9):\n    print(i)\n    if i == 3: sys.exit(i)\n", status=3),
    "exit_big": _script("raise SystemExit(258)\n", status=2),
    "exit_negative": _script("raise SystemExit(-1)\n", status=255),
    "exit_huge": _script("raise SystemExit(2**70)\n"),
    "exit_true": _script("raise SystemExit(True)\n", status=1),
    "exit_text": _script("import sys\nprint(1)\nsys.exit('good bye')\n", status=1),
    "exit_object": _script("import sys\nsys.exit((1, 'a'))\n"),
    "exit_bad_object": _script("class A:\n    def __str__(self): raise ValueError('no text')\nraise SystemExit(A())\n"),
    "exit_by_builtin": _script("while True:\n    exit(4)\n", status=4),
    "exit_hard": _script("import os\nfor i in range(2):\n    print(i, flush=True)\n    os._exit(5)\n", status=5),
    "killed": _script("import os, signal\nfor i in range(2):\n    os.kill(os.getpid(), signal.SIGTERM)\n", status=-15),
    "aborted": _script("import os\nos.abort()\n", status=-6),
    "interrupt": _script("for i in range(2):\n    print(i)\n    raise KeyboardInterrupt\n", status=-2),
    "interrupt_signal": _script(
        "import atexit, os, signal, time\natexit.register(print, 'atexit')\n"
        "while True:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(5)\n", status=-2
    ),
    "interrupt_handled": _script(
        "import os, signal\ntry:\n    while True:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    print('handled')\n", status=0
    ),
    "hook": _script("import sys\nsys.excepthook = lambda t, v, tb: print(t, v, tb.tb_lineno, tb.tb_next)\nfor i in [0]:\n    1 / int(i)\n"),
    "hook_raises": _script("import sys\ndef hook(*a):\n    for i in [1]: {}[int(i)]\nsys.excepthook = hook\n1 / 0\n"),
    "hook_exits": _script("import sys\ndef hook(*a): sys.exit(7)\nsys.excepthook = hook\n1 / 0\n"),
    "hook_exits_with_text": _script("import sys\ndef hook(*a): sys.exit('text')\nsys.excepthook = hook\n1 / 0\n"),
    "hook_missing": _script("import sys\ndel sys.excepthook\n1 / 0\n"),
    "last_error": _script(
        "import sys, atexit\natexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))\n1 / 0\n"
    ),
    "binary_output": _script("import sys\nfor i in range(256):\n    sys.stdout.buffer.write(bytes([i]))\nprint('end', end='')\n"),
    "input": _script("import sys\nwhile line := sys.stdin.readline():\n    print(line.strip()[::-1])\nprint(input)\n", stdin=b"ab\ncd"),
    "input_ends": _script("while True:\n    print(input('> '))\n", stdin=b"one\ntwo\n"),
    "streams_gone": _script("import sys\nsys.stdout = sys.stderr = None\nfor i in [0]:\n    print(1 / i)\n"),
    "mixed_streams": _script("import sys\nfor i in range(3):\n    print(i)\n    print(-i, file=sys.stderr)\n1/0\n"),
    "atexit": _script(
        "import atexit\ndef bye(n):\n    for i in range(n): print('bye', i)\n    1 / 0\n"
        "atexit.register(bye, 2)\natexit.register(print, 'first')\nprint('end')\n"
    ),
    "thread": _script(
        "import threading, time\ndef work():\n    for i in range(3):\n        time.sleep(0.01)\n        print('t', i)\n"
        "    while True:\n        int('x')\nthreading.Thread(target=work, name='worker').start()\nprint('main done')\n"
    ),
    "daemon_thread": _script(
        "import threading, time\ndef work():\n    while True:\n        time.sleep(0.01)\n"
        "threading.Thread(target=work, daemon=True).start()\nprint('main done')\n"
    ),
    "fork": _script(
        "import os, sys\nsys.stdout.flush()\nchild = os.fork()\nfor i in range(2):\n    if child == 0: print('child', i)\n"
        "if child == 0: sys.exit(9)\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    ),
    "fork_child_fails": _script(
        "import os\nchild = os.fork()\nif child == 0:\n    for i in [0]: print(1 / i)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    ),
    "pool_fork": _script(
        "import multiprocessing as mp\ndef f(x):\n    out = 0\n    for i in range(x): out += int(i)\n    return out\n"
        "if __name__ == '__main__':\n    with mp.get_context('fork').Pool(2) as pool:\n        print(pool.map(f, range(5)))\n"
    ),
    "pool_spawn": Program(
        {
            "x.py": "import multiprocessing as mp, y\nclass A:\n    def __init__(self, x): self.x = x\n"
            "def f(a):\n    out = 0\n    for i in range(a.x): out += y.same(i)\n    return A(out)\n"
            "if __name__ == '__main__':\n    with mp.get_context('spawn').Pool(1) as pool:\n"
            "        print([a.x for a in pool.map(f, [A(2), A(4)])])\n",
            "y.py": "def same(i):\n    for j in [i]: return int(j)\n",
        }
    ),
    "process_spawn_module": Program(
        {
            "pkg/__init__.py": "",
            "pkg/run.py": "import multiprocessing as mp\nfrom . import y\ndef f(q):\n    for i in range(3): q.put(y.same(i))\n"
            "if __name__ == '__main__':\n    c = mp.get_context('spawn')\n    q = c.SimpleQueue()\n    p = c.Process(target=f, args=(q,))\n"
            "    p.start()\n    print([q.get() for _ in range(3)])\n    p.join()\n    print(p.exitcode)\n",
            "pkg/y.py": "def same(i): return i\n",
        },
        ("-m", "pkg.run"),
    ),
    "pickling": _script(
        "import pickle, copy\nclass A:\n    def __init__(self): self.items = [x for x in range(2)]\ndef f(): pass\n"
        "for thing in (A(), f, A):\n    print(type(pickle.loads(pickle.dumps(thing))), A.__module__)\n"
    ),
    "dataclasses_and_hints": _script(
        "from __future__ import annotations\nimport dataclasses, typing, inspect\n@dataclasses.dataclass\nclass C:\n    x: int = 1\n"
        "for f in dataclasses.fields(C): print(f)\nprint(typing.get_type_hints(C), inspect.getsource(C), inspect.getmodule(C).__name__)\n"
    ),
    "warnings": Program(
        {
            "x.py": "import warnings, y\nfor i in range(3):\n    warnings.warn('user')\n    warnings.warn('old', DeprecationWarning)\n"
            "    y.f()\nprint('\\d')\n",
            "y.py": "import warnings\ndef f():\n    for i in range(2):\n        warnings.warn('theirs', DeprecationWarning)\n"
            "        warnings.warn('caller', stacklevel=2)\n",
        }
    ),
    "left_suspended": _script(
        "def f(x): return x\ndef g():\n    while True:\n        f(1)\n        yield 1\ndef h(n=0):\n    while f(n) < 3:\n        n += 1\n        yield n\n"
        "class D:\n    def __del__(self):\n        for x in [1, 2]: print('del', x)\n        n = 0\n        while f(n) < 2:\n            n += 1\n"
        "            print('w', n)\n        else: print('end')\na, b, c, d = g(), h(), g(), D()\nfor x in (a, b, c): next(x)\n"
    ),
    "unraisable": _script("class D:\n    def __del__(self):\n        for i in [0]: print(1 / i)\nd = D()\ndel d\nprint('on')\n"),
    "chdir": Program({"x.py": "import os\nos.chdir('sub')\nprint(open('data').read())\nfor i in [0]:\n    import y\n", "sub/data": "d", "y.py": "for i in [0]: print(1 / i)\n"}),
    "asyncio": _script(
        "import asyncio\nasync def f(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        print(n, i)\n    if n == 2: raise ValueError(n)\n"
        "async def main():\n    await asyncio.gather(f(1), f(2))\nasyncio.run(main())\n"
    ),
    "exec_and_run_path": Program(
        {"x.py": "import runpy\nprint(runpy.run_path('y.py')['z'])\nexec(open('y.py').read())\nprint(eval('z'))\n", "y.py": "z = 0\nfor i in range(3): z += int(i)\n"}
    ),
    "own_import_hook": Program(
        {
            "x.py": "import sys, importlib.abc, importlib.machinery\nclass F(importlib.abc.MetaPathFinder):\n"
            "    def find_spec(self, name, path, target=None):\n        if name == 'virtual': return importlib.machinery.ModuleSpec(name, self)\n"
            "    def create_module(self, spec): return None\n    def exec_module(self, module): module.z = 3\nsys.meta_path.append(F())\n"
            "import virtual, y\nprint(virtual.z, y.z)\n",
            "y.py": "z = 0\nfor i in range(3): z += int(i)\n",
        }
    ),
    "namespace_package": Program({"x.py": "import n.y\nprint(n.__path__, n.y.z)\n", "n/y.py": "z = 0\nfor i in range(3): z += int(i)\n"}),
    "pythonpath": Program({"x.py": "import y\nprint(y.__file__)\ny.f()\n", "lib/y.py": "def f():\n    for i in [0]: print(1 / i)\n"}, environment={"PYTHONPATH": "lib"}),
    "module": Program({"pkg/__init__.py": "print(__name__)\n", "pkg/m.py": "import sys\nfrom . import y\nprint(sys.argv, __name__, __spec__.name, __package__, __file__, sys.path[0], list(globals()))\nfor i in [0]: y.f(i)\n", "pkg/y.py": "def f(i):\n    for j in [i]: print(1 / i)\n"}, ("-m", "pkg.m", "a", "b")),
    "module_package": Program({"pkg/__init__.py": "", "pkg/__main__.py": "import sys\nprint(sys.argv, __package__)\n" + LOOP}, ("-m", "pkg", "a")),
    "module_without_main": Program({"pkg/__init__.py": ""}, ("-m", "pkg")),
    "module_missing": Program({}, ("-m", "no_such_module_here")),
    "module_missing_inside": Program({"pkg/__init__.py": ""}, ("-m", "pkg.nothing")),
    "module_broken_package": Program({"pkg/__init__.py": "for i in [0]: print(1 / i)\n", "pkg/m.py": ""}, ("-m", "pkg.m")),
    "module_imports_itself": Program({"pkg/__init__.py": "from . import m\n", "pkg/m.py": LOOP}, ("-m", "pkg.m")),
    "module_syntax": Program({"m.py": "for i in range(2):\n    print(i)\nx = = 1\n"}, ("-m", "m")),
    "module_exit": Program({"m.py": "import sys\nfor i in range(2):\n    sys.exit('text')\n"}, ("-m", "m")),
    "module_interrupt": Program({"m.py": "for i in range(2):\n    print(i)\n    raise KeyboardInterrupt\n"}, ("-m", "m"), status=-2),
    "folder": Program({"app/__main__.py": "import sys, y\nprint(sys.argv, sys.path[0], __file__, __name__, repr(__package__), __spec__.name)\ny.f()\n", "app/y.py": "def f():\n    for i in [0]: print(1 / i)\n"}, ("app", "a")),
    "folder_slash": Program({"app/__main__.py": "import sys\nprint(sys.argv, sys.path[0], __file__)\n" + LOOP}, ("./app/",)),
    "folder_without_main": Program({"app/y.py": ""}, ("app",), status=1),
    "missing": Program({}, ("not/there.py",), status=2),
    "script_removes_itself": _script("import os\nos.remove(__file__)\nfor i in [0]:\n    print(1 / i)\n"),
    "line_cache_of_strings": _script("import traceback\nsource = 'for i in [0]:\\n    print(1 / i)\\n'\nfor i in range(1):\n    try:\n        exec(compile(source, '<mine>', 'exec'))\n    except ZeroDivisionError:\n        traceback.print_exc()\n"),
}  # fmt: skip

if sys.version_info >= (3, 12):
    PROGRAMS["type_parameters"] = _script("def f[T](x: T) -> T:\n    for i in [x]: return (i)\ntype A[T] = list[T]\nprint(f(1), A.__value__)\n")
