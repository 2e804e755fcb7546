"""exp of a difference of log-probabilities

What it does
------------
Finds `exp(log_prob - old_log_prob)`, the importance ratio of PPO and its relatives, without a clamp, where
gradients flow.

Why
---
The ratio overflows when an old action was very unlikely: a continuous policy with a narrow density reaches a log-
ratio of 88.7 within a few updates. Clipping the ratio afterwards does not help: the gradient of the inf is NaN.

Bad
---
    import torch

    def surrogate(log_prob, old_log_prob, advantage):
        ratio = torch.exp(log_prob - old_log_prob)
        return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()

Good
----
    import torch

    def surrogate(log_prob, old_log_prob, advantage):
        ratio = torch.exp((log_prob - old_log_prob).clamp(-20, 20))
        return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()

When it is safe
---------------
Where the difference is clamped, or both come from discrete policies whose sampled actions are never improbable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import switched_off
from whynan.lint.guarded import guarded
from whynan.lint.meaning import through
from whynan.lint.parts import SHIFT, TENSORS, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import SELECTING, Form, same

CODE = "WN402"
NAME = "exp-of-log-ratio"
CAUSES = ("exp-overflow",)
REMEDIES = ("clamp",)


LOGP = re.compile(r"(^|[._])(\w*_)?(log_?ps?|log_?probs?|log_?pi|log_?likelihoods?)(_\w+)?$", re.IGNORECASE)


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("exp"):
        if f.lib not in TENSORS or not f.args or switched_off(file, f.node):
            continue
        inner = through(file, f.args[0])
        if inner.op == "sub" and len(inner.args) == 2 and all(_log_probability(file, a) for a in inner.args):
            r = range_of(file, inner)
            itself = same(file, _behind_selection(inner.args[0]), _behind_selection(inner.args[1]))  # p - p.detach()
            highest = SHIFT.search(file.segment(inner.args[1].node)) is not None  # of rejection sampling: at most 0
            if r.hi > 80 and not itself and not highest and not guarded(file, f.node, inner.node):
                yield Hit(f.node, f"The ratio overflows where {short(file, inner.node)} exceeds 88.7 (float32).")


def _behind_selection(f: Form) -> Form:
    while f.op in SELECTING and f.args:
        f = f.args[0]
    return f


def _log_probability(file: File, f: Form) -> bool:
    f = _behind_selection(f)
    if f.op == "name":
        return LOGP.search(str(f.value)) is not None
    return f.op == "log_prob"
