"""What the user calls a tensor of one step: by its module, its place in what the loop was given, or its variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from whynan.preflight.data.scan import called
from whynan.preflight.data.sources import names as names_of_item
from whynan.replay.names import Name, Names, flatten, root_modules

if TYPE_CHECKING:
    from typing import Any

    from whynan.watch.loops import LoopRun
    from whynan.watch.snapshot import Snapshot


def namer(snapshot: Snapshot, run: LoopRun) -> Callable[[Tensor, Any], str | None]:
    """A function of a tensor, and of the item that the loop had in the step that the tensor comes from."""
    roots, places = root_modules(snapshot.modules), names_of_item(run)
    bound = {**run.frame.f_globals, **snapshot.locals}  # before the step
    variables = {k: v for k, v in bound.items() if isinstance(v, Tensor) and not k.startswith("_")}

    def name_of(tensor: Tensor, item: Any) -> str | None:
        names = Names(roots, snapshot.optimizers)
        for path, part in flatten(item):
            names.add(part, Name("item", called(path, places)))
        for name, value in variables.items():
            names.add(value, Name("local", name))
        known = names.of(tensor)
        if known is None or known.kind in ("item", "local"):
            return known.name if known is not None else None
        return f"{known.kind} {known.name}"

    return name_of
