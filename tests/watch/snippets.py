"""Little programs whose loops must behave the same after rewriting. No test library is imported here, so that another
interpreter can run the table too: `python tests/watch/snippets.py`.

A snippet gets `log`, which keeps the repr of its arguments.
"""

from __future__ import annotations

import builtins
import gc
import linecache
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from whynan.watch import inert
from whynan.watch.source import FOR, NAMES, WHILE, SiteTable, rewrite

SNIPPETS: dict[str, str] = {}
UNTOUCHED: set[str] = set()  # snippets in which no loop is rewritten


def _add(name: str, code: str, untouched: bool = False) -> None:
    SNIPPETS[name] = code.lstrip("\n")
    if untouched:
        UNTOUCHED.add(name)


_add("for", "for i in range(3):\n    log(i)\n")
_add("for_else", "for i in range(3):\n    log(i)\nelse:\n    log('else', i)\n")
_add("for_break", "for i in range(3):\n    if i == 1:\n        break\n    log(i)\nelse:\n    log('else')\n")
_add("for_continue", "for i in range(3):\n    if i == 1:\n        continue\n    log(i)\nelse:\n    log('else')\n")
_add("for_empty", "for i in []:\n    log(i)\nelse:\n    log('else')\nlog('i' in globals())\n")
_add("for_unpacking", "for i, (j, *k) in [(1, (2, 3, 4)), (5, (6,))]:\n    log(i, j, k)\n")
_add("for_attribute_target", "class A: pass\na = A()\nfor a.x in range(2):\n    log(a.x)\nd = {}\nfor d['k'] in 'ab':\n    log(d)\n")
_add("for_bad_unpacking", "for i, j in [(1, 2), 3]:\n    log(i, j)\n")
_add("for_not_iterable", "def f():\n    for i in 5:\n        log(i)\nf()\n")
_add("for_iterable_raises", "def f(x):\n    return 1 / x\nfor i in range(f(0)):\n    log(i)\n")
_add("for_iterator_raises", "def g():\n    yield 1\n    raise ValueError('in g')\nfor i in g():\n    log(i)\nelse:\n    log('no')\n")
_add("for_body_raises", "def f():\n    for i in range(3):\n        log(1 / (1 - i))\nf()\n")
_add("for_body_raises_caught", "for i in [2, 1, 0]:\n    try:\n        log(1 / i)\n    except ZeroDivisionError as e:\n        log(e)\n        break\nlog('e' in globals())\n")
_add("stop_iteration_in_body", "def f():\n    for i in range(3):\n        log(next(iter([])))\nf()\n")
_add("iterator_protocol", """
class Once:
    def __init__(self): self.n = 0
    def __iter__(self): log('iter'); return self
    def __next__(self):
        self.n += 1
        log('next', self.n)
        if self.n > 2: raise StopIteration
        return self.n
for x in Once(): log(x)
""")
_add("getitem_protocol", "class S:\n    def __getitem__(self, i):\n        if i > 2: raise IndexError\n        return i * i\nfor x in S():\n    log(x)\n")
_add("mutated_list", "xs = [1, 2, 3]\nfor x in xs:\n    log(x)\n    if len(xs) < 6: xs.append(x + 10)\n")
_add("changed_dict", "d = {1: 2}\nfor k in d:\n    d[k + 1] = 1\n    log(k)\n")
_add("shared_iterator", "it = iter(range(6))\nfor a in it:\n    log(a, next(it))\n")
_add("iterator_left_over", "it = iter(range(6))\nfor a in it:\n    log(a)\n    if a == 2: break\nlog(list(it))\n")
_add("nested", "for i in range(3):\n    for j in range(3):\n        if j > i: break\n        log(i, j)\n    else:\n        log('full', i)\n        continue\n    log('cut', i)\n")
_add("nested_break_in_else", "for i in range(3):\n    for j in range(2):\n        log(i, j)\n    else:\n        break\nelse:\n    log('no')\n")
_add("nested_inner_without_call", "for i in range(3):\n    for j in range(3):\n        if j == i: break\n    log(i, j)\n")
_add("nested_outer_while", "n = 0\nwhile n < 3:\n    n += 1\n    for i in range(n):\n        log(n, i)\n        if i: break\n    else:\n        continue\n    log('broken')\n")
_add("return_inside", "def f(n):\n    for i in range(5):\n        for j in range(5):\n            if i * j == n: return str((i, j))\n            log(i, j)\n    return 'none'\nlog(f(2), f(99))\n")
_add("return_nothing", "def f():\n    for i in range(5):\n        log(i)\n        if i: return\nlog(f())\n")
_add("return_name", "def f():\n    for i in range(5):\n        log(i)\n        if i: return i\nlog(f())\n")
_add("return_raises", "def f(d):\n    for i in range(2):\n        log(i)\n        return d['missing'] + len(d)\nf({})\n")
_add("return_unbound", "def f():\n    for i in range(2):\n        log(i)\n        return later\n    later = 1\nf()\n")
_add("return_in_finally", "def f():\n    for i in range(3):\n        try:\n            return log('try')\n        finally:\n            log('finally')\n            return 'won'\nlog(f())\n" if sys.version_info < (3, 14) else "for i in [0]:\n    log(i)\n")
_add("break_in_finally_order", "for i in range(3):\n    try:\n        if i: break\n        log(i)\n    finally:\n        log('finally', i)\nelse:\n    log('no')\n")
_add("continue_in_try", "for i in range(3):\n    try:\n        if i == 1: continue\n        log(i)\n    except Exception: pass\n    else: log('else', i)\n    finally: log('fin', i)\n")
_add("with_around", "from contextlib import contextmanager\n@contextmanager\ndef c(n):\n    log('in', n)\n    try: yield n\n    finally: log('out', n)\ndef f():\n    with c('outer'):\n        for i in range(3):\n            with c(i) as k:\n                if k == 1: return k\n                log(k)\nlog(f())\n")
_add("match", "for x in [1, 'a', (1, 2), {'k': 3}]:\n    match x:\n        case int(): log('int')\n        case (a, b): log(a, b)\n        case {'k': v}:\n            for y in range(v): log(y)\n            break\n        case _: log('other')\n")
_add("while", "n = 0\nwhile n < 3:\n    n += 1\n    log(n)\n")
_add("while_else", "n = 0\nwhile n < 3:\n    n += 1\n    if n == 2: continue\n    log(n)\nelse:\n    log('else')\n")
_add("while_break", "n = 0\nwhile n < 5:\n    n += 1\n    if n == 3: break\n    log(n)\nelse:\n    log('else')\n")
_add("while_true", "n = 0\nwhile True:\n    n += 1\n    log(n)\n    if n > 2: break\n")
_add("while_one", "def f(n=0):\n    while 1:\n        n += 1\n        log(n)\n        if n > 2: return n\nlog(f())\n")
_add("while_never", "while log('test'):\n    log('body')\nelse:\n    log('else')\n")
_add("while_zero", "while 0:\n    log('never')\nelse:\n    log('else')\n", untouched=True)
_add("while_walrus", "it = iter([3, 2, 0, 1])\nwhile (x := next(it)) and x > 0:\n    log(x)\nlog(x)\n")
_add("while_walrus_in_function", "def f(it):\n    while (x := next(it, None)) is not None:\n        log(x, sorted(locals()))\n    return x, sorted(locals())\nlog(f(iter('ab')))\n")
_add("while_and_or", "a, b = [1, 2], [3]\nwhile a and not b or len(a) > 1:\n    log(a.pop(), b)\n")
_add("while_test_raises", "n = 2\ndef f():\n    global n\n    while 1 / n > 0:\n        n -= 1\n        log(n)\nf()\n")
_add("while_call_only_in_test", "n = []\ndef step():\n    n.append(1)\n    return len(n) < 4\nwhile step(): pass\nlog(n)\n")
_add("while_truth_raises", "class T:\n    def __bool__(self): raise RuntimeError('ambiguous')\nwhile T():\n    log(1)\n")
_add("while_multiline_test", "n = 3\nwhile (\n    n\n    and 1 / (n - 1)\n):\n    n -= 1\n    log(n)\n")
_add("recursion_in_while", "def f(n):\n    i = 0\n    while i < n:\n        i += 1\n        log(n, i)\n        f(n - 1)\nf(3)\n")
_add("recursion_in_test", "def f(n):\n    i = 0\n    while i < n and f(n - 1) is None:\n        i += 1\n        log(n, i)\nf(3)\n")
_add("recursive_for", "def walk(t):\n    for x in t:\n        if isinstance(x, list): walk(x)\n        else: log(x)\nwalk([1, [2, [3, 4]], 5])\n")
_add("generator", "def g():\n    for i in range(3):\n        log('before', i)\n        yield i\n        log('after', i)\nlog(list(g()))\n")
_add("generator_send", "def g():\n    got = None\n    while True:\n        got = yield got\n        log('got', got)\nx = g()\nnext(x)\nlog(x.send(1), x.send(2))\n")
_add("generator_throw", "def g():\n    for i in range(3):\n        try:\n            yield i\n        except ValueError as e:\n            log('caught', str(e))\nx = g()\nlog(next(x), x.throw(ValueError('v')), next(x))\n")
_add("generator_throw_out", "def g():\n    for i in range(3):\n        log(i)\n        yield i\nx = g()\nnext(x)\nx.throw(KeyError('k'))\n")
_add("generator_close", "def g():\n    try:\n        for i in range(3):\n            log(i)\n            yield i\n    finally:\n        log('closed')\nx = g()\nnext(x)\nx.close()\nlog(list(x))\n")
_add("generator_exit_seen", "def g():\n    for i in range(3):\n        try:\n            yield log(i)\n        except GeneratorExit:\n            log('exit')\n            raise\nx = g()\nnext(x)\ndel x\nlog('after')\n")
_add("generator_suspended_while", "def g(n):\n    i = 0\n    while i < n:\n        i += 1\n        yield log(n, i)\na, b = g(3), g(2)\nfor x in a:\n    next(b, None)\n")
_add("yield_from", "def g(n):\n    for i in range(n):\n        yield from g(i)\n        yield log(i) or i\nlog(list(g(3)))\n")
_add("generator_return", "def g():\n    for i in range(3):\n        yield i\n        if i: return int('7')\ndef h():\n    log((yield from g()))\nlog(list(h()))\n")
_add("async", "import asyncio\nasync def f():\n    for i in range(3):\n        await asyncio.sleep(0)\n        log(i)\n    n = 0\n    while n < 2:\n        n += 1\n        await asyncio.sleep(0)\n    return n\nlog(asyncio.run(f()))\n")
_add("async_for", "import asyncio\nasync def g():\n    for i in range(3):\n        log('y', i)\n        yield i\nasync def f():\n    async for i in g():\n        for j in range(i):\n            log(i, j)\n            break\n        else: continue\n        break\n    else: log('else')\n    return [i async for i in g()]\nlog(asyncio.run(f()))\n")
_add("class_body", "class A:\n    names = []\n    for i in range(3):\n        names.append(i)\n    while len(names) < 5:\n        names.append('w')\nlog(A.names, sorted(vars(A)))\n")
_add("method_private_names", "class A:\n    def __init__(self): self.__n = 2\n    def f(self):\n        for __i in range(self.__n):\n            log(__i)\n        return sorted(locals())\nlog(A().f())\n")
_add("closures", "fs = []\ndef f():\n    for i in range(3):\n        fs.append(lambda: i)\nf()\nlog([g() for g in fs])\n")
_add("nonlocal_and_global", "total = 0\ndef f():\n    n = 0\n    def g():\n        nonlocal n\n        global total\n        for i in range(3):\n            n += int(i)\n            total += n\n    g()\n    return n\nlog(f(), total)\n")
_add("locals_unchanged", "def f(a):\n    for i in range(2):\n        log(sorted(locals()))\n    while a:\n        a -= 1\n        log(sorted(locals()))\n    return sorted(locals())\nlog(f(2))\n")
_add("globals_unchanged", "for i in range(2):\n    log(sorted(k for k in globals() if not k.startswith('__')))\n")
_add("del_target", "for i in range(2):\n    log(i)\n    del i\nlog('i' in globals())\n")
_add("exception_context", "def f():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        for i in range(2):\n            log(i)\n            raise KeyError(i)\nf()\n")
_add("exception_cause", "def f():\n    for i in range(2):\n        try:\n            int('x')\n        except ValueError as e:\n            raise RuntimeError('outer') from e\n        finally:\n            log('fin')\nf()\n")
_add("exception_group", "def f():\n    for i in range(2):\n        try:\n            log(i)\n            raise ExceptionGroup('g', [ValueError(1), TypeError(2)])\n        except* ValueError as g:\n            log(len(g.exceptions))\nf()\n")
_add("bare_except_in_body", "for i in range(3):\n    try:\n        if i == 1: raise SystemExit(3)\n        log(i)\n    except:\n        log('swallowed')\n")
_add("reraise_outside", "import sys\ntry:\n    for i in range(2):\n        log(sys.exc_info()[0])\n        raise ValueError(i)\nexcept ValueError:\n    log(sys.exc_info()[0])\nlog(sys.exc_info()[0])\n")
_add("exc_info_within_handler", "import sys\ntry:\n    raise KeyError(1)\nexcept KeyError:\n    for i in range(2):\n        log(sys.exc_info()[0])\n    n = 0\n    while n < 1:\n        n += 1\n        log(sys.exc_info()[0])\n")
_add("system_exit", "for i in range(3):\n    log(i)\n    raise SystemExit('bye')\n")
_add("keyboard_interrupt", "def f():\n    while True:\n        log(1)\n        raise KeyboardInterrupt\nf()\n")
_add("finalizer_order", "class D:\n    def __init__(self, n): self.n = n\n    def __del__(self): log('del', self.n)\ndef f():\n    for i in range(2):\n        d = D(i)\n        log('made', i)\nf()\n")
_add("comprehensions", "log([x for x in range(3)], {x: y for x in 'ab' for y in range(2)}, sum(x for x in range(4)))\nfor i in [j for j in range(3) if str(j) != '1']:\n    log(i)\n")
_add("lambda_default", "for i in range(2):\n    f = lambda x, i=i: [x * i for _ in range(2)]\n    log(f(3))\n")
_add("next_rewritten", "it = iter([1, 2])\nlog(next(it), next(it), next(it, 'default'))\nfor i in range(1):\n    log(next(iter([5])))\n")
_add("next_stop", "def f():\n    return next(iter([]))\nfor i in range(1):\n    try:\n        f()\n    except StopIteration as e:\n        log('stop', e.value)\nf()\n")
_add("next_generator_raises", "def g():\n    yield 1\n    raise ValueError('deep')\ndef f():\n    it = g()\n    next(it)\n    next(it)\nfor _ in range(1): f()\n")
_add("next_rebound", "def next(x): return ('mine', x)\nfor i in range(2):\n    log(next(i))\n")
_add("next_rebound_locally", "def f(next=lambda x: 'mine'):\n    return next(3)\nfor i in range(2):\n    log(f())\n")
_add("next_misused", "for i in range(1):\n    log(i)\n    next()\n")
_add("next_not_iterator", "for i in range(1):\n    log(i)\n    next([1])\n")
_add("next_as_value", "for i in range(1):\n    log(list(map(next, [iter('a'), iter('b')])))\n")
_add("future_annotations", "from __future__ import annotations\ndef f(x: next(1) = 3) -> next(iter('a')): ...\nfor i in range(1):\n    log(f.__annotations__)\ny: next(2) = 1\nlog(__annotations__)\n" if sys.version_info < (3, 14) else "for i in [0]:\n    log(i)\n")
_add("docstrings", '"""The module."""\nfor i in range(1):\n    def f():\n        """The function."""\n        while True:\n            return log(1)\n    f()\nlog(__doc__, f.__doc__)\n')
_add("asserts", "for i in range(3):\n    assert i < 2, f'too big: {i}'\n    log(i)\n")
_add("fstring", "it = iter([1, 2])\nfor i in range(1):\n    log(f'{next(it)=}', f'{next(it)!r:>5}')\n")
_add("warning_position", "import warnings\nfor i in range(1):\n    warnings.warn('here')\n    log(i)\ndef f():\n    while True:\n        warnings.warn('caller', stacklevel=2)\n        return log(1)\nf()\n")
_add("compile_warning", "for i in range(1):\n    log(i is 1)\n")
_add("escape_warning", "for i in range(1):\n    log('\\d')\n")
_add("line_numbers", "import sys\ndef here(): log(sys._getframe(1).f_lineno)\nn = 0\nwhile (here() or\n       n < 2):\n    n += 1\n    here()\n    for i in (here(),\n              2):\n        here()\nelse:\n    here()\nhere()\n")
_add("one_liners", "for i in range(2): log(i)\nn = 2\nwhile n: n -= 1; log(n)\nif 1:\n  for i in range(2): log(i); break\n  else: log('no')\n")
_add("tabs_and_form_feed", "for i in range(2):\n\tlog(i)\n\x0c\tlog('ff')\n")
_add("unicode", "for ä in 'äö':\n    log(ä); 1 / ('ü' == ä or len(ä) - 1)\n")
_add("no_call_no_rewrite", "n = 0\nfor i in range(5):\n    n += i\nwhile n > 3:\n    n -= 1\nlog(n)\n", untouched=True)
_add("star_try_break", "for i in range(3):\n    try:\n        log(i)\n        raise ValueError\n    except* ValueError:\n        log('g')\n    if i: break\n")
_add("module_name_shadowing", "BaseException = None\nfor i in range(2):\n    log(i)\n")
_add("deep_nesting", "".join("    " * d + f"for i{d} in range(1):\n" for d in range(12)) + "    " * 12 + "log(i0)\n", untouched=True)  # fmt: skip
_add("elif_chain", "x = 150\nfor i in range(1):\n    if x == 0: pass\n" + "".join(f"    elif x == {k}: log({k})\n" for k in range(1, 200)))
_add("traced_forward", "class M:\n    def forward(self, x):\n        for i in range(2): x = self.layer(x)\n        return x\n    def layer(self, x):\n        while True:\n            return log(x) or helper(x)\ndef helper(x):\n    for i in range(2): x += len('a')\n    return x\nlog(M().forward(1))\n", untouched=True)
_add("traced_decorator", "import functools\ndef jit(f): return f\n@functools.partial(jit)\ndef f():\n    for i in range(2): log(i)\nf()\n", untouched=True)
_add("traced_by_call", "def compile(f): return f\ndef f():\n    for i in range(2): log(i)\ng = compile(f)\ng()\n", untouched=True)
_add("dict_of_callbacks", "def run(cbs):\n    for name, cb in cbs.items():\n        if (r := cb(name)) is not None: return r\n    return 'nobody'\nlog(run({'a': lambda n: None, 'b': lambda n: n.upper()}), run({}))\n")
_add("async_generator_close", "import asyncio\nasync def g():\n    try:\n        for i in range(3):\n            await asyncio.sleep(0)\n            yield i\n    finally:\n        log('closed')\nasync def main():\n    a = g()\n    log(await a.__anext__())\n    await a.aclose()\nasyncio.run(main())\n")
_add("augmented_targets", "x = [0, 0]\nfor x[0] in range(3):\n    x[1] += int(x[0])\nlog(x)\n")
_add("starred_iterable", "a = [1, 2]\nfor i in *a, 3:\n    log(i)\n")
_add("type_comment", "for i in range(2):  # type: int\n    log(i)\n")
_add("conditional_return_lambda", "def f():\n    for i in range(3):\n        if i == 1:\n            return (lambda: (i, [next(iter('q')) for _ in range(i)]))\nfor _ in range(1):\n    log(f()())\n")

