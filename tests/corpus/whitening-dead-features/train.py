import torch
from torch import nn


class Whiten(nn.Module):
    """ZCA whitening of a batch through the eigenvectors of its covariance."""

    def __init__(self, eps=1e-3):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        x = x - x.mean(0)
        cov = x.t() @ x / (len(x) - 1)
        values, vectors = torch.linalg.eigh(cov)
        return x @ (vectors * (values.clamp(min=0) + self.eps).rsqrt()) @ vectors.t()


class Encoder(nn.Module):
    def __init__(self, features=20, hidden=12):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, hidden), nn.ReLU())
        self.whiten = Whiten()

    def forward(self, x):
        return self.whiten(self.layers(x))


def two_views(n, g):
    base = torch.randn(n, 20, generator=g)
    return base + 0.2 * torch.randn(n, 20, generator=g), base + 0.2 * torch.randn(n, 20, generator=g)


g = torch.Generator().manual_seed(2)
torch.manual_seed(2)
encoder = Encoder()
optimizer = torch.optim.SGD(encoder.parameters(), lr=0.3, momentum=0.9)
for step in range(150):
    a, b = two_views(64, g)
    loss = (encoder(a) - encoder(b)).pow(2).sum(1).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    optimizer.step()
    if step % 15 == 0:
        print(step, round(loss.item(), 4))
