"""The run time of rewritten loops that does nothing: the loops behave as the user wrote them.

Used while nobody watches, by the tests, and at the very end of the process. There the interpreter puts `builtins` back
to what it was at the start, while generators of the user's that are still suspended get closed and `__del__` methods
run: in rewritten code these would meet a NameError, printed on stderr. `keep_to_the_end` prevents that.

What `keep_to_the_end` keeps uses no global of this module when it is called: at the end these may be gone.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from whynan.watch.source import NAMES
from whynan.watch.tracing import compiling, traced_done, traced_leave, traced_while

_KEEPER = "__whynan_keeper__"

Running = dict[tuple[int, int], bool]  # (id of the frame, site) of the `while` loops that run, and whether they go on
_running: Running = {}


def finish(frame: FrameType, site: int, running: Running = _running) -> None:
    """End a `while` loop that began under the inert run time, in `frame`; other loops are none of its business.

    For a run time that took over meanwhile: it is told of the end (`__whynan_done__`) of a loop that it never saw.
    """
    if (id(frame), site) in running:
        running[id(frame), site] = False


def inert_names(
    compiling: Callable[[], bool] = compiling,
    running: Running = _running,
    frame_of_caller: Any = sys._getframe,
    finish: Any = finish,
    step: Any = next,
) -> dict[str, Callable[..., Any]]:
    """Functions for all names that rewritten code calls. compiling: whether torch.compile is tracing them."""

    def for_(iterable: Any, site: int) -> Any:
        return iterable

    def while_(site: int) -> Iterator[tuple[()]]:
        return traced_while(site) if compiling() else until_done((id(frame_of_caller(1)), site))

    def until_done(key: tuple[int, int]) -> Iterator[tuple[()]]:
        running[key] = True  # a loop cannot be nested in itself within one frame
        try:
            while running[key]:
                yield ()
        finally:
            running.pop(key, None)

    def done(site: int) -> None:
        if compiling():
            traced_done(site)
        else:
            finish(frame_of_caller(1), site)

    def caught(site: int) -> bool:
        return False

    def next_(*arguments: Any) -> Any:
        if compiling():
            return step(*arguments)
        try:
            return step(*arguments)
        except BaseException as error:
            # the user's traceback must not show this frame; a bare raise does not add it again
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next
            raise

    def leave(*sites: int) -> None:
        if compiling():
            traced_leave(*sites)

    return dict(zip(NAMES, (for_, while_, done, caught, next_, leave), strict=True))


def install() -> None:
    """Put the inert functions into `builtins`."""
    vars(builtins).update(inert_names())
    keep_to_the_end()


class _Keeper:
    """Dropped when the interpreter clears `builtins`, and fills in the names once more."""

    def __init__(self) -> None:
        self.names = inert_names(compiling=lambda: False)
        self.target, self.ending = vars(builtins), sys.is_finalizing

    def __del__(self) -> None:
        if self.ending():
            self.target.update(self.names)


def keep_to_the_end() -> None:
    """Make rewritten code work until the process is gone. Once is enough; more does no harm."""
    vars(builtins).setdefault(_KEEPER, _Keeper())
