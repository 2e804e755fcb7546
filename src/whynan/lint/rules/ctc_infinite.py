"""CTC loss that may be infinite

What it does
------------
Finds `nn.CTCLoss(...)` and `F.ctc_loss(...)` without `zero_infinity=True`.

Why
---
A target that is longer than its input (counting a blank between repeated letters) has no alignment: its loss is
inf, and the gradient of the whole batch NaN. One short clip with a long transcript is enough.

Bad
---
    import torch.nn as nn

    criterion = nn.CTCLoss(blank=0)

Good
----
    import torch.nn as nn

    criterion = nn.CTCLoss(blank=0, zero_infinity=True)

When it is safe
---------------
Where such pairs are filtered out of the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.rule import Hit

CODE = "WN508"
NAME = "ctc-without-zero-infinity"
CAUSES = ("indexing-or-padding",)
REMEDIES = ("other", "drop-bad-batch")
REPAIR = re.compile(r"ignore_nan|isfinite|isinf|isnan|nan_to_num")
CTC = ("torch.nn.CTCLoss", "torch.nn.functional.ctc_loss", "torch.ctc_loss")


def check(file: File) -> Iterator[Hit]:
    for call in file.calls:
        dotted = file.dotted(call.func) or ""
        if dotted not in CTC or any(k.arg in ("zero_infinity", None) for k in call.keywords):
            continue
        positional = 2 if dotted.endswith("CTCLoss") else 6
        owner = file.class_of(call) or file.function(call)
        if owner is not None and REPAIR.search(file.segment(owner)):
            continue  # what is not finite is looked for
        if len(call.args) <= positional:
            yield Hit(call, "A target longer than its input makes this loss inf and the batch's gradient NaN.")
