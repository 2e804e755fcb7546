"""Synthetic reports whose printed text is kept as snapshots: a rich one, a sparse one, and one full of awkward text."""

from __future__ import annotations

import math

from whynan.case.facts import (
    Birth,
    Cause,
    Elements,
    Evidence,
    PathStep,
    Rejected,
    Remedy,
    Report,
    Run,
    Site,
    Symptom,
    TensorFacts,
    Trial,
)

PATCH = """\
--- train.py
+++ train.py
@@ -60,3 +60,3 @@
     def forward(self, ids, lengths):
         summed = self.vectors(ids).sum(dim=1)
-        pooled = summed / lengths.unsqueeze(1)
+        pooled = summed / lengths.clamp(min=1).unsqueeze(1)
"""


def tensor(name: str, shape: tuple[int, ...], **facts) -> TensorFacts:
    numel = facts.pop("numel", math.prod(shape))
    return TensorFacts(name=name, shape=shape, dtype="torch.float32", device="cpu", numel=numel, **facts)


def complete() -> Report:
    """Everything known: mean pooling divides by the number of words, and one text has none."""
    ops = ("aten::addmm", "aten::relu", "aten::dropout", "aten::addmm", "aten::squeeze", "aten::sub", "aten::pow")
    return Report(
        verdict="nonfinite",
        run=Run(
            script="train.py", python="3.12.3", torch="2.13.0", device="cpu", steps=168, seconds=4.21, overhead=0.05
        ),
        symptom=Symptom(step=33, iteration=33, what="loss", value="nan"),
        birth=Birth(
            step=33,
            iteration=33,
            phase="forward",
            kind="nan",
            op="aten::div",
            api="torch.Tensor.__truediv__",
            file="train.py",
            line=61,
            end_line=61,
            column=17,
            end_column=46,
            source="        pooled = summed / lengths.unsqueeze(1)",
            expression="summed / lengths.unsqueeze(1)",
            function="forward",
            module="",
            inputs=(
                tensor("self", (16, 50), min=-9.31, max=8.8, absmax=9.31, zeros=50),
                tensor("other", (16, 1), min=0.0, max=14.0, absmax=14.0, zeros=1),
            ),
            outputs=(tensor("result", (16, 50), min=-3.1, max=2.9, absmax=3.1, nonfinite=50, nan=50),),
            elements=Elements(count=50, total=800, first=((3, 0), (3, 1), (3, 2), (3, 3))),
            rows=(3,),
            stack=(Site(file="train.py", line=75), Site(file="train.py", line=61)),
        ),
        path=(
            PathStep(op="aten::div", state="born", file="train.py", line=61, module="", absmax=3.1, phase="forward"),
            *(PathStep(op=op, state="carried", file="train.py", line=62, module="mlp") for op in ops),
            PathStep(op="aten::mse_loss", state="carried", file="train.py", line=75),
        ),
        history={"step": [30, 31, 32, 33], "loss": [0.41, 0.39, 0.4, math.nan], "grad norm": [1.1, 0.9, 1.3, math.nan]},
        causes=(
            Cause(
                class_="division-by-zero",
                level="proved",
                score=0.97,
                summary="The divisor is exactly 0 in one row: that text has no known word, so its length is 0.",
                evidence=(
                    Evidence(
                        what="the same op in float64",
                        measured="still NaN",
                        means="not a matter of range or precision",
                    ),
                    Evidence(
                        what="the step without row 3",
                        measured="finite for 50 steps",
                        means="nothing else is wrong with this step",
                    ),
                ),
            ),
            Cause(
                class_="indexing-or-padding", level="supported", score=0.4, summary="A length of 0 reached the model."
            ),
        ),
        remedies=(
            Remedy(
                class_="clamp",
                title="divide by at least 1",
                patch=PATCH,
                verified=True,
                trial=Trial(how="replay", steps=50, finite=True, loss_before=2.31, loss_after=0.88),
                safety="safe",
            ),
        ),
        rejected=(
            Rejected(class_="clip-gradients", why="tried for 50 steps: NaN again at step 33"),
            Rejected(class_="lower-learning-rate", why="tried at a tenth: NaN again at step 33"),
        ),
        notes=("The failing step was executed again and came out bit for bit the same.",),
        reproduced="bitwise",
    )


def sparse() -> Report:
    """Only noticed: no birth, no cause."""
    return Report(
        verdict="nonfinite",
        run=Run(script="loop.py", steps=12, seconds=0.4),
        symptom=Symptom(
            step=11, iteration=None, what="gradient", name="encoder.layers.0.self_attn.in_proj_weight", value="inf"
        ),
        notes=("The loop could not be executed again: it reads from a socket.",),
    )


def awkward() -> Report:
    """Text that looks like markup, escape codes or wide characters, a long line, and an Inf in an optimizer state."""
    line = "    損失 = torch.log(" + " + ".join(f"term_{i}[bold]" for i in range(16)) + ")"
    return Report(
        verdict="suspect",
        run=Run(script="träin [red].py", steps=3, seconds=75.0, rank=1, world_size=4),
        symptom=Symptom(step=3, iteration=6, what="exception", value="ValueError: \x1b[31mnot [b]finite[/b]\x07"),
        birth=Birth(
            step=3,
            iteration=6,
            phase="optimizer",
            kind="inf",
            op="aten::sqrt_",
            file="träin [red].py",
            line=7,
            source=line,
            column=len("    損失 = ".encode()),
            end_column=len(line.encode()),
            expression=line.strip()[5:],
            function="<module>",
            tensor="exp_avg_sq of [layer]",
            inputs=(tensor("self", (), numel=1, value=math.inf, nonfinite=1, posinf=1),),
            note="The state overflowed <i>before</i> this step.",
        ),
        remedies=(
            Remedy(
                class_="change-optimizer",
                title="keep the second moment in float32",
                advice="No patch: the optimizer is not in your file.",
            ),
        ),
    )


ALL = {"complete": complete, "sparse": sparse, "awkward": awkward}
