"""The lines around a place in the user's source, with the columns of the exact expression.

An excerpt is given only if the file still says what it said: the line must equal the recorded `source`, else the
text on disk is another one than ran, and the recorded line stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..case.facts import Birth

CONTEXT = 2


@dataclass(frozen=True, kw_only=True)
class Line:
    """One source line; `mark` is the character range (start, end) of the expression on it, if any."""

    number: int
    text: str
    mark: tuple[int, int] | None = None
    guilty: bool = False


def excerpt(birth: Birth, folders: tuple[Path, ...] = ()) -> list[Line]:
    """The lines to show for a birth, [] where there is nothing. `folders` are searched before the recorded path."""
    if birth.line is None:
        return []
    text = _read(birth.file, birth.line, birth.source, folders)
    if text is None:
        if not birth.source:
            return []
        return [Line(number=birth.line, text=birth.source.replace("\t", " "), mark=_find(birth), guilty=True)]
    last = min(max(birth.end_line or birth.line, birth.line), birth.line + 5, len(text))
    first = max(1, birth.line - CONTEXT)
    return [
        Line(
            number=number,
            text=text[number - 1].replace("\t", " "),  # one for one, so that columns stay
            mark=_mark(birth, number, text[number - 1]) if birth.line <= number <= last else None,
            guilty=birth.line <= number <= last,
        )
        for number in range(first, min(len(text), last + CONTEXT) + 1)
    ]


def window(line: Line, width: int) -> Line:
    """The line cut to `width` characters around its mark, with ... where something was left out."""
    if len(line.text) <= width:
        return line
    start, end = line.mark or (0, 0)
    left = 0 if end <= width - 4 else max(0, min(start - 8, len(line.text) - width))
    cut = line.text[left : left + width]
    if left:
        cut = "..." + cut[3:]
    if left + width < len(line.text):
        cut = cut[: width - 3] + "..."
    mark = (max(0, start - left), min(end - left, width)) if line.mark else None
    return Line(number=line.number, text=cut, mark=mark, guilty=line.guilty)


def _read(file: str | None, line: int, source: str | None, folders: tuple[Path, ...]) -> list[str] | None:
    if not file:
        return None
    names = [folder / name for folder in folders for name in (file, Path(file).name)]
    for path in (*names, Path(file)):
        try:
            text = path.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError):
            continue
        text = [row.rstrip("\r") for row in text]
        if line <= len(text) and (source is None or text[line - 1].strip() == source.strip()):
            return text
    return None


def _mark(birth: Birth, number: int, text: str) -> tuple[int, int] | None:
    """The characters of the expression on line `number`. Columns are UTF-8 offsets, as `ast` counts."""
    if birth.column is None or birth.end_column is None:
        return None
    several = birth.end_line is not None and birth.end_line > birth.line if birth.line is not None else False
    indent = len(text) - len(text.lstrip())
    start = _character(text, birth.column) if number == birth.line else indent
    ends_here = not several or number == birth.end_line
    end = _character(text, birth.end_column) if ends_here else len(text.rstrip())
    return (start, end) if start < end else None


def _find(birth: Birth) -> tuple[int, int] | None:
    """The expression on the recorded line, which may have lost its indentation and so its columns."""
    text, expression = birth.source or "", (birth.expression or "").split("\n")[0]
    mark = _mark(birth, birth.line or 0, text)
    if not expression or (mark and text[mark[0] : mark[1]] == expression):
        return mark
    start = text.find(expression)
    return (start, start + len(expression)) if start >= 0 else None


def _character(text: str, offset: int) -> int:
    return len(text.encode("utf-8")[:offset].decode("utf-8", errors="ignore"))
