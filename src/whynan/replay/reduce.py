"""Delta debugging of a recipe: fewer elements, fewer dimensions, simpler numbers, as long as it fails in the same way.

`ddmin` is the algorithm of Zeller and Hildebrandt (Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2),
2002). Dimensions of the same size are taken to belong together, as those of the operands of a product or of a sum do;
where that was wrong each is tried alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from whynan.replay.recipe import Recipe
from whynan.replay.simple import cost, rounded, single, uniform

ROUNDS = 4
ONE_BY_ONE = 48  # elements of a tensor that are simplified one at a time
WHOLE = 1 << 20  # elements of a tensor beyond which numbers are only made uniform


def ddmin(items: Sequence[int], holds: Callable[[list[int]], bool], stop: float) -> list[int]:
    """A subset of `items` for which `holds`, from which no chunk can be taken away; `holds(items)` is given."""
    kept, pieces = list(items), 2
    while len(kept) >= 2 and time.monotonic() < stop:
        size = -(-len(kept) // pieces)
        chunks = [kept[i : i + size] for i in range(0, len(kept), size)]
        smaller = next((chunk for chunk in chunks if holds(chunk)), None)
        if smaller is not None:
            kept, pieces = smaller, 2
            continue
        rest = None
        if len(chunks) > 2:
            for chunk in chunks:
                others = [item for item in kept if item not in chunk]
                if holds(others):
                    rest = others
                    break
        if rest is not None:
            kept, pieces = rest, max(pieces - 1, 2)
        elif pieces < len(kept):
            pieces = min(len(kept), pieces * 2)
        else:
            break
    return kept


class Reducer:
    """Makes one recipe smaller until nothing helps or the time is over."""

    def __init__(self, recipe: Recipe, seconds: float, hints: Sequence[int] = ()) -> None:
        self.recipe = recipe
        self.stop = time.monotonic() + seconds
        self.hints = [*dict.fromkeys([*hints, 0])]  # indices that are worth a first try: those of bad elements

    def run(self) -> Recipe:
        for _ in range(ROUNDS):
            before = self._size()
            self._sizes()
            self._ranks()
            self._numbers()
            if self._size() == before or time.monotonic() > self.stop:
                break
        return self.recipe

    def _size(self) -> tuple[int, int, int]:
        tensors = self.recipe.leaves.values()
        return sum(t.numel() for t in tensors), sum(t.dim() for t in tensors), sum(map(cost, tensors))

    def _try(self, candidate: Recipe) -> bool:
        if time.monotonic() > self.stop or not candidate.holds():
            return False
        self.recipe = candidate
        return True

    # elements ----------------------------------------------------------------------------------------------------

    def _sizes(self) -> None:
        for size in sorted({n for t in self.recipe.leaves.values() for n in t.shape if n > 1}, reverse=True):
            places = [(name, d) for name, t in self.recipe.leaves.items() for d, n in enumerate(t.shape) if n == size]
            if not self._cut(size, places) and len(places) > 1:
                for place in places:
                    if self.recipe.leaves[place[0]].shape[place[1] : place[1] + 1] == (size,):
                        self._cut(size, [place])

    def _cut(self, size: int, places: list[tuple[str, int]]) -> bool:
        """Keep fewer of the `size` indices along these dimensions."""
        whole = self.recipe

        def made(kept: list[int]) -> Iterator[Recipe]:
            index = torch.tensor(kept)
            changed: dict[str, Tensor] = {}
            for name, dim in places:
                changed[name] = changed.get(name, whole.leaves[name]).index_select(dim, index)
            yield whole.with_leaves(changed)
            yield whole.with_leaves(changed).with_sizes(size, len(kept))

        def holds(kept: list[int]) -> bool:
            return any(self._try(candidate) for candidate in made(kept))

        for hint in self.hints:
            if hint < size and holds([hint]):
                return True
        before = self.recipe
        ddmin(range(size), holds, self.stop)
        return self.recipe is not before

    def _ranks(self) -> None:
        """Leave out dimensions of size one, in all tensors at once or in one."""
        for _ in range(6):
            if not any(self._try(candidate) for candidate in self._flatter()):
                return

    def _flatter(self) -> Iterator[Recipe]:
        leaves = self.recipe.leaves
        scalars = {n: t.reshape(()) for n, t in leaves.items() if t.numel() == 1}
        if any(leaves[name].dim() for name in scalars):
            yield self.recipe.with_leaves(scalars)
        leading = {n: t.squeeze(0) for n, t in leaves.items() if t.dim() and t.shape[0] == 1}
        if leading:
            yield self.recipe.with_leaves(leading)
        for name, tensor in leaves.items():
            for dim in (d for d, n in enumerate(tensor.shape) if n == 1):
                yield self.recipe.with_leaves({name: tensor.squeeze(dim)})

    # numbers -----------------------------------------------------------------------------------------------------

    def _numbers(self) -> None:
        for name in self.recipe.leaves:
            tensor = self.recipe.leaves[name]
            if not self._better(name, uniform(tensor)) and tensor.numel() <= WHOLE:
                exact = not (tensor.is_floating_point() and not tensor.is_complex())
                if not exact:
                    self._better(name, (rounded(tensor, digits) for digits in (1, 2, 3, 5)))
                if tensor.numel() <= ONE_BY_ONE and not tensor.is_complex():
                    self._elements(name)

    def _better(self, name: str, candidates: Iterator[Tensor]) -> bool:
        now = cost(self.recipe.leaves[name])
        for candidate in candidates:
            if cost(candidate) <= now and not _same(candidate, self.recipe.leaves[name]):
                if self._try(self.recipe.with_leaves({name: candidate})):
                    return True
            elif _same(candidate, self.recipe.leaves[name]):
                return True  # as simple as this already
        return False

    def _elements(self, name: str) -> None:
        for i in range(self.recipe.leaves[name].numel()):
            tensor = self.recipe.leaves[name]
            value = tensor.reshape(-1)[i].item()
            for simpler in single(float(value)):
                if simpler == value:
                    break
                changed = tensor.clone().contiguous()
                try:
                    changed.view(-1)[i] = simpler if tensor.is_floating_point() else int(simpler)
                except (OverflowError, RuntimeError):
                    continue
                if self._try(self.recipe.with_leaves({name: changed})):
                    break


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a != a) & (b != b)).all())