Runtime = Callable[[], dict[str, Callable[..., Any]]]


def driving() -> dict[str, Callable[..., Any]]:
    """A run time that draws every item through a generator of its own, as the watching one does."""
    done: set[tuple[int, int]] = set()

    def for_(iterable: Any, site: int) -> Iterator[Any]:
        iterator = iter(iterable)

        def drive() -> Iterator[Any]:
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                yield item

        return drive()

    def while_(site: int) -> Iterator[tuple[()]]:
        key = (id(sys._getframe(1)), site)
        done.discard(key)
        while key not in done:
            yield ()

    def finished(site: int) -> None:
        done.add((id(sys._getframe(1)), site))

    return dict(zip(NAMES, (for_, while_, finished, lambda site: False, next, lambda *sites: None)))


def run_code(code: Any, file: str) -> dict[str, Any]:
    """What a snippet did: what it logged, how it ended, which names it left."""
    lines: list[str] = []
    space: dict[str, Any] = {"__name__": "snippet", "__builtins__": builtins, "__file__": file}
    space["log"] = lambda *args: lines.append(" ".join(map(repr, args)))
    ending = ""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            exec(code, space)
        except BaseException as error:
            ending = _formatted(error, file)
    said = [(w.category.__name__, str(w.message), w.filename, w.lineno) for w in seen]
    values = {k: repr(v) for k, v in space.items() if isinstance(v, int | str | list | tuple | dict) and k[0] != "_"}
    values = {k: v for k, v in values.items() if " at 0x" not in v}
    names = list(space)
    space.clear()
    gc.collect()  # suspended generators are closed now, while the run time is there
    return {"log": lines, "ending": ending, "warnings": said, "names": names, "values": values}


