"""`--apply` writes the patch, refuses what changed meanwhile, and never leaves half a file."""

import os
import time
from pathlib import Path

import pytest

from whynan.errors import WhynanError
from whynan.remedy.apply import apply_to_tree

BEFORE = "import torch\nx = torch.log(p)\n"
PATCH = """--- a/train.py
+++ b/train.py
@@ -1,2 +1,2 @@
 import torch
-x = torch.log(p)
+x = torch.log(p.clamp(min=1e-8))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(BEFORE)
    path.chmod(0o755)
    return path


def test_applies_and_keeps_the_mode(script: Path) -> None:
    assert apply_to_tree(PATCH, script.parent, time.time() + 1) == script
    assert "clamp" in script.read_text() and os.access(script, os.X_OK)
    assert [p.name for p in script.parent.iterdir()] == ["train.py"]


def test_refuses_a_file_that_changed_while_the_program_ran(script: Path) -> None:
    with pytest.raises(WhynanError, match="changed while the program ran"):
        apply_to_tree(PATCH, script.parent, time.time() - 100)
    assert script.read_text() == BEFORE


def test_refuses_a_patch_that_does_not_fit(script: Path) -> None:
    script.write_text("something else\n")
    with pytest.raises(WhynanError, match="does not fit"):
        apply_to_tree(PATCH, script.parent, time.time() + 1)
    assert script.read_text() == "something else\n"
