"""Exact edits of a source text and the unified diff that says them.

An `Edit` replaces the bytes [start, end) of the UTF-8 text; everything outside is kept as it is, so comments, tabs,
CRLF
and a missing newline at the end survive. `unified_diff` writes what `patch` and `git apply` take; `apply_patch` is
the
strict reader used by the trials, so that what is tried is the very diff that is handed over.
"""

from __future__ import annotations

import difflib
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NO_NEWLINE = "\\ No newline at end of file"


class PatchError(ValueError):
    """A patch does not fit the text it is applied to, or edits overlap."""


@dataclass(frozen=True, order=True)
class Edit:
    """Replace bytes [start, end) of the UTF-8 text by `text`; start == end inserts."""

    start: int
    end: int
    text: str


def read_text(path: Path) -> tuple[str, str]:
    """A source file as text, and its encoding: what its coding cookie says, else UTF-8. A byte order mark stays.

    Raises OSError; SyntaxError for a cookie that names no encoding; UnicodeDecodeError.
    """
    data = path.read_bytes()
    found = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    encoding = "utf-8" if found == "utf-8-sig" else found
    return data.decode(encoding), encoding


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made. Edits may touch but not overlap (PatchError)."""
    data, out, at = text.encode(), [], 0
    for edit in sorted(set(edits), key=lambda e: (e.start, e.end)):
        if edit.start < at:
            raise PatchError(f"edits overlap at byte {edit.start}")
        out += [data[at : edit.start], edit.text.encode()]
        at = edit.end
    return b"".join([*out, data[at:]]).decode()


def _lines(text: str) -> list[str]:
    """Split at \\n only: form feeds and lone carriage returns are part of a line for `patch`."""
    parts = text.split("\n")
    return [p + "\n" for p in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def unified_diff(before: str, after: str, path: str, context: int = 3) -> str:
    """The diff from `before` to `after` of the file `path` (relative, forward slashes); "" where nothing changed."""
    out: list[str] = []
    for line in difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}", n=context):
        out.append(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n")
    return "".join(out)


def changed_lines(patch: str) -> int:
    """How many lines a patch takes out or puts in, + and - counted together."""
    return sum(1 for line in _hunk_lines(patch) if line[:1] in "+-")


def _hunk_lines(patch: str) -> list[str]:
    lines = patch.split("\n")
    return [line for line in lines if line and not line.startswith(("--- ", "+++ ", "@@ "))]


def patched_path(patch: str) -> str:
    """The relative path in the header of a patch."""
    found = re.search(r"^\+\+\+ b/(.*)$", patch, re.MULTILINE)
    if not found:
        raise PatchError("the patch has no '+++ b/...' header")
    return found.group(1).rstrip("\r")


def apply_patch(text: str, patch: str) -> str:
    """Apply a unified diff to `text`; every context line must match exactly (PatchError otherwise)."""
    source, out, at = _lines(text), [], 0
    for start, body in _hunks(patch):
        out += source[at:start]
        at = start
        for line in body:
            mark, content = line[:1], line[1:]
            if mark in " -":
                if at >= len(source) or source[at] != content:
                    raise PatchError(f"line {at + 1} is not the one the patch expects: {content.strip()!r}")
                at += 1
            if mark in " +":
                out.append(content)
    return "".join(out + source[at:])


def _hunks(patch: str) -> list[tuple[int, list[str]]]:
    hunks: list[tuple[int, list[str]]] = []
    for line in _lines(patch):
        header = re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@", line)
        if header:
            first, count = int(header.group(1)), int(header.group(2) or 1)
            hunks.append((first - 1 if count else first, []))
        elif hunks and line.startswith(NO_NEWLINE):
            hunks[-1][1][-1] = hunks[-1][1][-1].removesuffix("\n")
        elif hunks and line[:1] in "+- ":
            hunks[-1][1].append(line)
    return hunks
