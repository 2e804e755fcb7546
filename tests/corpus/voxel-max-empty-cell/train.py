"""Point clouds to a 4x4 bird's-eye grid: every cell takes the maximum of its points' features."""
import torch
import torch.nn as nn


class CellMax(nn.Module):
    def __init__(self, grid=4):
        super().__init__()
        self.grid = grid

    def forward(self, points, features):
        cell = (points[..., :2].clamp(0, 0.999) * self.grid).long()
        index = cell[..., 0] * self.grid + cell[..., 1]
        b, n, c = features.shape
        out = features.new_full((b, self.grid ** 2, c), float("-inf"))
        return out.scatter_reduce(1, index.unsqueeze(-1).expand(b, n, c), features, reduce="amax")


class BirdsEye(nn.Module):
    def __init__(self, c=16):
        super().__init__()
        self.point = nn.Sequential(nn.Linear(4, c), nn.ReLU(), nn.Linear(c, c))
        self.pool = CellMax()
        self.cells = nn.Sequential(nn.Linear(c, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, points):
        return self.cells(self.pool(points, self.point(points))).squeeze(-1)


def sweep(generator, n=220):
    xy = torch.rand(8, n, 2, generator=generator)
    z = torch.sin(6 * xy[..., :1]) + 0.1 * torch.randn(8, n, 1, generator=generator)
    intensity = torch.rand(8, n, 1, generator=generator)
    points = torch.cat([xy, z, intensity], -1)
    centre = (torch.arange(4) + 0.5) / 4
    height = torch.sin(6 * centre).repeat_interleave(4).expand(8, 16)
    return points, height


def train(epochs=3, length=30):
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(0)
    net = BirdsEye()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for i in range(length):
            points, height = sweep(generator, n=120 - 2 * i if epoch == 1 else 220)
            loss = (net(points) - height).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())


train()
