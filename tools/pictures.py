"""The pictures of the README, made from a real run: `make pictures`.

    docs/images/terminal.svg    a recording of `whynan run examples/demo/train.py` in a terminal of 100 columns
    docs/images/page.png        the top of the report page that the same run wrote, in headless Chromium

The program runs in a pseudo-terminal; pyte turns what it writes into screens; every distinct screen becomes a frame of
an animated SVG. Waiting is shortened (`LONGEST`), nothing else is changed.
"""

from __future__ import annotations

import html
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS, ROWS = 100, 70
SHORTEST = 0.3  # seconds; a spinner turns faster than anybody reads
LONGEST = 1.2  # seconds that one screen stays, at most
HELD = 12.0  # seconds that the last one stays
CELL, LINE, SIZE, MARGIN = 8.4, 18, 14, 16  # pixels
INK, PAPER = "#d8dee9", "#1c2028"
COLOURS = {
    "default": INK, "black": "#4c566a", "red": "#e8747c", "green": "#a3be8c", "brown": "#ebcb8b",
    "blue": "#81a1c1", "magenta": "#b48ead", "cyan": "#88c0d0", "white": "#eceff4",
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One screen: the lines as SVG text, and how many seconds it stays."""

    lines: tuple[str, ...]
    seconds: float


def record(command: list[str], folder: Path) -> list[Frame]:
    """Run `command` in a pseudo-terminal and return what its reader sees."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    started, frames, last = time.monotonic(), [], (f"$ {' '.join(command)}",)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS), OMP_NUM_THREADS="1")
        os.environ.pop("NO_COLOR", None)
        os.execvp(command[0], command)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    stream.feed(f"\x1b[1m$ whynan {' '.join(command[1:])}\x1b[0m\r\n".encode())
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.05)
        if ready:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:
                break
            if not data:
                break
            stream.feed(data)
        lines, now = _lines(screen), time.monotonic()
        if lines != last and now - started >= SHORTEST:
            frames.append(Frame(last, min(now - started, LONGEST)))
            started, last = now, lines
    os.waitpid(pid, 0)
    return [*frames[1:], Frame(_lines(screen), HELD)]


def _lines(screen: pyte.Screen) -> tuple[str, ...]:
    return tuple(_line(screen, row) for row in range(ROWS))


def _line(screen: pyte.Screen, row: int) -> str:
    """One row as tspans, neighbours of the same look together."""
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    while cells and cells[-1].data == " ":
        cells.pop()
    spans: list[tuple[str, str]] = []
    for cell in cells:
        look = f'fill="{_colour(cell.fg)}"' + (' font-weight="bold"' if cell.bold else "")
        if spans and spans[-1][0] == look:
            spans[-1] = (look, spans[-1][1] + cell.data)
        else:
            spans.append((look, cell.data))
    return "".join(f"<tspan {look}>{html.escape(text)}</tspan>" for look, text in spans)


def _colour(name: str) -> str:
    return COLOURS.get(name, f"#{name}" if len(name) == 6 else INK)


def animated(frames: list[Frame]) -> str:
    """An SVG that shows the frames in turn; the last one only where the reader wants no motion."""
    rows = max(i for frame in frames for i, line in enumerate(frame.lines) if line) + 1
    width, height = COLUMNS * CELL + 2 * MARGIN, rows * LINE + 2 * MARGIN
    total = sum(frame.seconds for frame in frames)
    style, groups, begun = [], [], 0.0
    for i, frame in enumerate(frames):
        start, end = 100 * begun / total, 100 * (begun + frame.seconds) / total
        begun += frame.seconds
        final = i == len(frames) - 1
        after = "visible" if final else "hidden"
        style.append(
            f"@keyframes f{i}{{0%,{start:.3f}%{{visibility:hidden}}{start:.3f}%,{end:.3f}%{{visibility:visible}}"
            f"{end:.3f}%,100%{{visibility:{after}}}}}"
        )
        style.append(f"#f{i}{{animation:f{i} {total:.1f}s step-end infinite}}")
        text = "".join(
            f'<text x="{MARGIN}" y="{MARGIN + LINE * (row + 0.8):.0f}">{line}</text>'
            for row, line in enumerate(frame.lines)
            if line
        )
        early = "" if final else ' class="early"'
        groups.append(f'<g id="f{i}"{early}>{text}</g>')
    still = "@media (prefers-reduced-motion:reduce){g{animation:none!important}.early{visibility:hidden}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="A terminal: whynan finds, explains and cures a NaN"><style>'
        f"text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}"
        f"{''.join(style)}{still}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>{"".join(groups)}</svg>\n'
    )


def screenshot(page: Path, picture: Path, *, width: int = 1200, height: int = 1000) -> None:
    """The top of a page as PNG. Needs Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("Chromium is needed for the picture of the page: apt-get install chromium")
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=3000",
         f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()],
        check=True, capture_output=True,
    )  # fmt: skip


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text((ROOT / "examples" / "demo" / "train.py").read_text())
        whynan = str(Path(sys.executable).with_name("whynan"))
        frames = record([whynan, "run", "train.py"], folder)
        (IMAGES / "terminal.svg").write_text(animated(frames))
        pages = sorted(folder.glob("whynan-cases/*/report.html"))
        if not pages:
            sys.exit("the run left no page: did it find nothing?")
        screenshot(pages[-1], IMAGES / "page.png")


if __name__ == "__main__":
    main()
