"""Run one script and judge whether it stayed finite. A program of its own: it imports nothing of whynan.

    python checker.py SPEC.json       (spec: see `trials.Spec`; the result goes to the file it names)

Looked at: every loss given to backward(), every parameter and the optimizer's state after each step, all of them, the
other trainable tensors and the buffers of modules at the end, and whether the script crashed. With "stop" the run
ends
at the first bad value: a trial that failed need not go on.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import runpy
import sys
import time
from typing import Any

STATE_EVERY = 10
"""Steps between looks at the optimizer's state, which is two or three times as large as the parameters."""
MOST_LOSSES = 20_000


class Stop(BaseException):
    """Ends the script at the first bad value."""


class Judge:
    """What is seen of one run."""

    def __init__(self, spec: dict[str, Any]) -> None:
        import torch

        self.torch, self.spec = torch, spec
        self.steps = 0
        self.first_bad: dict[str, Any] | None = None
        self.crash: str | None = None  # type: ignore[var-annotated]
        self.losses: list[list[Any]] = []  # [step, function, line, value]
        self.optimizers: list[Any] = []
        self.before: dict[int, Any] = {}
        self.started = time.perf_counter()

    # -- looking -----------------------------------------------------------------------------------------------------
    def finite(self, tensor: Any) -> bool:
        torch = self.torch
        if not (torch.is_tensor(tensor) and (tensor.is_floating_point() or tensor.is_complex()) and tensor.numel()):
            return True
        if hasattr(tensor, "fake_mode") or tensor.is_meta:  # torch.compile leaves tensors without numbers about
            return True
        if tensor.layout != torch.strided:
            tensor = tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.values()
        return bool(torch.isfinite(tensor.detach()).all())

    def note(self, what: str) -> None:
        if self.first_bad is None:
            self.first_bad = {"what": what, "step": self.steps}
            write(self.spec["result"] + ".partial", self.seen())
        if self.spec.get("stop"):
            raise Stop

    def probe(self, *values: Any) -> Any:
        """What the line of the birth gave: `spec["probe"]` says whether NaN or Inf is looked for."""
        for value in values:
            if self.holds(value, self.spec["probe"]):
                self.note("the value at the line of the birth")
        return values[0] if values else None

    def holds(self, value: Any, kind: str) -> bool:
        if isinstance(value, (tuple, list)):
            return any(self.holds(v, kind) for v in value[:64])
        if isinstance(value, dict):
            return any(self.holds(v, kind) for v in list(value.values())[:64])
        try:
            tensor = self.torch.as_tensor(value).detach()
            return bool((self.torch.isnan(tensor) if kind == "nan" else self.torch.isinf(tensor)).any())
        except (TypeError, ValueError, RuntimeError):
            return False

    def params(self, optimizer: Any) -> list[Any]:
        return [p for group in optimizer.param_groups for p in group["params"]]

    def pre(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not any(o is optimizer for o in self.optimizers):
            self.optimizers.append(optimizer)
            for p in self.params(optimizer):
                self.before.setdefault(id(p), p.detach().clone())

    def post(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        for i, p in enumerate(self.params(optimizer)):
            if not self.finite(p):
                self.note(f"parameter {i}")
        if self.steps % STATE_EVERY == 0:
            self.look_at_state(optimizer)
        self.steps += 1
        if self.steps >= self.spec.get("most_steps", math.inf):
            raise Stop

    def look_at_state(self, optimizer: Any) -> None:
        for i, p in enumerate(self.params(optimizer)):
            for name, value in optimizer.state.get(p, {}).items():
                if not self.finite(value):
                    self.note(f"optimizer state {name} of parameter {i}")

    def loss(self, tensors: Any) -> None:
        frame = sys._getframe(2)
        while frame.f_back is not None and os.sep + "torch" + os.sep in frame.f_code.co_filename:
            frame = frame.f_back
        site = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_code.co_name}"
        for t in [tensors] if self.torch.is_tensor(tensors) else list(tensors):
            if not self.torch.is_tensor(t):
                continue
            if not self.finite(t):
                self.note("loss")
            elif t.numel() and len(self.losses) < MOST_LOSSES:
                self.losses.append([self.steps, site, frame.f_lineno, self.unscaled(t)])

    def unscaled(self, loss: Any) -> float:
        """The value of a loss without the factor of a loss scale, which grows while the loss does not.

        GradScaler and scaling by hand both multiply last, so the factor is what the last multiplication saved.
        """
        value, node = float(loss.detach().double().mean()), loss.grad_fn
        if node is not None and node.name() == "MulBackward0":
            for saved in ("_saved_other", "_saved_self"):
                factor = getattr(node, saved, None)
                if self.torch.is_tensor(factor) and factor.numel() == 1 and abs(float(factor)) > 1:
                    return value / float(factor)
        return value

    def at_the_end(self) -> None:
        torch = self.torch
        for optimizer in self.optimizers:
            for i, p in enumerate(self.params(optimizer)):
                if not self.finite(p):
                    self.note(f"parameter {i} at the end")
            self.look_at_state(optimizer)
        for item in gc.get_objects():
            if issubclass(type(item), torch.Tensor) and item.is_leaf and item.requires_grad and not self.finite(item):
                self.note("a trainable tensor at the end")

    def buffers(self) -> list[str]:
        """Names of buffers that hold NaN at the end. Infinities may be masks, put there on purpose."""
        bad = []
        for item in gc.get_objects():
            if issubclass(type(item), self.torch.nn.Module) and "_buffers" in item.__dict__:
                for name, b in item._buffers.items():
                    if not self.finite(b) and b.is_floating_point() and bool(self.torch.isnan(b).any()):
                        bad.append(f"{type(item).__name__}.{name}")
        return sorted(set(bad))

    def moved(self) -> bool:
        def differs(p: Any) -> bool:
            old = self.before.get(id(p))
            return old is not None and not self.torch.equal(old, p.detach())

        return not self.optimizers or any(differs(p) for o in self.optimizers for p in self.params(o))

    # -- running -----------------------------------------------------------------------------------------------------
    def install(self) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        register_optimizer_step_pre_hook(self.pre)
        register_optimizer_step_post_hook(self.post)
        backward = self.torch.autograd.backward

        def checked(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            self.loss(tensors)
            return backward(tensors, *args, **kwargs)

        self.torch.autograd.backward = checked
        if self.spec.get("probe"):
            import builtins

            builtins.__whynan_probe__ = self.probe  # type: ignore[attr-defined]

    def run(self) -> dict[str, Any]:
        self.install()
        names: dict[str, Any] = {}
        try:
            names = self.script()
        except Stop:
            pass
        except SystemExit as e:
            self.crash = None if e.code in (None, 0) else f"SystemExit({e.code})"
        except BaseException as e:
            self.crash = f"{type(e).__name__}: {e}"[:300]
        bad_buffers: list[str] = []
        try:
            if self.first_bad is None:
                self.at_the_end()
            bad_buffers = self.buffers()
        except Stop:
            pass
        seen = self.seen() | {"moved": self.moved(), "buffers": bad_buffers}
        del names  # the script's names were kept alive for these last looks
        return seen

    def seen(self) -> dict[str, Any]:
        return {
            "finite": self.first_bad is None and self.crash is None,
            "steps": self.steps,
            "moved": False,
            "first_bad": self.first_bad,
            "crash": self.crash,
            "losses": self.losses,
            "buffers": [],
            "optimizers": len(self.optimizers),
            "seconds": time.perf_counter() - self.started,
        }

    def script(self) -> dict[str, Any]:
        spec = self.spec
        if spec.get("module"):
            sys.argv = [spec["script"], *spec["argv"]]
            sys.path[0] = os.getcwd()
            return runpy.run_module(spec["module"], run_name="__main__", alter_sys=True)
        sys.argv = [spec["script"], *spec["argv"]]
        sys.path[0] = os.path.dirname(os.path.abspath(spec["script"]))
        return runpy.run_path(spec["script"], run_name="__main__")


def confine(root: str) -> None:
    """Keep what the script writes inside the trial's folder (`confinement.py`, which lies beside this file)."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "confinement.py")
    spec = importlib.util.spec_from_file_location("whynan_confinement", path)
    assert spec is not None and spec.loader is not None
    confinement = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(confinement)
    confinement.lock(root)
    confinement.redirect(root)


def stand_in(paths: dict[str, str]) -> None:
    """Entries of the import path below a folder become those below its stand-in; installed packages stay."""

    def moved(entry: str) -> str:
        real = os.path.realpath(entry) if entry else entry
        for folder, copy in paths.items():
            if (real == folder or real.startswith(folder + os.sep)) and "site-packages" not in real:
                place = copy + real[len(folder) :]
                return place if os.path.isdir(place) else entry
        return entry

    sys.path[:] = [moved(entry) for entry in sys.path]
    for finder in sys.meta_path:  # editable installs of setuptools: package -> folder
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            mapping.update({name: moved(path) for name, path in mapping.items() if isinstance(path, str)})


def judge(spec: dict[str, Any]) -> None:
    """Run what the spec says and write the result."""
    os.chdir(spec["cwd"])
    os.environ.update(spec.get("env", {}))
    stand_in(spec.get("paths", {}))
    if spec.get("root"):
        confine(spec["root"])
    write(spec["result"], Judge(spec).run())


def write(path: str, out: dict[str, Any]) -> None:
    """Past the script's own idea of open()."""
    out["losses"] = [entry for entry in out["losses"] if math.isfinite(entry[-1])]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        json.dump(out, f)


def serve() -> None:
    """Read one spec path a line, fork a child for each; torch is imported once. Answers with the child's process
    id."""
    import torch  # noqa: F401
    import torch._dynamo  # noqa: F401  (the first optimizer would import it, in every child)

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(line.strip())
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("done", flush=True)


def _child(path: str) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    sys.stdin = open(0)  # noqa: SIM115  (stays open: the script may read it)
    try:
        with open(path) as f:
            spec = json.load(f)
        judge(spec)
    finally:
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        sys.path[0] = ""
        serve()
    else:
        with open(sys.argv[1]) as spec_file:
            given = json.load(spec_file)
        judge(given)
