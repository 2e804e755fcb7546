"""Message passing on point clouds; messages are weighted by the direction of the edge."""
import torch
from torch import nn


def radius_graph(points, radius):
    close = torch.cdist(points, points) < radius
    close.fill_diagonal_(False)
    return close.nonzero(as_tuple=True)


class Directional(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU())
        self.shift = nn.Linear(width, 1, bias=False)

    def forward(self, h, points, edges):
        i, j = edges
        gap = points[i] - points[j]
        length = (gap ** 2).sum(1, keepdim=True) ** 0.5
        m = self.message(torch.cat([h[i], h[j], length], 1))
        h = h + torch.zeros_like(h).index_add(0, i, m)
        points = points + 0.05 * torch.zeros_like(points).index_add(0, i, gap * self.shift(m))
        return h, points


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.layers = nn.ModuleList(Directional(16) for _ in range(3))
        self.read = nn.Linear(16, 1)

    def forward(self, charge, points):
        edges = radius_graph(points, 1.1)
        h = self.embed(charge)
        for layer in self.layers:
            h, points = layer(h, points, edges)
        return self.read(h).mean()


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
    energy = torch.exp(-torch.cdist(points, points)).mean() + charge.mean()
    loss = (model(charge, points) - energy) ** 2
    (loss / 4).backward()
    if n % 4 == 3:
        optimizer.step()
        optimizer.zero_grad()
    if n % 20 == 0:
        print(n, loss.item())
