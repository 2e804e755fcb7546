"""The process that trials fork from: it has imported torch, and runs one patched program at a time."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CHECKER = Path(__file__).with_name("checker.py")


class Server:
    """A process that has imported torch and forks a child for every trial; without fork, a fresh process each."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(CHECKER), "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        return self.process

    def run(self, spec: Path, budget: float) -> bool:
        """Whether the run ended within the budget (seconds); it is killed otherwise."""
        if not hasattr(os, "fork"):
            return self._alone(spec, budget)
        process = self.start()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(f"{spec}\n")
            process.stdin.flush()
            pid = int(process.stdout.readline())
        except (OSError, ValueError):
            self.close()
            return self._alone(spec, budget)
        deadline, killed = time.monotonic() + budget, False
        try:
            while not self._ready(process, min(0.2, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    _kill(pid)
                    killed = True
                    break
        except BaseException:  # Ctrl-C must not leave the trial running
            _kill(pid)
            raise
        process.stdout.readline()
        return not killed

    @staticmethod
    def _ready(process: subprocess.Popen[str], wait: float) -> bool:
        import select

        assert process.stdout
        return bool(select.select([process.stdout], [], [], wait)[0])

    @staticmethod
    def _alone(spec: Path, budget: float) -> bool:
        process = subprocess.Popen(
            [sys.executable, str(CHECKER), str(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(budget)
            return True
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            process.wait()
            return False

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None


def _kill(pid: int) -> None:
    """The whole session of a child: its data loader workers too."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


SERVER = Server()
atexit.register(SERVER.close)


def warm_up() -> None:
    """Start the process that trials fork from, so that its import of torch overlaps with other work."""
    if hasattr(os, "fork"):
        SERVER.start()
