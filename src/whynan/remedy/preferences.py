"""Which remedy classes a cause asks for, and in which order (facts/MEASUREMENTS.md, 3.2).

The remedies at the birth come first for the mathematical causes, those of the data for data, those of the optimizer for
growth over steps. `tests/remedy/test_preferences.py` holds the names against facts/CLASSES.md.
"""

from __future__ import annotations

from whynan.case.facts import Report
from whynan.remedy.candidate import Candidate

ELSEWHERE = 14.0
"""Rank of a class that no cause asks for: after those that are asked for."""

_op = ["stable-formulation", "clamp", "add-eps", "safe-where", "guard-empty", "reinitialize"]
PREFER: dict[str, list[str]] = {
    "bad-input": ["drop-bad-batch", "clamp", "add-eps", "guard-empty", "impute-inputs", "stable-formulation"],
    "input-scale": ["clamp", "drop-bad-batch", "normalize-inputs", "stable-formulation", "clip-gradients"],
    "exploding-gradients": [
        "clip-before-step",
        "unscale-before-clip",
        "clip-gradients",
        "reinitialize",
        "clamp",
        "lower-learning-rate",
        "normalization-layer",
    ],
    "learning-rate-too-high": [
        "other",
        "zero-grad",
        "clip-before-step",
        "lower-learning-rate",
        "clip-gradients",
        "warmup",
        "change-optimizer",
    ],
    "bad-initialization": [
        "initialize-memory",
        "reinitialize",
        *_op[:4],
        "guard-empty",
        "normalization-layer",
        "add-jitter",
    ],
    "low-precision-overflow": ["full-precision", "bfloat16", "mask-safe-softmax", "other", "clamp"],
    "low-precision-underflow": ["raise-optimizer-eps", "full-precision", "bfloat16", "add-eps", "clamp"],
    "log-of-zero": _op,
    "division-by-zero": ["guard-empty", "stable-formulation", "clamp", "add-eps", "safe-where", "raise-optimizer-eps"],
    "domain-error": ["clamp", "stable-formulation", "add-eps", "safe-where", "reinitialize"],
    "exp-overflow": ["stable-formulation", "clamp", "lower-learning-rate"],
    "arithmetic-overflow": [
        "clamp",
        "add-eps",
        "clip-gradients",
        "full-precision",
        "lower-learning-rate",
        "drop-bad-batch",
    ],
    "singular-gradient": ["safe-where", "stable-formulation", "add-eps", "clamp", "add-jitter", "reinitialize"],
    "fully-masked-softmax": ["mask-safe-softmax", "guard-empty", "full-precision"],
    "empty-reduction": ["guard-empty", "mask-safe-softmax", "drop-bad-batch", "clamp"],
    "optimizer-misuse": [
        "clip-before-step",
        "unscale-before-clip",
        "zero-grad",
        "raise-optimizer-eps",
        "change-optimizer",
        "clamp",
        "other",
        "guard-empty",
        "add-eps",
        "clip-gradients",
        "lower-learning-rate",
    ],
    "loss-scaling-misuse": ["unscale-before-clip", "other", "bfloat16", "full-precision"],
    "uninitialized-memory": ["initialize-memory", "reinitialize"],
    "ill-conditioned-linalg": ["add-jitter", "reinitialize", "stable-formulation", "clamp"],
    "nondeterministic-fault": ["initialize-memory"],
    "indexing-or-padding": [
        "guard-empty",
        "mask-safe-softmax",
        "clamp",
        "stable-formulation",
        "add-eps",
        "drop-bad-batch",
    ],
    "other": _op,
}


def rank(report: Report, candidate: Candidate) -> float:
    """Lower is tried earlier: the place of the class among the remedies of the causes, the candidate's own order,
    its size."""
    return place(report, candidate.class_) + candidate.order + 0.03 * candidate.changed


def place(report: Report, class_: str) -> float:
    """How early the causes of the report ask for a remedy class; ELSEWHERE if none does."""
    base = ELSEWHERE
    for i, cause in enumerate([c.class_ for c in report.causes[:4]] or ["other"]):
        classes = PREFER.get(cause, _op)
        if class_ in classes:
            base = min(base, 2.5 * i + 0.9 * classes.index(class_))
    return base
