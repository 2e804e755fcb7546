"""The formulas of `broken.py` as they should be written: nothing is to be reported on any of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


def cross_entropy(logits, target):
    return F.cross_entropy(logits, target)


def one_hot_cross_entropy(logits, target):
    return -(F.one_hot(target, logits.shape[-1]) * torch.log_softmax(logits, -1)).sum(-1).mean()


def binary_cross_entropy(logits, target):
    return F.binary_cross_entropy_with_logits(logits, target)


def focal_loss(logits, target):
    sign = torch.where(target > 0.5, 1.0, -1.0)
    return (-(torch.sigmoid(-sign * logits) ** 2) * F.logsigmoid(sign * logits)).mean()


def focal_half(p):
    p = p.clamp(1e-6, 1 - 1e-6)
    return ((1 - p) ** 0.5 * -torch.log(p)).mean()


def entropy(probs):
    return -(probs * probs.clamp_min(1e-8).log()).sum(-1).mean()


def kl_divergence(p, q):
    return (p * (p.clamp_min(1e-8).log() - q.clamp_min(1e-8).log())).sum(-1).mean()


def jensen_shannon(logits_a, logits_b):
    a, b = logits_a.log_softmax(-1), logits_b.log_softmax(-1)
    m = torch.logaddexp(a, b) - math.log(2)
    return 0.5 * ((a.exp() * (a - m)).sum(-1) + (b.exp() * (b - m)).sum(-1)).mean()


def gan_discriminator(real_logits, fake_logits):
    return (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()


def gumbel_noise(u, logits):
    u = u.clamp(1e-6, 1 - 1e-6)
    return torch.softmax(logits - torch.log(-torch.log(u)), dim=-1)


def softmax(x):
    return torch.softmax(x, dim=-1)


def log_sum_exp(x):
    top = x.amax(-1, keepdim=True).detach()
    return top.squeeze(-1) + (x - top).exp().sum(-1).log()


def softplus(x):
    return torch.relu(x) + torch.log1p(torch.exp(-x.abs()))


def swish(x):
    return x * torch.sigmoid(x)


def log_cosh(prediction, target):
    gap = (prediction - target).abs()
    return (gap + F.softplus(-2 * gap) - math.log(2)).mean()


def vae_kl(mu, log_var):
    log_var = log_var.clamp(-30, 20)
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1).mean()


def contrastive(a, b):
    a, b = F.normalize(a, dim=-1, eps=1e-6), F.normalize(b, dim=-1, eps=1e-6)
    return F.cross_entropy(a @ b.t() / 0.05, torch.arange(len(a)))


def policy_ratio(log_prob, old_log_prob, advantage):
    ratio = torch.exp((log_prob - old_log_prob).clamp(-20, 20))
    return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def mixture_density(weights, means, log_scales, target):
    log_scales = log_scales.clamp(-7, 7)
    z = (target.unsqueeze(-1) - means) * torch.exp(-log_scales)
    log_density = -0.5 * z * z - log_scales - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(weights.log_softmax(-1) + log_density, -1).mean()


def euclidean(a, b):
    return torch.linalg.vector_norm(a - b, dim=-1).mean()


def triplet(anchor, positive, negative):
    near = torch.sqrt(torch.sum((anchor - positive) ** 2, dim=-1) + 1e-8)
    far = torch.sqrt(torch.sum((anchor - negative) ** 2, dim=-1) + 1e-8)
    return torch.relu(near - far + 1.0).mean()


def rmse(prediction, target):
    return torch.sqrt(F.mse_loss(prediction, target) + 1e-8)


def pairwise_by_dot(x):
    return torch.cdist(x, x)


def deviation_by_moments(x):
    centred = x - x.mean(-1, keepdim=True)
    return torch.sqrt((centred * centred).mean(-1) + 1e-6)


def quaternion(q):
    return F.normalize(q, dim=-1, eps=1e-6)


def magnitude(re, im):
    return torch.sqrt(re**2 + im**2 + 1e-12)


def gradient_penalty(gradients):
    return ((gradients.norm(2, dim=-1) - 1) ** 2).mean()


def gamma_correction(image):
    bright = image.clamp(min=0.0031308)
    return torch.where(image > 0.0031308, 1.055 * bright ** (1 / 2.4) - 0.055, 12.92 * image)


def standardise(x):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, correction=0) + 1e-5)


def min_max(x):
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return (x - low) / (high - low).clamp_min(1e-6)


def cosine(a, b):
    return F.cosine_similarity(a, b, dim=-1)


def dice(probs, target):
    return 1 - (2 * (probs * target).sum() + 1) / (probs.sum() + target.sum() + 1)


def iou(boxes_a, boxes_b):
    left, right = torch.maximum(boxes_a[:, :2], boxes_b[:, :2]), torch.minimum(boxes_a[:, 2:], boxes_b[:, 2:])
    inter = (right - left).clamp(min=0).prod(-1)
    area = lambda b: (b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1)  # noqa: E731
    return 1 - (inter / (area(boxes_a) + area(boxes_b) - inter).clamp_min(1e-6)).mean()


def masked_mean(x, mask):
    return (x * mask).sum() / mask.sum().clamp_min(1)


def mape(prediction, target):
    return ((prediction - target).abs() / target.abs().clamp_min(1e-3)).mean()


def gaussian_nll(mean, variance, target):
    return F.gaussian_nll_loss(mean, target, variance, eps=1e-4)


def advantages(reward):
    return (reward - reward.mean()) / (reward.std(correction=0) + 1e-8)


def rotation_angle(a, b):
    a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    return torch.acos((a * b).sum(-1).clamp(-1 + 1e-6, 1 - 1e-6)).mean()


def poincare_distance(u, v):
    gap = (u - v).pow(2).sum(-1)
    room = ((1 - u.pow(2).sum(-1)) * (1 - v.pow(2).sum(-1))).clamp_min(1e-5)
    return torch.acosh((1 + 2 * gap / room).clamp_min(1 + 1e-6))


def squashed_log_prob(u):
    return (-0.5 * u**2 - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)


def attention(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def orthogonalise(matrix):
    x = matrix / (matrix.norm() + 1e-6)
    for _ in range(5):
        x = 1.5 * x - 0.5 * x @ x.transpose(-1, -2) @ x
    return x


class RMSNorm(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class LogSpectrum(nn.Module):
    def forward(self, signal):
        power = torch.fft.rfft(signal).abs() ** 2
        return 10 * torch.log10(power + 1e-8)


class SquashedHead(nn.Module):
    def __init__(self, features=4):
        super().__init__()
        self.linear = nn.Linear(features, 2)

    def forward(self, x):
        x = self.linear(x)
        return F.logsigmoid(x) - F.logsigmoid(-x)
