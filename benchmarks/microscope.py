"""What one step costs under the microscope, which is only put on after an alarm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.measure import Contender, Train, measure
from benchmarks.programs import Program
from whynan.replay.names import root_modules
from whynan.replay.scope import Scope


def microscope(name: str, rounds: int) -> tuple[float, float, float]:
    """Bare milliseconds a step, milliseconds under the microscope, and the ratio. One step per round."""
    program = Program(name)
    roots = root_modules(list(program.state[0].modules()))

    @contextlib.contextmanager
    def scoped() -> Iterator[Train]:
        def train(steps: int) -> None:
            with Scope(is_user_file=lambda path: path == str(program.path), roots=lambda: roots, phase=lambda: None):
                program.train(1)

        yield train

    bare, seen = measure(
        [Contender("bare", program.bare), Contender("microscope", scoped)], rounds=rounds, seconds=0.0, steps=1
    )
    return bare.median * 1e3, seen.median * 1e3, seen.ratio(bare)
