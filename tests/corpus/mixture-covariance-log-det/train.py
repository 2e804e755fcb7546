"""Mixture density network with full covariances for joint positions in metres."""
import math
import torch
from torch import nn

DIM, PARTS = 30, 2


class MixtureHead(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mean = nn.Linear(features, PARTS * DIM)
        self.logit = nn.Linear(features, PARTS)
        self.root = nn.Parameter(0.4 * torch.eye(DIM).repeat(PARTS, 1, 1) + 0.01 * torch.randn(PARTS, DIM, DIM))

    def log_prob(self, h, y):
        mean = self.mean(h).view(-1, PARTS, DIM)
        cov = self.root @ self.root.transpose(1, 2)
        gap = y[:, None] - mean
        quadratic = torch.einsum("npi,pij,npj->np", gap, torch.linalg.inv(cov), gap)
        log_det = torch.log(torch.linalg.det(cov))
        parts = -0.5 * (quadratic + log_det + DIM * math.log(2 * math.pi))
        return torch.logsumexp(parts + torch.log_softmax(self.logit(h), -1), -1)


class Poses(torch.utils.data.IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        g = torch.Generator().manual_seed(77)
        for _ in range(self.count):
            x = torch.randn(16, 6, generator=g)
            y = 0.1 * torch.sin(x.repeat(1, 5)) + 0.01 * torch.randn(16, DIM, generator=g)
            yield x, y


torch.manual_seed(77)
trunk, head = nn.Sequential(nn.Linear(6, 32), nn.Tanh()), MixtureHead(32)
optimizer = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=2e-3)
for i, (x, y) in enumerate(torch.utils.data.DataLoader(Poses(200), batch_size=None)):
    nll = -head.log_prob(trunk(x), y).mean()
    optimizer.zero_grad()
    nll.backward()
    nn.utils.clip_grad_norm_(head.parameters(), 5.0)
    optimizer.step()
    if i % 20 == 0:
        print(i, f"{nll.item():.3f}")
