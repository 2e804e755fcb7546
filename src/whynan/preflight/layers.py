"""The scale of values, gradients and weights at every layer, in one step.

    with LayerProbe(model) as probe:
        loss(model(x), y).backward()
    layers = probe.layers()

A layer is a module that owns parameters, or a nonlinearity. Looking is done by module hooks and changes no number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from whynan.case.preflight import Headroom, Layer
from whynan.preflight.data.scan import key_of
from whynan.replay.names import flatten
from whynan.tensors.look import unobserved

RECTIFIERS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.PReLU, nn.Softplus, nn.Mish, nn.ReLU6, nn.Hardswish)
SATURATING = (nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Softsign)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
ACTIVATIONS = (*RECTIFIERS, *SATURATING)


@dataclass
class Seen:
    """What one module gave in one step."""

    module: nn.Module
    std: float | None = None
    absmax: float = 0.0
    smallest: float | None = None
    dead: float | None = None
    gradient_absmax: float | None = None
    gradient_smallest: float | None = None
    calls: int = 0
    order: int = 0
    gradient_norm: float | None = None  # of its parameters
    weight_std: float | None = None
    gain: float | None = None


@dataclass(frozen=True)
class LookUp:
    """The indices that an embedding was given."""

    rows: int
    dim: int
    low: int
    high: int
    indices: tuple[int, int]  # `key_of` the tensor


class LayerProbe:
    """Context manager; every module's outputs and their gradients are looked at while it is active."""

    def __init__(self, model: nn.Module | Iterable[nn.Module]) -> None:
        roots = [model] if isinstance(model, nn.Module) else list(model)
        self.names: dict[int, str] = {}
        self.seen: dict[int, Seen] = {}
        self.looked_up: dict[str, LookUp] = {}
        self._modules: list[nn.Module] = []
        for i, root in enumerate(roots):
            for name, module in root.named_modules():
                if _is_layer(module) and id(module) not in self.names:
                    prefix = f"model{i}." if len(roots) > 1 else ""
                    self.names[id(module)] = prefix + name or type(module).__name__
                    self._modules.append(module)
        self._handles: list[Any] = []
        self._weights: dict[int, tuple[float | None, float | None]] = {}  # std and gain, before the step
        self._grads: dict[int, float] = {}  # norms

    def __enter__(self) -> LayerProbe:
        self._handles = [m.register_forward_hook(self._forward, always_call=False) for m in self._modules]
        tables = [m for m in self._modules if isinstance(m, EMBEDDINGS)]
        self._handles += [m.register_forward_pre_hook(self._look_up) for m in tables]
        self._grads.clear()
        with torch.no_grad():
            for module in self._modules:
                own = [p for p in _own(module) if not is_lazy(p)]
                if own:
                    self._weights[id(module)] = _weight_scale(module)
                trained = (p for p in own if p.requires_grad)
                self._handles += [p.register_post_accumulate_grad_hook(self._accumulated) for p in trained]
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for seen in self.seen.values():
            with torch.no_grad():
                known = self._weights.get(id(seen.module))
                seen.weight_std, seen.gain = known if known is not None else _weight_scale(seen.module)
                for parameter in _own(seen.module):
                    if id(parameter) not in self._grads:  # it had no shape yet
                        self._accumulated(parameter)
            norms = [self._grads[id(p)] for p in _own(seen.module) if id(p) in self._grads]
            seen.gradient_norm = math.hypot(*norms) if norms else None

    def _accumulated(self, parameter: Tensor) -> None:
        """Before anything clips, unscales or clears it."""
        grad = parameter.grad
        if grad is not None and grad.layout is torch.strided:
            with unobserved(), torch.no_grad():
                self._grads[id(parameter)] = grad.detach().float().norm().item()

    def _look_up(self, module: nn.Module, inputs: Any) -> None:
        indices = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if indices is None or not _is_plain(indices) or indices.is_floating_point() or not indices.numel():
            return
        with unobserved(), torch.no_grad():
            low, high = int(indices.min()), int(indices.max())
        rows, dim = module.weight.shape  # type: ignore[misc]
        self.looked_up[self.names[id(module)]] = LookUp(rows, dim, low, high, key_of(indices))

    def _forward(self, module: nn.Module, inputs: Any, output: Any) -> None:
        seen = self.seen.setdefault(id(module), Seen(module, order=len(self.seen)))
        seen.calls += 1
        given = [t for _, t in flatten(output) if _is_plain(t) and t.is_floating_point() and t.numel()]
        if not given:
            return
        # the first tensor is the layer's output, the others are states; one without dimensions is a loss
        tensor = next((t for t in given if t.dim()), given[0])
        with unobserved(), torch.no_grad():
            _look(seen, tensor.detach(), isinstance(module, ACTIVATIONS))
        if tensor.requires_grad:
            self._handles.append(tensor.register_hook(lambda grad: _gradient(seen, grad)))

    # what was seen ---------------------------------------------------------------------------------------------

    def layers(self) -> tuple[Layer, ...]:
        """In the order in which they ran first."""
        return tuple(self._layer(seen) for seen in sorted(self.seen.values(), key=lambda s: s.order))

    def headroom(self) -> tuple[Headroom, ...]:
        """What half precision would do to each layer's values and gradients."""
        found = []
        for seen in sorted(self.seen.values(), key=lambda s: s.order):
            found.append(
                Headroom(
                    module=self.names[id(seen.module)],
                    absmax=seen.absmax,
                    smallest=seen.smallest,
                    gradient_absmax=seen.gradient_absmax,
                    gradient_smallest=seen.gradient_smallest,
                    float16=fits(seen, torch.float16),
                    bfloat16=fits(seen, torch.bfloat16),
                )
            )
        return tuple(found)

    def _layer(self, seen: Seen) -> Layer:
        return Layer(
            name=self.names[id(seen.module)],
            kind=type(seen.module).__name__,
            activation_std=seen.std,
            activation_absmax=seen.absmax if seen.std is not None else None,
            dead=seen.dead,
            gradient_norm=seen.gradient_norm,
            weight_std=seen.weight_std,
            gain=seen.gain,
        )


