"""Files and folders: the same findings in one process and in several, order, files that cannot be read, speed."""

from __future__ import annotations

import time
from pathlib import Path

from whynan.lint import Settings, lint_paths
from whynan.lint.engine import Outcome
from whynan.lint.tree import FEW, lint_file

BAD = "import torch\n\ndef loss(z):\n    return torch.log(torch.softmax(z, -1))\n"


def test_several_processes_find_the_same_in_the_same_order(tmp_path: Path) -> None:
    for i in range(2 * FEW):
        (tmp_path / f"f{i:03}.py").write_text(BAD if i % 3 else "x = 1\n")
    calls: list[tuple[int, int]] = []
    alone = lint_paths([tmp_path], jobs=1)
    together = lint_paths([tmp_path], jobs=2, progress=lambda done, of: calls.append((done, of)))
    assert together == alone
    assert sum(len(o.findings) for o in alone) == sum(1 for i in range(2 * FEW) if i % 3)
    assert calls == [(i + 1, 2 * FEW) for i in range(2 * FEW)]


def test_a_path_given_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(BAD)
    assert len(lint_paths([tmp_path / "a.py", tmp_path, tmp_path])) == 1


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"import torch  # caf\xe9\n")
    (tmp_path / "nul.py").write_bytes(b"import torch\n\0\n")
    (tmp_path / "syntax.py").write_text("import torch\nx = (\n")
    (tmp_path / "other.py").write_bytes(b"\xff\xfe no torch\n")
    outcomes = {Path(o.path).name: o for o in lint_paths([tmp_path])}
    assert all(outcomes[name].error for name in ("latin.py", "nul.py", "syntax.py"))


def test_deep_expressions_and_cycles_end(tmp_path: Path) -> None:
    deep = "import torch\n\ndef loss(x, y):\n    a = x\n" + "".join(f"    a = a * y + {i}\n" for i in range(400))
    cycle = "    while True:\n        p = q - p\n        q = p + q\n        r = torch.log(p / q)\n"
    mutual = "\ndef f(x):\n    return g(x)\n\ndef g(x):\n    return torch.log(f(x) - g(x))\n"
    path = tmp_path / "deep.py"
    path.write_text(deep + cycle + "    return torch.log(a)\n" + mutual)
    assert isinstance(lint_file(str(path), Settings()), Outcome)
    assert lint_file(str(path), Settings()).error is None


def test_speed(tmp_path: Path) -> None:
    """At least 1000 lines a second of CPU where every line has ops that rules look at (real code: see the docs)."""
    body = "".join(
        f"    def method_{i}(self, x, mask):\n        p = torch.softmax(x @ self.w{i}, dim=-1)\n"
        f"        q = (p * mask).sum() / mask.sum().clamp(min=1)\n        return torch.log(p + 1e-6) / q\n"
        for i in range(600)
    )
    path = tmp_path / "large.py"
    path.write_text("import torch\n\nclass Net(torch.nn.Module):\n" + body)
    start = time.process_time()
    outcome = lint_file(str(path), Settings())
    spent = time.process_time() - start
    assert outcome.error is None and outcome.findings == ()
    assert outcome.lines / spent > 1000
