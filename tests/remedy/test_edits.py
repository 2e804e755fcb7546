"""Edits and diffs: what is written applies with `patch` and `git apply`, byte for byte."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from whynan.remedy.edits import Edit, PatchError, apply_edits, apply_patch, changed_lines, patched_path, unified_diff
from whynan.remedy.source import Source

TEXTS = {
    "plain": "a\nb\nc\n",
    "no-newline": "a\nb\nc",
    "crlf": "a\r\nb\r\nc\r\n",
    "tabs": "if x:\n\ta = 1\n\tb = 2\n",
    "non-ascii": "# größe → 速度\nb = 'é'\nc = 3\n",
    "form-feed": "a\n\x0cb\nc\n",
    "long": "".join(f"line {i}\n" for i in range(60)),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("tool", ["own", "patch", "git"])
def test_diff_applies(name, tool, tmp_path):
    before = TEXTS[name]
    after = (
        before.replace("b", "B\nB2" if name != "crlf" else "B\r\nB2", 1)
        if "b" in before
        else before.replace("line 40", "LINE 40").replace("line 3\n", "")
    )
    patch = unified_diff(before, after, "pkg/train.py")
    if tool == "own":
        assert apply_patch(before, patch) == after
        return
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    file = tmp_path / "pkg" / "train.py"
    file.parent.mkdir()
    file.write_bytes(before.encode())
    (tmp_path / "fix.patch").write_bytes(patch.encode())
    command = ["patch", "--binary", "-p1", "-i", "fix.patch"] if tool == "patch" else ["git", "apply", "fix.patch"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert file.read_bytes().decode() == after


def test_end_of_file_without_newline():
    source = Source("import torch\nx = torch.log(y)")
    edit = source.insert_after(source.tree.body[-1], "z = x")
    assert apply_edits(source.text, [edit]) == "import torch\nx = torch.log(y)\nz = x"


def test_crlf_insertions_keep_the_line_ends():
    source = Source("def f():\r\n\tx = 1\r\n\treturn x\r\n")
    edit = source.insert_before(source.tree.body[0].body[1], "y = 2")
    assert apply_edits(source.text, [edit]) == "def f():\r\n\tx = 1\r\n\ty = 2\r\n\treturn x\r\n"


def test_columns_are_bytes():
    source = Source("größe = 'ä'; x = f(größe)\n")
    call = source.calls[0]
    assert source.segment(call) == "f(größe)"
    assert apply_edits(source.text, [source.replace(call.args[0], "1")]) == "größe = 'ä'; x = f(1)\n"


def test_byte_order_mark():
    source = Source("\ufeffx = f(1)\n")
    assert source.segment(source.calls[0]) == "f(1)"


def test_statement_that_shares_its_line():
    source = Source("a = 1; b = 2\n")
    assert source.insert_before(source.tree.body[1], "c = 3") is None


def test_overlapping_edits_are_refused():
    with pytest.raises(PatchError):
        apply_edits("abcdef", [Edit(0, 3, "x"), Edit(2, 4, "y")])


def test_a_patch_that_does_not_fit_is_refused():
    with pytest.raises(PatchError):
        apply_patch("a\nx\nc\n", unified_diff("a\nb\nc\n", "a\nB\nc\n", "f.py"))


def test_counting_and_naming():
    patch = unified_diff("a\nb\nc\n", "a\nB\nc\nd\n", "pkg/f.py")
    assert changed_lines(patch) == 3
    assert patched_path(patch) == "pkg/f.py"


def test_imports_are_reused_or_added():
    assert Source("from torch.nn import functional as fn\n").spell("torch.nn.functional.softplus") == "fn.softplus"
    assert Source("import torch\n").importing("torch.isfinite") == []
    source = Source('"""Doc."""\nfrom __future__ import annotations\n\nfrom torch.optim import Adam\n')
    (edit,) = source.importing("torch.isfinite")
    assert "\nimport torch\nfrom torch.optim import Adam\n" in apply_edits(source.text, [edit])
