"""The initialization that suits each layer, drawn for one step and put back, and as code.

Matrices before a rectifier: He et al. (2015), eq. 10; others: Glorot and Bengio (2010), eq. 16. Recurrent matrices:
orthogonal (Saxe et al. 2014). An embedding that is also the output matrix: N(0, 1/dim), so that logits have unit scale.
Layers whose weight is made from something else (parametrizations, weight_norm) are left as they are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from whynan.case.preflight import Layer
from whynan.preflight.layers import LayerProbe, fan_in
from whynan.replay.trace import Trace
from whynan.watch.attempts import Attempt, Outcome

if TYPE_CHECKING:
    from whynan.watch.snapshot import Snapshot

MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)

KAIMING, XAVIER = 'nn.init.kaiming_normal_(nonlinearity="relu")', "nn.init.xavier_uniform_"
ORTHOGONAL, TIED = "nn.init.orthogonal_", "nn.init.normal_(std=dim**-0.5)"
_RECTIFYING = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu", "prelu", "_prelu_kernel", "threshold", "mish"})
_PASSING = ("native_batch_norm", "native_layer_norm", "native_group_norm", "add")


def rules_of(models: Iterable[nn.Module], trace: Trace) -> dict[str, str]:
    """The rule that suits each layer, by the op that reads what it gives: a rectifier wants Kaiming's."""
    rules = {}
    for model in models:
        shared = _tied(model)
        for name, module in model.named_modules():
            if (rule := _rule(module, shared)) is not None:
                rules[name] = rule
    made: dict[int, str] = {}  # memory -> the layer that wrote it last
    for record in trace.records:
        if record.phase != "forward":
            continue
        base = record.plan.base.removesuffix("_")
        for ref in record.inputs:
            layer = made.get(ref.storage)
            if layer is not None and base in _RECTIFYING:
                rules[layer] = KAIMING
        for ref in record.outputs:
            if record.module is not None and rules.get(record.module) in (XAVIER, KAIMING):
                made[ref.storage] = record.module
            elif base not in _PASSING:  # a rectifier behind a norm or a sum is read as if it stood behind the matrix
                made.pop(ref.storage, None)
    return rules


def _rule(module: nn.Module, shared: set[int]) -> str | None:
    weight = module._parameters.get("weight")
    if isinstance(module, nn.Embedding):
        return TIED if weight is not None and id(weight) in shared else None
    if isinstance(module, MATRICES):
        return XAVIER if weight is not None and not is_lazy(weight) and id(weight) not in shared else None
    if isinstance(module, nn.MultiheadAttention):
        return XAVIER
    return ORTHOGONAL if isinstance(module, RECURRENT) else None


def _tied(model: nn.Module) -> set[int]:
    """Embedding weights that another module uses as well."""
    owners: dict[int, int] = {}
    for module in model.modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            owners[id(weight)] = owners.get(id(weight), 0) + 1
    tables = (m._parameters.get("weight") for m in model.modules() if isinstance(m, nn.Embedding))
    return {id(weight) for weight in tables if weight is not None and owners[id(weight)] > 1}


@contextlib.contextmanager
def initialised_as_recommended(models: Iterable[nn.Module], rules: dict[str, str]) -> Iterator[None]:
    """Every layer drawn again by its rule, biases 0; put back afterwards. Draws from a generator of its own."""
    random = torch.Generator().manual_seed(0)
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    with torch.no_grad():
        for model in models:
            modules = dict(model.named_modules())
            for name, rule in rules.items():
                if (module := modules.get(name)) is None:
                    continue
                for parameter in module.parameters(recurse=False):
                    kept.setdefault(id(parameter), (parameter, parameter.detach().clone()))
                _draw(module, rule, random)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in kept.values():
                parameter.copy_(values)


def step_redrawn(
    rules: dict[str, str], models: list[nn.Module], probe: LayerProbe, snapshot: Snapshot, until: int
) -> Generator[Attempt, Outcome, None]:
    """The user's step again with the recommended initialization, under `probe`."""
    if not rules:
        return
    with contextlib.ExitStack() as stack:

        @contextlib.contextmanager
        def around(index: int) -> Iterator[None]:
            with probe:
                yield

        def prepare() -> None:
            stack.enter_context(initialised_as_recommended(models, rules))

        yield Attempt(snapshot=snapshot, until=until, prepare=prepare, around=around, stop_at_symptom=False)


def _draw(module: nn.Module, rule: str, random: torch.Generator) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.dim() < 2:
            if "bias" in name:
                parameter.zero_()
        elif rule == ORTHOGONAL and "_hh" in name:
            for part in parameter.split(parameter.shape[1]):  # one square matrix for each gate
                part.copy_(torch.linalg.qr(torch.randn(part.shape, generator=random))[0])
        elif rule == TIED:
            parameter.copy_(torch.randn(parameter.shape, generator=random) / math.sqrt(parameter.shape[1]))
        else:
            inputs = fan_in(module, parameter)
            outputs = parameter.numel() // max(1, inputs)
            variance = 2.0 / inputs if rule == KAIMING else 2.0 / (inputs + outputs)
            parameter.copy_(torch.randn(parameter.shape, generator=random) * math.sqrt(variance))


def in_code(layers: tuple[Layer, ...]) -> str:
    """The recommendation for the layers of a model, to be pasted behind its construction."""
    by_rule: dict[str, list[str]] = {}
    for layer in layers:
        if layer.recommended is not None:
            kinds = by_rule.setdefault(layer.recommended, [])
            if layer.kind not in kinds and hasattr(nn, layer.kind):
                kinds.append(layer.kind)
    matrices = [k for rule in (KAIMING, XAVIER) for k in by_rule.get(rule, []) if k != "MultiheadAttention"]
    matrices = list(dict.fromkeys(matrices)) or ["Linear"]
    call = 'kaiming_normal_(m.weight, nonlinearity="relu")' if by_rule.get(KAIMING) else "xavier_uniform_(m.weight)"
    lines = [
        "for m in model.modules():", f"    if isinstance(m, {_types(matrices)}):", f"        nn.init.{call}",
        "        if m.bias is not None:", "            nn.init.zeros_(m.bias)",
    ]  # fmt: skip
    if recurrent := by_rule.get(ORTHOGONAL):
        lines += [f"    elif isinstance(m, {_types(recurrent)}):",
                  "        for name, p in m.named_parameters():",
                  '            if "weight_hh" in name:', "                nn.init.orthogonal_(p)"]  # fmt: skip
    if by_rule.get(TIED):
        lines += ["    elif isinstance(m, nn.Embedding):",
                  "        nn.init.normal_(m.weight, std=m.embedding_dim**-0.5)"]  # fmt: skip
    return "\n".join(lines)


def _types(kinds: list[str]) -> str:
    named = ", ".join(f"nn.{kind}" for kind in kinds)
    return f"({named})" if len(kinds) > 1 else named
