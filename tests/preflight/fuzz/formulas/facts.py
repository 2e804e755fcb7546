"""The hand-written formulas of the table of op conditions (tests/replay/op_table.py), as functions to search."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def log_softmax(x):
    return torch.log(torch.softmax(x, -1))


def one_hot_times_log_softmax(onehot, x):
    return -(onehot * torch.log(torch.softmax(x, -1))).sum()


def exp_over_sum(x):
    return torch.exp(x) / torch.exp(x).sum()


def log_of_sum_of_exp(x):
    return torch.log(torch.exp(x).sum())


def log_sigmoid(x):
    return torch.log(torch.sigmoid(x))


def log_one_minus_sigmoid(x):
    return torch.log(1 - torch.sigmoid(x))


def log_one_plus_exp(x):
    return torch.log(1 + torch.exp(x))


def log_cosh(x):
    return torch.log(torch.cosh(x))


def sigmoid_by_hand(x):
    return 1 / (1 + torch.exp(-x))


def sigmoid_of_exp(x):
    return torch.exp(x) / (1 + torch.exp(x))


def tanh_by_hand(x):
    return (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))


def swish_by_hand(x):
    return x / (1 + torch.exp(-x))


def where_log(x):
    return torch.where(x > 0, torch.log(x), torch.zeros_like(x))


def where_sqrt(x):
    return torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x))


def where_reciprocal(x):
    return torch.where(x != 0, 1 / x, torch.zeros_like(x))


def where_exp(x):
    return torch.where(x < 50, torch.exp(x), x)


def where_srgb(x):
    return torch.where(x > 0.0031308, 1.055 * x ** (1 / 2.4) - 0.055, 12.92 * x)


def log_times_mask(x, mask):
    return x.log() * mask


def log_then_masked_fill(x):
    return torch.log(x).masked_fill(x <= 0, 0.0)


def nan_to_num_of_sqrt(x):
    return torch.nan_to_num(torch.sqrt(x))


def log_then_clamp(x):
    return torch.log(x).clamp(min=-10)


def sqrt_plus_eps(x):
    return torch.sqrt(x) + 1e-8


def square_to_the_half(x):
    return (x**2) ** 0.5


def sqrt_of_abs(x):
    return torch.sqrt(x.abs())


def over_abs(x):
    return x / x.abs()


def over_norm(x):
    return x / x.norm()


def magnitude(re, im):
    return torch.sqrt(re**2 + im**2)


def p_log_p(p):
    return -(p * torch.log(p)).sum()


def focal_with_small_gamma(p):
    return ((1 - p) ** 0.5 * -torch.log(p)).sum()


def gumbel(u):
    return -torch.log(-torch.log(u))


def box_muller(u):
    return torch.sqrt(-2 * torch.log(u))


def over_std(x):
    return (x - x.mean()) / x.std()


def over_std_plus_eps(x):
    return (x - x.mean()) / (x.std() + 1e-8)


def min_max(x):
    return (x - x.min()) / (x.max() - x.min())


def log_of_variance(x):
    return torch.log(x.var())


def dice(a, b):
    return 2 * (a * b).sum() / (a.sum() + b.sum())


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def vae_kl(mu, logvar):
    return (-0.5 * (1 + logvar - mu**2 - torch.exp(logvar))).sum()


def bce_by_hand(p, y):
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def kl_by_hand(p, q):
    return (p * torch.log(p / q)).sum()


def sqrt_of_variance(x):
    return torch.sqrt(x.var())


def sqrt_of_sum_of_squares(x):
    return torch.sqrt((x * x).sum())


def softmax_with_temperature(x, temperature):
    return torch.softmax(x / temperature, -1)


def masked_mean(x, m):
    return (x * m).sum() / m.sum()


def mean_of_groups(x, groups):
    total = torch.zeros(4, dtype=x.dtype).index_add(0, groups, x)
    count = torch.zeros(4, dtype=x.dtype).index_add(0, groups, torch.ones_like(x))
    return total / count


def attention_by_hand(q, k, v, mask):
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1) @ v


def rms_norm_in_half(x):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-8)


def eps_in_half(a, b):
    return a / (b.abs() + 1e-8)


def odd_lp_pool(x):
    return F.lp_pool1d(x.reshape(1, 1, -1), 3, 2)


def tanh_log_prob(action):
    return torch.distributions.TransformedDistribution(
        torch.distributions.Normal(torch.zeros(()), torch.ones(())), [torch.distributions.TanhTransform()]
    ).log_prob(action)


# dtypes and ranges in which the condition of the table holds
OPTIONS = {
    "rms_norm_in_half": {"dtype": "float16"},
    "eps_in_half": {"dtype": "float16"},
    "odd_lp_pool": {"range": (-10.0, 10.0)},
}
