"""The random states of python, numpy and torch on every device: taken and put back."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch


class RandomState:
    """Global random states at one moment. torch's costs half a microsecond, python's and numpy's 7 and 25."""

    __slots__ = ("python", "numpy", "torch", "cuda")

    def __init__(self, python: bool = True, numpy: bool = True, cuda: bool = True) -> None:
        """`python`, `numpy`, `cuda`: whether to take theirs; what was not taken is not put back."""
        self.torch: torch.Tensor | None = torch.default_generator.get_state()
        self.python: Any = random.getstate() if python else None
        loaded = sys.modules.get("numpy") if numpy else None
        self.numpy: Any = loaded.random.get_state() if loaded is not None and hasattr(loaded, "random") else None
        # CUDA's generator exists only once the user has initialised CUDA: looking must not initialise it
        cuda = cuda and torch.cuda.is_initialized()
        self.cuda: list[torch.Tensor] | None = torch.cuda.get_rng_state_all() if cuda else None

    @classmethod
    def untouched(cls) -> RandomState:
        """Takes nothing and puts nothing back."""
        state = cls.__new__(cls)
        state.torch = state.python = state.numpy = state.cuda = None
        return state

    def restore(self) -> None:
        if self.python is not None:
            random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)
        if self.torch is not None:
            torch.set_rng_state(self.torch)
        if self.cuda is not None:
            torch.cuda.set_rng_state_all(self.cuda)

    def same_python(self, other: RandomState) -> bool:
        return self.python == other.python

    def same_numpy(self, other: RandomState) -> bool:
        if self.numpy is None or other.numpy is None:
            return self.numpy is other.numpy
        return all(
            (a == b).all() if hasattr(a, "all") else a == b for a, b in zip(self.numpy, other.numpy, strict=True)
        )


    def same_cuda(self, other: RandomState) -> bool:
        if self.cuda is None or other.cuda is None:
            return self.cuda is other.cuda
        return all(torch.equal(a, b) for a, b in zip(self.cuda, other.cuda, strict=True))


UNTOUCHED = RandomState.untouched()


class FetchHabit:
    """Which generators the fetch of an item draws from, learned from the first few: only those need recording later.

    torch's own is recorded in any case.
    """

    TRIALS = 4

    def __init__(self) -> None:
        self.python = self.numpy = self.cuda = True
        self.learning = True
        self._before: RandomState | None = None
        self._trials = 0
        self._moved_python = self._moved_numpy = self._moved_cuda = False

    def body_ended(self) -> None:
        if self.learning:
            self._before = RandomState()

    def fetched(self) -> RandomState:
        """The states after a fetch, as far as they matter."""
        now = RandomState(self.python, self.numpy, self.cuda)
        if self._before is not None:
            self._moved_python |= not now.same_python(self._before)
            self._moved_numpy |= not now.same_numpy(self._before)
            self._moved_cuda |= not now.same_cuda(self._before)
            self._before = None
            self._trials += 1
            if self._trials == self.TRIALS:
                self.learning = False
                self.python, self.numpy, self.cuda = self._moved_python, self._moved_numpy, self._moved_cuda
        return now
