"""Reports for the page: one with everything in it, and any report with every free text replaced by hostile markup."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args, get_origin

from whynan.case.facts import (
    Alert,
    Batch,
    Birth,
    Cause,
    Elements,
    Evidence,
    Experiment,
    Histogram,
    Layers,
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
from whynan.case.serial import hints

STEPS = 187
PATCH = """\
--- a/train.py
+++ b/train.py
@@ -50,7 +50,7 @@
     \"\"\"Binary cross entropy per topic; rare topics count more.\"\"\"
     probability = torch.sigmoid(logits)
     present = weight * tags * torch.log(probability)
-    absent = (1 - tags) * torch.log(1 - probability)
+    absent = (1 - tags) * nn.functional.logsigmoid(-logits)
     return -(present + absent).mean()
"""
LINE = "    absent = (1 - tags) * torch.log(1 - probability)"
LAYERS = (
    "embedding",
    *(f"encoder.layers.{i}.{part}" for i in range(4) for part in ("self_attn", "linear1", "linear2")),
)
HOSTILE = "</script><script>attack()</script><!--<img src=x onerror=attack()>\"'`&{{7*7}}\u2028\x1b[31m"


def complete() -> Report:
    """A tagger whose log meets 1 - sigmoid(x) = 0, with every field of a report filled."""
    return Report(
        verdict="nonfinite",
        run=Run(
            script="train.py",
            argv=("--epochs", "3"),
            python="3.12.3",
            torch="2.13.0",
            device="cpu",
            steps=STEPS - 1,
            seconds=3.94,
            overhead=0.096,
            environment={"platform": "Linux x86_64", "threads": "1", "matmul precision": "highest"},
        ),
        symptom=Symptom(step=STEPS - 1, iteration=STEPS - 1, what="loss", value="nan"),
        birth=_birth(),
        path=_path(),
        history=history(STEPS),
        causes=_causes(),
        experiments=_experiments(),
        layers=_layers(),
        batch=(_batch(),),
        alerts=(
            Alert(step=120, kind="growing", message="the largest logit doubled in 40 steps", name="head", value=9.1),
            Alert(step=171, kind="underflow", message="`1 - probability` is below 1e-6 for 4 samples", value=2.7e-7),
        ),
        actions=(
            Alert(step=150, kind="skipped", message="a step with a gradient norm of 40 was left out", value=40.0),
        ),
        remedies=_remedies(),
        rejected=(
            Rejected(
                class_="lower-learning-rate", why="a tenth: stays finite, but what caused the failure is still there"
            ),
            Rejected(class_="clip-gradients", why="norm 1: not finite again at step 186"),
        ),
        notes=(
            "The failing step was executed again and came out bit for bit the same.",
            "The operands were made by `sigmoid`.",
        ),
        reproduced="bitwise",
    )


def history(steps: int) -> dict[str, list[Any]]:
    """Series with NaN at the end, an Inf, a zero, and growth over many decades."""
    at = list(range(steps))
    loss = [1.6 * math.exp(-i / 70) + 0.1 * abs(math.sin(i * 1.7)) + 0.04 for i in at[:-1]] + [math.nan]
    grad = [0.8 + 0.3 * math.sin(i / 3) if i % 61 else 0.0 for i in at[:-1]]
    grad[steps * 2 // 3] = math.inf
    return {
        "loss_step": at,
        "loss": loss,
        "step": at[:-1],
        "grad_norm": [10 ** (4 * g - 3) if math.isfinite(g) and g else g for g in grad],
        "param_step": at[:-1:2],
        "param_norm": [63.35 + 0.1 * (i / steps) ** 2 for i in at[:-1:2]],
        "update_ratio": [1e-3 * (1 + 0.5 * math.sin(i / 9)) for i in at[:-1]],
        "absmax_step": at,
        "absmax": [3.0 * math.exp(min(i / 2.6, 80)) for i in at[:-1]] + [math.inf],
        "lr": [5e-4 * min(1, i / 50) for i in at[:-1]],
    }


def hostile(value: Any, kind: Any = None) -> Any:
    """`value` with every text replaced that the schema leaves free."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kinds = hints(type(value))
        return dataclasses.replace(
            value, **{f.name: hostile(getattr(value, f.name), kinds[f.name]) for f in dataclasses.fields(value)}
        )
    if isinstance(value, dict):
        if any(isinstance(item, list) for item in value.values()):
            return {**value, HOSTILE: [1.0, math.nan, 3.0]}
        return {f"{HOSTILE}{i}": HOSTILE for i, _ in enumerate(value)}
    if isinstance(value, tuple | list):
        inner = next((k for k in get_args(kind) if k is not Ellipsis), None)
        return type(value)(hostile(item, inner) for item in value)
    free = not _literal(kind) and not (isinstance(value, str) and value.startswith("whynan.report/"))
    return HOSTILE if isinstance(value, str) and free else value


