"""Mean cross-entropy with ignored targets

What it does
------------
Finds `F.cross_entropy(..., ignore_index=...)` and `nn.CrossEntropyLoss(ignore_index=...)` that average. A preview
rule: most training code has it, and lives with it.

Why
---
Where every target of a batch is ignored the mean is 0 / 0 = NaN (the gradient stays 0): a prompt that fills the
window, a crop without labels.

Bad
---
    import torch.nn.functional as F

    def loss(logits, labels):
        return F.cross_entropy(logits, labels, ignore_index=-100)

Good
----
    import torch.nn.functional as F

    def loss(logits, labels):
        total = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
        return total / (labels != -100).sum().clamp(min=1)

When it is safe
---------------
Where every batch is known to keep a target.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN515"
NAME = "all-targets-ignored"
CAUSES = ("all-targets-ignored", "empty-reduction")
REMEDIES = ("guard-empty", "drop-bad-batch")
PREVIEW = True


LOSSES = (
    "torch.nn.functional.cross_entropy",
    "torch.nn.functional.nll_loss",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.NLLLoss",
)


def check(file: File) -> Iterator[Hit]:
    for call in file.calls:
        given = {k.arg for k in call.keywords}
        if "ignore_index" in given and "reduction" not in given and file.dotted(call.func) in LOSSES:
            yield Hit(call, "NaN where every target of the batch is ignored.")
