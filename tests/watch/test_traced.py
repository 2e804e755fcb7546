"""Which functions are left to compilers."""

from __future__ import annotations

import ast
import textwrap

import pytest

from whynan.watch.traced import traced_functions


def traced(source: str) -> list[str]:
    return sorted(function.name for function in traced_functions(ast.parse(textwrap.dedent(source))))


@pytest.mark.parametrize(
    "decorator",
    ["torch.compile", "torch.compile(fullgraph=True)", "njit", "numba.njit(parallel=True)", "triton.jit",
     "torch.jit.script", "functools.partial(numba.jit, nopython=True)", "triton.autotune(configs=[])"],
)  # fmt: skip
def test_decorators_that_compile(decorator: str) -> None:
    assert traced(f"@{decorator}\ndef f(): pass\ndef g(): pass") == ["f"]


@pytest.mark.parametrize("decorator", ["torch.no_grad()", "functools.cache", "hydra.main(version_base=None)"])
def test_decorators_that_do_not(decorator: str) -> None:
    assert traced(f"@{decorator}\ndef f(): pass") == []


def test_what_is_handed_to_a_compiler() -> None:
    assert traced("def f(): pass\ndef g(): pass\nh = torch.compile(f)") == ["f"]
    assert traced("class A:\n    def __init__(self): self.g = torch.compile(self.f)\n    def f(self): pass") == ["f"]


def test_what_the_model_calls() -> None:
    found = traced(
        """
        class Base(nn.Module):
            def encode(self, x): return attend(x)
        class Model(Base):
            def forward(self, x): return self.encode(x) + super().extra(x) + self.run(x)
            def run(self, x): return self.layers[0].other(x)
            def fit(self):
                for batch in self.data: self.training_step(batch)
        class Trainer:
            def run(self):
                for batch in self.data: self.model(batch)
            def encode(self): pass
            def other(self): pass
        def attend(x): return scale(x)
        def scale(x): return x
        def train(): Trainer().run()
        """
    )
    assert found == ["attend", "encode", "forward", "run", "scale"]


def test_the_loop_of_a_trainer_is_not_taken_for_the_models() -> None:
    source = textwrap.dedent(
        """
        class Model(nn.Module):
            def forward(self, x): return self.run(x)
            def run(self, x): return x
        class Trainer:
            def run(self): pass
        """
    )
    (run,) = (function for function in traced_functions(ast.parse(source)) if function.name == "run")
    assert run.lineno == 4
