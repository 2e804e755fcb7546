"""Rules on snippets, with the place they must name (cases.py, silences.py, origins.py)."""

from __future__ import annotations

import re
import textwrap

import pytest

from lint.cases import CASES, HEAD
from lint.origins import ORIGINS
from lint.silences import SILENCES
from whynan.lint import Settings, all_rules, lint_text


def expected(text: str) -> list[tuple[str, int, int]]:
    """(code, line, column) from the comments."""
    return [
        (code, number, int(column))
        for number, line in enumerate(text.splitlines(), 1)
        for code, column in re.findall(r"(WN\d+):(\d+)", line.partition("#")[2])
    ]


ALL = CASES | SILENCES | ORIGINS
WITH_DOUBTS = Settings(extend_select=tuple(code for code, rule in all_rules().items() if not rule.preview))


@pytest.mark.parametrize("name", ALL)
def test_snippet(name: str) -> None:
    text = HEAD + textwrap.dedent(ALL[name])
    found = [(f.code, f.line, f.column) for f in lint_text(text, settings=WITH_DOUBTS)]
    assert found == expected(text)


def test_only_files_that_import_torch() -> None:
    text = "import numpy as np\n\ndef f(x):\n    return np.log(np.maximum(x, 0))\n"
    assert lint_text(text, settings=WITH_DOUBTS) == []
    assert lint_text("import torch\n" + text, settings=WITH_DOUBTS) != []


def test_crlf_tabs_and_byte_order_mark() -> None:
    text = "\ufeffimport torch\r\nif True:\r\n\tdef loss(z):\r\n\t\treturn torch.log(torch.softmax(z, -1))\r\n"
    (finding,) = lint_text(text)
    assert (finding.line, finding.column, finding.end_column) == (4, 10, 41)
    assert finding.source == "\t\treturn torch.log(torch.softmax(z, -1))"
