"""Energies and forces of small clusters by message passing on distances."""
import torch
from torch import nn


def radius_graph(points, radius):
    close = torch.cdist(points, points) < radius
    close.fill_diagonal_(False)
    return close.nonzero(as_tuple=True)


class Pairwise(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU())

    def forward(self, h, points, edges):
        i, j = edges
        gap = points[i] - points[j]
        length = (gap ** 2).sum(1, keepdim=True) ** 0.5
        m = self.message(torch.cat([h[i], h[j], length], 1))
        return h + torch.zeros_like(h).index_add(0, i, m)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.layers = nn.ModuleList(Pairwise(16) for _ in range(3))
        self.read = nn.Linear(16, 1)

    def forward(self, charge, points):
        edges = radius_graph(points, 1.1)
        h = self.embed(charge)
        for layer in self.layers:
            h = layer(h, points, edges)
        return self.read(h).sum() / 10


def cloud(n, g):
    points = torch.randn(14, 3, generator=g)
    if n == 37:
        points[5] = points[2]
    return torch.randn(14, 1, generator=g), points


torch.manual_seed(29)
g = torch.Generator().manual_seed(29)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for n in range(70):
    charge, points = cloud(n, g)
    pull = -points + 0.1 * charge
    energy = model(charge, points.requires_grad_())
    force = -torch.autograd.grad(energy, points, create_graph=True)[0]
    loss = (force - pull).pow(2).mean()
    (loss / 4).backward()
    if n % 4 == 3:
        optimizer.step()
        optimizer.zero_grad()
    if n % 20 == 0:
        print(n, loss.item())
