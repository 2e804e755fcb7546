"""Contrastive training at a low temperature with an explicit, shifted log-sum-exp and -inf on the diagonal."""
import torch
from torch import nn


class Projector(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x):
        return nn.functional.normalize(self.layers(x), dim=1)


def views(n, g):
    x = torch.randn(n, 12, generator=g)
    return x + 0.1 * torch.randn(n, 12, generator=g), x + 0.1 * torch.randn(n, 12, generator=g)


def nt_xent(z, temperature):
    n = len(z) // 2
    sim = (z @ z.t() / temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    peak = sim.detach().amax(1, keepdim=True)
    log_total = (sim - peak).exp().sum(1).log() + peak.squeeze(1)
    positive = sim[torch.arange(2 * n), (torch.arange(2 * n) + n) % (2 * n)]
    return (log_total - positive).mean()


torch.manual_seed(24)
g = torch.Generator().manual_seed(24)
model = Projector()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
naive = []
for step in range(100):
    a, b = views(16, g)
    z = model(torch.cat([a, b]))
    loss = nt_xent(z, temperature=0.01)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            naive.append((z @ z.t() / 0.01).exp().sum(1).log().mean().item())
        print(step, f"loss {loss.item():.4f}", "naive normaliser", naive[-1])
