"""The names that tie causes to remedies, and the ranking."""

from __future__ import annotations

import pytest

from whynan.case.facts import Birth, Cause, Report, Run
from whynan.remedy import plan, registry
from whynan.remedy.preferences import ELSEWHERE, PREFER, place
from whynan.remedy.search import both
from whynan.remedy.trials import Script

CAUSES = (
    "bad-input input-scale exploding-gradients learning-rate-too-high bad-initialization low-precision-overflow "
    "low-precision-underflow log-of-zero division-by-zero domain-error exp-overflow arithmetic-overflow "
    "singular-gradient fully-masked-softmax empty-reduction optimizer-misuse loss-scaling-misuse "
    "uninitialized-memory ill-conditioned-linalg nondeterministic-fault indexing-or-padding other"
).split()
REMEDIES = (
    "clip-gradients lower-learning-rate warmup reinitialize normalize-inputs drop-bad-batch impute-inputs "
    "full-precision float64 bfloat16 add-eps clamp stable-formulation safe-where mask-safe-softmax guard-empty "
    "raise-optimizer-eps clip-before-step zero-grad unscale-before-clip initialize-memory add-jitter "
    "normalization-layer change-optimizer other"
).split()


def test_every_class_has_its_file_and_every_cause_its_remedies():
    assert sorted(registry.load()) == sorted(REMEDIES)
    assert sorted(PREFER) == sorted(CAUSES)


@pytest.mark.parametrize("cause", CAUSES)
def test_preferences_name_known_classes(cause):
    assert set(PREFER[cause]) <= set(REMEDIES)


@pytest.mark.parametrize("name", REMEDIES)
def test_every_kind_says_what_it_does(name):
    kind = registry.load()[name]
    assert len(kind.page) > 200 and kind.title and kind.safety in ("safe", "unsafe", "display-only")


def report(*causes: str) -> Report:
    birth = Birth(step=0, iteration=0, phase="forward", kind="inf", op="aten::log", file="train.py", line=5)
    found = tuple(Cause(class_=c, level="guess", score=0.5, summary="") for c in causes)
    return Report(verdict="nonfinite", run=Run(script="train.py"), birth=birth, causes=found)


def test_the_first_cause_decides():
    assert place(report("log-of-zero"), "stable-formulation") == 0
    assert place(report("log-of-zero"), "float64") == ELSEWHERE
    assert place(report("bad-input", "log-of-zero"), "drop-bad-batch") < place(
        report("bad-input", "log-of-zero"), "safe-where"
    )


def test_the_order_is_deterministic_and_pairs_combine(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import torch\n\n\ndef f(a, b):\n    return torch.log(a) / torch.log(b)\n")
    found = plan.candidates(report("log-of-zero"), Script(script, (), tmp_path))
    again = plan.candidates(report("log-of-zero"), Script(script, (), tmp_path))
    assert [c.patch for c in found] == [c.patch for c in again]
    one, two = (next(c for c in found if f"torch.log({n}.clamp(min=1e-8))" in c.after and c.changed == 2) for n in "ab")
    pair = both(one, two)
    assert pair is None or "a.clamp" in pair.after and "b.clamp" in pair.after
    assert both(one, one) is None


def test_a_healthy_report_needs_no_remedy(tmp_path):
    assert plan.propose(Report(verdict="healthy", run=Run(script="x")), script=tmp_path / "x.py") == ((), ())
