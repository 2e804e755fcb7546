"""Which samples of the batch a birth belongs to, also where the batch is not the first axis any more."""

from __future__ import annotations

import math

import torch
from torch import nn

from replay.observing import find
from whynan.replay.births import birth_from


def rows(step, batch_size, roots=None):
    finding, trace = find(step, roots)
    return birth_from(finding, trace, 0, 0, batch_size=batch_size).rows


def test_read_off_the_first_axis():
    assert rows(lambda: torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, -1.0]]).log().sum(), 3) == (1, 2)


def test_heads_folded_into_the_batch():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    pad = torch.zeros(5, 3, dtype=torch.bool)
    pad[3] = True
    assert rows(lambda: attention(*[torch.randn(5, 3, 8)] * 3, key_padding_mask=pad)[0].sum(), 5) == (3,)


def test_time_before_batch():
    batch = torch.rand(4, 6, 2) + 1
    batch[2, 5] = 0.0
    assert rows(lambda: batch.transpose(0, 1).contiguous().sum(-1).log().sum(), 4) == (2,)


def test_after_a_reduction_over_tokens():
    tokens = torch.tensor([[1, 1], [0, 0], [1, 1]])
    embed = nn.Embedding(2, 3)
    nn.init.ones_(embed.weight)
    embed.weight.data[0] = 0.0

    def step():
        pooled = embed(tokens).sum((1, 2))  # one number a sample
        return (1 / pooled.reshape(1, 3)).sum()

    assert rows(step, 3) == (1,)


def test_gradient_is_led_back_through_the_forward_op():
    batch = torch.tensor([[1.0], [0.0], [2.0], [3.0]])
    weight = nn.Parameter(torch.ones(1))

    def step():
        (batch * weight).t().sqrt().sum().backward()
        return weight.grad

    assert rows(step, 4) == (1,)


def test_all_samples_together_are_none_in_particular():
    batch = torch.rand(4, 3)
    assert rows(lambda: (batch.sum() * 0).log(), 4) == ()


def test_bad_rows_of_the_batch_itself():
    batch = torch.rand(4, 3)
    batch[2, 0] = math.nan
    finding, trace = find(lambda: (batch * 2).sum())
    assert birth_from(finding, trace, 0, 0, batch_size=4).rows == (2,)
