"""What a re-executed iteration prints, writes and deletes stays inside."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from whynan.watch.quarantine import no_side_effects


def test_files_are_neither_written_nor_removed(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("before")
    with no_side_effects():
        with open(kept, "w") as file:
            file.write("after")
        kept.write_text("after")
        torch.save({}, tmp_path / "checkpoint.pt")
        os.remove(kept)
        os.makedirs(tmp_path / "new")
        assert kept.read_text() == "before"
    assert kept.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.txt"]
    kept.write_text("again")
    assert kept.read_text() == "again"


def test_output_is_silenced_at_the_descriptor() -> None:
    code = """
import os, sys
from whynan.watch.quarantine import silence
print("one")
with silence():
    print("two"); os.write(1, b"three"); os.system("echo four"); print("five", file=sys.stderr)
print("six")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert (done.stdout, done.stderr, done.returncode) == ("one\nsix\n", "", 0)
