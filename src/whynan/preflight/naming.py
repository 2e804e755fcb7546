"""What the user calls a tensor of one step: by its module, or by its place in what the loop was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from whynan.preflight.data.sources import names as names_of_item
from whynan.replay.names import Name, Names, flatten, root_modules

if TYPE_CHECKING:
    from typing import Any

    from whynan.watch.loops import LoopRun
    from whynan.watch.snapshot import Snapshot


def namer(snapshot: Snapshot, run: LoopRun) -> Callable[[Tensor, Any], str | None]:
    """A function of a tensor, and of the item that the loop had in the step that the tensor comes from."""
    roots, called = root_modules(snapshot.modules), names_of_item(run)

    def name_of(tensor: Tensor, item: Any) -> str | None:
        names = Names(roots, snapshot.optimizers)
        for path, part in flatten(item):
            names.add(part, Name("item", called.get(path, f"batch{path}")))
        known = names.of(tensor)
        if known is None or known.kind == "item":
            return known.name if known is not None else None
        return f"{known.kind} {known.name}"

    return name_of
