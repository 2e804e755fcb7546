"""Losses and layers as they are written by hand, each with an input that breaks it. `stable.py` has the same names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

# -- logarithms of probabilities


def cross_entropy(logits, target):
    probs = torch.softmax(logits, dim=-1)
    return -torch.log(probs[torch.arange(len(probs)), target]).mean()


def one_hot_cross_entropy(logits, target):
    log_probs = torch.log(torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True))
    return -(F.one_hot(target, logits.shape[-1]) * log_probs).sum(-1).mean()


def binary_cross_entropy(logits, target):
    p = torch.sigmoid(logits)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def focal_loss(logits, target):
    p = torch.sigmoid(logits)
    pt = torch.where(target > 0.5, p, 1 - p)
    return (-((1 - pt) ** 2) * pt.log()).mean()


def focal_half(p):
    return ((1 - p) ** 0.5 * -torch.log(p + 1e-6)).mean()


def entropy(probs):
    return -(probs * probs.log()).sum(-1).mean()


def kl_divergence(p, q):
    return (p * (p / q).log()).sum(-1).mean()


def jensen_shannon(logits_a, logits_b):
    a, b = logits_a.softmax(-1), logits_b.softmax(-1)
    m = (a + b) / 2
    return 0.5 * ((a * (a / m).log()).sum(-1) + (b * (b / m).log()).sum(-1)).mean()


def gan_discriminator(real_logits, fake_logits):
    return -(torch.log(torch.sigmoid(real_logits)) + torch.log(1 - torch.sigmoid(fake_logits))).mean()


def gumbel_noise(u, logits):
    return torch.softmax(logits - torch.log(-torch.log(u)), dim=-1)


# -- exponentials


def softmax(x):
    e = torch.exp(x)
    return e / e.sum(dim=-1, keepdim=True)


def log_sum_exp(x):
    return x.exp().sum(-1).log()


def softplus(x):
    return torch.log(1 + torch.exp(x))


def swish(x):
    return x / (1 + torch.exp(-x))


def log_cosh(prediction, target):
    return torch.log(torch.cosh(prediction - target)).mean()


def vae_kl(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1).mean()


def contrastive(a, b):
    similarity = a @ b.t() / 0.05
    e = torch.exp(similarity)
    return -torch.log(e.diag() / e.sum(-1)).mean()


def policy_ratio(log_prob, old_log_prob, advantage):
    ratio = torch.exp(log_prob - old_log_prob)
    return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def mixture_density(weights, means, log_scales, target):
    scale = log_scales.exp()
    z = (target.unsqueeze(-1) - means) / scale
    density = torch.exp(-0.5 * z * z) / (scale * math.sqrt(2 * math.pi))
    return -(weights.softmax(-1) * density).sum(-1).log().mean()


# -- roots and norms


def euclidean(a, b):
    return ((a - b) ** 2).sum(-1).sqrt().mean()


def triplet(anchor, positive, negative):
    near = torch.sqrt(torch.sum((anchor - positive) ** 2, dim=-1))
    far = torch.sqrt(torch.sum((anchor - negative) ** 2, dim=-1))
    return torch.relu(near - far + 1.0).mean()


def rmse(prediction, target):
    return torch.sqrt(torch.mean((prediction - target) ** 2))


def pairwise_by_dot(x):
    squares = (x * x).sum(-1)
    return torch.sqrt(squares[:, None] + squares[None, :] - 2 * x @ x.t())


def deviation_by_moments(x):
    return torch.sqrt((x * x).mean(-1) - x.mean(-1) ** 2)


def quaternion(q):
    return q / torch.sqrt((q * q).sum(-1, keepdim=True))


def magnitude(re, im):
    return torch.sqrt(re**2 + im**2)


def gradient_penalty(gradients):
    return ((gradients.pow(2).sum(-1).pow(0.5) - 1) ** 2).mean()


def gamma_correction(image):
    return torch.where(image > 0.0031308, 1.055 * image ** (1 / 2.4) - 0.055, 12.92 * image)


# -- quotients


def standardise(x):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)


def min_max(x):
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return (x - low) / (high - low)


def cosine(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def dice(probs, target):
    return 1 - 2 * (probs * target).sum() / (probs.sum() + target.sum())


def iou(boxes_a, boxes_b):
    left, right = torch.maximum(boxes_a[:, :2], boxes_b[:, :2]), torch.minimum(boxes_a[:, 2:], boxes_b[:, 2:])
    inter = (right - left).clamp(min=0).prod(-1)
    area = lambda b: (b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1)  # noqa: E731
    return 1 - (inter / (area(boxes_a) + area(boxes_b) - inter)).mean()


def masked_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def mape(prediction, target):
    return ((prediction - target).abs() / target.abs()).mean()


def gaussian_nll(mean, variance, target):
    return (0.5 * (variance.log() + (target - mean) ** 2 / variance)).mean()


def advantages(reward):
    return (reward - reward.mean()) / (reward.std() + 1e-8)


# -- angles, masks, matrices


def rotation_angle(a, b):
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    return torch.acos((a * b).sum(-1)).mean()


def poincare_distance(u, v):
    gap = (u - v).pow(2).sum(-1)
    room = (1 - u.pow(2).sum(-1)) * (1 - v.pow(2).sum(-1))
    return torch.acosh(1 + 2 * gap / room)


def squashed_log_prob(u):
    action = torch.tanh(u)
    return (-0.5 * u**2 - torch.log(1 - action**2)).sum(-1)


def attention(q, k, v, mask):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v


def orthogonalise(matrix):
    u, _, v = torch.linalg.svd(matrix)
    return u @ v


class RMSNorm(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)) * self.weight


class LogSpectrum(nn.Module):
    def forward(self, signal):
        power = torch.fft.rfft(signal).abs() ** 2
        return 10 * torch.log10(power)


class SquashedHead(nn.Module):
    def __init__(self, features=4):
        super().__init__()
        self.linear = nn.Linear(features, 2)

    def forward(self, x):
        p = torch.sigmoid(self.linear(x))
        return torch.log(p) - torch.log(1 - p)