def _literal(kind: Any) -> bool:
    return get_origin(kind) is Literal or any(_literal(k) for k in get_args(kind) if get_origin(kind) is not tuple)


def _tensor(name: str, **facts: Any) -> TensorFacts:
    return TensorFacts(name=name, shape=(32, 5), dtype="float32", device="cpu", numel=160, **facts)


def _birth() -> Birth:
    return Birth(
        step=STEPS - 1,
        iteration=STEPS - 1,
        phase="forward",
        kind="inf",
        op="aten::log",
        api="torch.log",
        file="train.py",
        line=53,
        end_line=53,
        column=26,
        end_column=52,
        source=LINE,
        expression="torch.log(1 - probability)",
        function="weighted_bce",
        module="",
        inputs=(_tensor("self", min=0.0, max=0.998, mean=0.58, std=0.424, absmax=0.998, zeros=1),),
        outputs=(_tensor("result", min=-10.5, max=-0.002, mean=-1.91, std=2.92, absmax=10.5, nonfinite=1, neginf=1),),
        elements=Elements(count=1, total=160, first=((20, 3),)),
        rows=(20,),
        stack=(
            Site(file="train.py", line=84, function="<module>", source="    main()"),
            Site(
                file="train.py",
                line=71,
                function="main",
                source="        loss = weighted_bce(logits, tags[rows], weight)",
            ),
            Site(file="train.py", line=53, function="weighted_bce", source=LINE),
        ),
        histograms=(
            Histogram(
                name="self",
                axis="symlog",
                bounds=(0.0, *(10.0**k for k in range(-6, 1))),
                counts=(1, 0, 4, 9, 22, 41, 83),
                zeros=1,
                edge=0.0,
                edge_label="log needs more than 0",
                beyond="below",
            ),
            Histogram(
                name="exponent",
                axis="linear",
                bounds=tuple(float(b) for b in range(-40, 101, 10)),
                counts=(1, 2, 4, 9, 17, 30, 38, 22, 14, 8, 6, 4, 3, 2),
                edge=88.72,
                edge_label="exp overflows beyond 88.72",
                beyond="above",
            ),
        ),
        note="The argument is `1 - sigmoid(x)`, which is 0 in float32 for x above 16.6.",
    )


def _path() -> tuple[PathStep, ...]:
    def step(
        op: str, line: int, source: str, inputs: tuple[int, ...], module: str | None = None, **facts: Any
    ) -> PathStep:
        facts = {"state": "finite", "min": -1.0, "max": 1.0, "absmax": 1.0, "shape": (32, 5), "total": 160} | facts
        return PathStep(
            op=f"aten::{op}", file="train.py", line=line, source=source, expression=source.strip().split("= ")[-1],
            phase="forward", dtype="float32", inputs=inputs, module=module, **facts,
        )  # fmt: skip

    encode = "        hidden = self.encoder(self.embedding(tickets) + self.position)"
    blocks = [
        step("add", 44, encode, (i - 1, max(0, i - 2)), f"encoder.layers.{i // 4}", absmax=3.8 + i, max=3.8 + i)
        for i in range(1, 9)
    ]
    return (
        step("embedding", 44, encode, (), "embedding", absmax=3.84, shape=(32, 24, 64), total=49152),
        *blocks,
        step("masked_fill", 45, "        hidden = hidden.masked_fill(padding, 0.0)", (8,), ""),
        step("full", 52, "    floor = full_like(x, -inf)", (), state="placed", nonfinite=160, absmax=math.inf),
        step("logsumexp", 46, "        return self.head(hidden)", (9, 10), "head", state="absorbed", absmax=17.0),
        step("sigmoid", 51, "    probability = torch.sigmoid(logits)", (11,)),
        step("rsub", 53, LINE, (12,), absmax=0.998),
        step("log", 53, LINE, (13,), state="born", nonfinite=1, absmax=math.inf, max=-0.002, min=-10.5),
        step("mul", 53, LINE, (14, 12), state="carried", nonfinite=1, absmax=math.nan),
        step("mean", 54, "    -absent.mean()", (15,), state="carried", nonfinite=1, total=1, shape=(), absmax=math.nan),
    )  # fmt: skip


