"""Run a training script and say, without whynan, whether it stayed finite.

    python stayed_finite.py train.py        prints one JSON object as its last line:
    {"finite": bool, "steps": int, "moved": bool, "bad": [step, what] | null, "crash": str | null}

`finite`: no loss given to backward(), no parameter after a step and no parameter or optimizer state at the end was
Inf or NaN, and the script did not crash. `moved`: some parameter changed (true without an optimizer). `bad`: the
first non-finite thing, with the number of optimizer steps completed before it.
"""

import contextlib
import json
import math
import os
import runpy
import sys
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Judge:
    def __init__(self) -> None:
        self.steps = 0
        self.bad: tuple[int, str] | None = None
        self.start: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.optimizers: list[torch.optim.Optimizer] = []

    def look(self, value: Any, what: str) -> None:
        if self.bad is not None:
            return
        if isinstance(value, float):
            finite = math.isfinite(value)
        elif torch.is_tensor(value) and value.is_floating_point() and not value.is_sparse:
            finite = bool(torch.isfinite(value.detach()).all())
        else:
            return
        if not finite:
            self.bad = (self.steps, what)

    def before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if optimizer in self.optimizers:
            return
        self.optimizers.append(optimizer)
        for p in parameters(optimizer):
            self.start.setdefault(id(p), (p, p.detach().clone()))

    def after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for p in parameters(optimizer):
            self.look(p, "parameter")
        self.steps += 1

    def at_the_end(self) -> bool:
        """Look at everything once more; whether any parameter moved."""
        for optimizer in self.optimizers:
            for p in parameters(optimizer):
                self.look(p, "parameter at the end")
                for name, value in optimizer.state.get(p, {}).items():
                    self.look(value, f"optimizer state {name}")
        return not self.start or any(not torch.equal(p.detach(), old) for p, old in self.start.values())


def parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def judge(script: str) -> dict[str, Any]:
    """Run `script` as __main__ in this process; see the module docstring for the answer."""
    verdict = Judge()
    register_optimizer_step_pre_hook(verdict.before_step)
    register_optimizer_step_post_hook(verdict.after_step)
    backward = torch.autograd.backward

    def looked_at(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        for loss in [tensors] if torch.is_tensor(tensors) else tensors:
            verdict.look(loss, "loss")
        return backward(tensors, *args, **kwargs)

    torch.autograd.backward = looked_at
    sys.path.insert(0, os.path.dirname(script))
    crash, alive = None, None
    try:
        alive = runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        crash = None if end.code in (None, 0) else f"SystemExit({end.code})"
    except Exception as error:
        crash = f"{type(error).__name__}: {error}"[:200]
    moved = verdict.at_the_end()
    del alive
    finite = verdict.bad is None and crash is None
    return {"finite": finite, "steps": verdict.steps, "moved": moved, "bad": verdict.bad, "crash": crash}


if __name__ == "__main__":
    path = os.path.abspath(sys.argv[1])
    sys.argv = [path]
    with contextlib.redirect_stdout(sys.stderr):
        answer = judge(path)
    print(json.dumps(answer))
