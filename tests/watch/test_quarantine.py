"""What a re-executed iteration prints, writes and deletes stays inside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from whynan.watch.openfiles import open_files_untouched
from whynan.watch.quarantine import no_side_effects, silence


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


def test_files_that_are_open_keep_what_they_had(tmp_path: Path) -> None:
    log, book, raw = open(tmp_path / "log.txt", "w"), open(tmp_path / "book.txt", "w+"), open(tmp_path / "raw", "ab")  # noqa: SIM115
    log.write("before\n")
    book.write("one\n")
    os.write(raw.fileno(), b"1")
    with open_files_untouched():
        log.write("inside\n")
        log.flush()
        book.seek(0)
        assert book.read() == "one\n"
        book.write("two\n")
        os.write(raw.fileno(), b"2")
    position = book.tell()
    log.write("after\n")
    os.write(raw.fileno(), b"3")
    for file in (log, book, raw):
        file.close()
    assert (tmp_path / "log.txt").read_text() == "before\nafter\n"
    assert (tmp_path / "book.txt").read_text() == "one\n" and position == 4
    assert (tmp_path / "raw").read_bytes() == b"13"


def test_a_stream_without_a_descriptor_is_silent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tee:
        name = "tee"

        def __init__(self) -> None:
            self.got: list[str] = []

        def write(self, text: str) -> int:
            self.got.append(text)
            return len(text)

        def flush(self) -> None:
            pass

    tee = Tee()
    monkeypatch.setattr(sys, "stdout", tee)
    with silence():
        print("inside")
        assert sys.stdout.name == "tee"
    print("after")
    assert "".join(tee.got) == "after\n"
