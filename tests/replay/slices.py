"""Small steps that fail, and their slices."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from replay.observing import find
from whynan.replay.program import Program
from whynan.replay.slicing import slice_of


def log_of_softmax() -> torch.Tensor:
    x = torch.tensor([[1.0, 2.0, 300.0], [0.5, 1.0, 1.5]])
    return torch.log(torch.softmax(x @ torch.eye(3), -1)).sum()


def root_at_zero() -> torch.Tensor:
    w = torch.ones(3, 4, requires_grad=True)
    d = torch.zeros(5, 4) @ w.t()
    (d * d).sum(1).sqrt().mean().backward()
    return w.grad


def where_trap() -> torch.Tensor:
    v = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    n = (v * v).sum(-1)
    torch.where(n > 0, torch.sqrt(n), torch.zeros(())).sum().backward()
    return v.grad


def adam_without_eps() -> torch.Tensor:
    p = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([p, nn.Parameter(torch.ones(2))], eps=0.0, foreach=True)
    (p * 0).sum().backward()
    optimizer.step()
    return p


def half_product() -> torch.Tensor:
    a, b = torch.full((16, 32), 40.0).half(), torch.full((32, 8), 60.0).half()
    return (a @ b).float().sum()


def masked_softmax() -> torch.Tensor:
    mask = torch.tensor([[True, False], [False, False]])
    return torch.softmax(torch.zeros(2, 2).masked_fill(~mask, -torch.inf), -1).sum()


def singular_vectors() -> torch.Tensor:
    a = torch.eye(4, requires_grad=True)
    u, _, _ = torch.linalg.svd(a * 2)
    (u * torch.arange(16.0).reshape(4, 4)).sum().backward()
    return a.grad


def layer_in_place() -> torch.Tensor:
    x = torch.arange(6.0).reshape(2, 3)
    x[0].zero_()
    x.div_(x.sum(1, keepdim=True))
    return x.sum()


def dropped_out() -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.dropout(torch.ones(64), 0.5, True)
    return torch.log(x).sum()


STEPS: dict[str, Callable[[], torch.Tensor]] = {
    f.__name__: f
    for f in (
        log_of_softmax,
        root_at_zero,
        where_trap,
        adam_without_eps,
        half_product,
        masked_softmax,
        singular_vectors,
        layer_in_place,
        dropped_out,
    )  # fmt: skip
}


def program_of(step: Callable[[], torch.Tensor], **options: int) -> Program:
    finding, trace = find(step)
    program = slice_of(trace, finding, **options)
    assert program is not None
    return program