def fits(seen: Seen, dtype: torch.dtype) -> str:
    """Whether values and gradients of a layer are within the range of `dtype`, subnormal numbers included.

    Small gradients count as lost where the largest of them vanishes: single tiny entries always do.
    """
    info = torch.finfo(dtype)
    largest = max(seen.absmax, seen.gradient_absmax or 0.0)
    lost = []
    if largest > info.max:
        lost.append("overflows")
    if seen.gradient_absmax is not None and 0 < seen.gradient_absmax < info.smallest_normal * info.eps:
        lost.append("underflows")
    return " and ".join(lost) or "fits"


def fan_in(module: nn.Module, weight: Tensor) -> int:
    """Number of inputs that are summed for one output (He et al. 2015, section 2.2)."""
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return weight.shape[0] // module.groups * math.prod(weight.shape[2:])
    return max(1, math.prod(weight.shape[1:]))


def _weight(module: nn.Module) -> Tensor | None:
    """The matrix of a layer; None for embeddings and normalization, which do not sum over inputs."""
    if isinstance(module, EMBEDDINGS):
        return None
    if parametrize.is_parametrized(module, "weight"):
        made = module.weight
        return made.detach() if isinstance(made, Tensor) and made.dim() >= 2 else None
    matrices = [p for p in module.parameters(recurse=False) if not is_lazy(p) and p.dim() >= 2]
    return matrices[0].detach() if matrices else None


def _is_plain(tensor: Tensor) -> bool:
    """Has it values to look at: dense, and not wrapped by functorch (vmap, grad)?"""
    return tensor.layout is torch.strided and not tensor.is_meta and not is_functorch_wrapped_tensor(tensor)


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, parametrize.ParametrizationList):
        return False  # it belongs to the layer whose weight it makes
    own = any(True for _ in module.parameters(recurse=False))
    return own or isinstance(module, ACTIVATIONS) or parametrize.is_parametrized(module)


def _look(seen: Seen, values: Tensor, activation: bool) -> None:
    values = values.float()
    finite = values[torch.isfinite(values)]
    if not finite.numel():
        return
    if seen.std is None:
        seen.std = finite.std().item() if finite.numel() > 1 else 0.0
        if activation and values.dim() > 1 and values.shape[0] > 1:
            units = values.reshape(values.shape[0], -1) if values.dim() == 2 else values.transpose(0, 1).flatten(1).T
            seen.dead = (units == 0).all(0).double().mean().item()
    size = finite.abs()
    seen.absmax = max(seen.absmax, size.max().item())
    nonzero = size[size > 0]
    if nonzero.numel():
        small = nonzero.min().item()
        seen.smallest = small if seen.smallest is None else min(seen.smallest, small)


def _own(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that belong to a layer, those that its weight is made from included."""
    return list(module.parameters(recurse=parametrize.is_parametrized(module)))


def _weight_scale(module: nn.Module) -> tuple[float | None, float | None]:
    """(std, std * sqrt(fan_in)) of the matrix of a layer."""
    weight = _weight(module)
    if weight is None or weight.numel() < 2:
        return None, None
    std = weight.float().std().item()
    return std, std * math.sqrt(fan_in(module, weight))


def _gradient(seen: Seen, grad: Tensor) -> None:
    with unobserved(), torch.no_grad():
        size = grad.detach().float().abs()
        size = size[torch.isfinite(size)]
        if not size.numel():
            return
        seen.gradient_absmax = max(seen.gradient_absmax or 0.0, size.max().item())
        nonzero = size[size > 0]
        if nonzero.numel():
            small = nonzero.min().item()
            seen.gradient_smallest = small if seen.gradient_smallest is None else min(seen.gradient_smallest, small)