def _causes() -> tuple[Cause, ...]:
    return (
        Cause(
            class_="log-of-zero",
            name="log-of-underflow",
            level="proved",
            score=0.98,
            summary="`torch.log(1 - probability)` takes the logarithm of 0, the result of a sigmoid that saturated.",
            evidence=(
                Evidence(
                    what="the producing ops again in float64", measured="4.04e-08", means="the zero is an underflow"
                ),
                Evidence(what="the same iterations, unchanged", measured="failed again", means="it is reproducible"),
            ),
        ),
        Cause(class_="exploding-activations", level="guess", score=0.2, summary="The logits grow without a bound."),
    )


def _experiments() -> tuple[Experiment, ...]:
    return (
        Experiment(
            name="inside-the-domain",
            changed="with the argument of `torch.log` kept inside its domain",
            cured=True,
            what="all finite, 20 iterations beyond the failure",
            steps=206,
            loss_before=0.1503,
            loss_after=0.0804,
        ),
        Experiment(
            name="control", changed="with nothing changed", cured=False, what="failed again, in the same op", steps=186
        ),
        Experiment(name="float64", changed="in float64", cured=False, usable=False, what="the model is compiled"),
    )


def _layers() -> tuple[Layers, ...]:
    steps = tuple(range(STEPS - 36, STEPS))
    grown = tuple(
        tuple(
            None if j < 2 and i > 9 else math.nan if j == len(steps) - 1 and i > 5 else 1e-3 * math.exp(j / 4 + i / 2)
            for j, _ in enumerate(steps)
        )
        for i, _ in enumerate(LAYERS)
    )
    return (
        Layers(what="gradient norm", names=LAYERS, steps=steps, values=grown),
        Layers(
            what="update ratio", names=LAYERS, steps=steps, values=tuple(tuple(1e-3 for _ in steps) for _ in LAYERS)
        ),
    )


def _batch() -> Batch:
    return Batch(
        name="tickets",
        shape=(32, 24),
        dtype="float32",
        row_absmax=tuple(1.0 + 40 * abs(math.sin(i * 2.1)) for i in range(32)),
        row_nonfinite=tuple(3 if i == 7 else 0 for i in range(32)),
        column_absmax=tuple(0.1 * 1.5**i for i in range(24)),
        column_nonfinite=tuple(1 if i in (2, 3) else 0 for i in range(24)),
        indices=tuple((i * 37) % 2000 for i in range(32)),
    )


def _remedies() -> tuple[Remedy, ...]:
    trial = Trial(how="rerun", steps=400, finite=True, loss_before=0.147, loss_after=0.00315)
    return (
        Remedy(
            class_="stable-formulation",
            title="log(1 - sigmoid(x)): `logsigmoid(-x)`",
            patch=PATCH,
            verified=True,
            trial=trial,
            safety="safe",
        ),
        Remedy(
            class_="add-eps",
            title="add 1e-8 to `1 - probability`",
            patch=PATCH.replace("nn.functional.logsigmoid(-logits)", "torch.log(1 - probability + 1e-8)"),
            verified=True,
            trial=trial,
        ),
        Remedy(class_="advice", title="normalise the inputs", advice="The features of column 2 are of size 1e6."),
    )