def _formatted(error: BaseException, file: str) -> str:
    """The traceback as python prints it, with the frames of `file` only."""
    one: BaseException | None = error
    while one is not None:
        entries = []
        entry = one.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename == file:
                entries.append(entry)
            entry = entry.tb_next
        for entry, following in zip(entries, [*entries[1:], None]):
            entry.tb_next = following
        one.__traceback__ = entries[0] if entries else None
        one = one.__cause__ or one.__context__
    return "".join(traceback.format_exception(error))


def compiled(make: Callable[[], Any]) -> tuple[Any, list[tuple[str, str, int]]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        code = make()
    return code, [(w.category.__name__, str(w.message), w.lineno) for w in seen]


def names_used(code: CodeType) -> set[str]:
    """The names of the run time that the code, or code inside it, calls."""
    inner = [names_used(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return {name for name in code.co_names if name in NAMES}.union(*inner)


def both(name: str, runtime: Runtime, folder: str) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """What the snippet does as written and rewritten, and whether a loop was rewritten at all."""
    source, file = SNIPPETS[name], os.path.join(folder, name + ".py")
    with open(file, "w", encoding="utf-8", newline="") as stream:
        stream.write(source)
    linecache.checkcache(file)
    plain, warned = compiled(lambda: compile(source, file, "exec", dont_inherit=True))
    expected = run_code(plain, file) | {"compile": warned}
    code, warned = compiled(lambda: rewrite(source, file, SiteTable()))
    before = {key: vars(builtins).get(key) for key in NAMES}
    vars(builtins).update(runtime())
    try:
        return expected, run_code(code, file) | {"compile": warned}, bool(names_used(code) & {FOR, WHILE})
    finally:
        for key, value in before.items():
            if value is None:
                vars(builtins).pop(key, None)
            else:
                vars(builtins)[key] = value


RUNTIMES: dict[str, Runtime] = {"inert": inert.inert_names, "driving": driving}


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in SNIPPETS:
            for which, runtime in RUNTIMES.items():
                expected, found, rewritten = both(name, runtime, folder)
                if expected != found or rewritten == (name in UNTOUCHED):
                    wrong += 1
                    print(name, which, rewritten, expected, found, sep="\n    ")
    print(f"{sys.version.split()[0]}: {len(SNIPPETS)} snippets, {wrong} differences")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
