"""Delivery routes with a pointer decoder: visited stops are masked, the depot ends a route."""
import torch
from torch import nn
import torch.nn.functional as F

STOPS = 6


class Pointer(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.encode = nn.Linear(2, width)
        self.query = nn.GRUCell(width, width)
        self.key = nn.Linear(width, width)

    def forward(self, xy, steps, g):
        nodes = torch.tanh(self.encode(xy))
        keys = self.key(nodes)
        h = nodes.mean(1)
        last = nodes[:, 0]
        open_ = torch.ones(xy.shape[:2], dtype=torch.bool)
        rows = torch.arange(len(xy))
        tour, log_probs = [], []
        for _ in range(steps):
            h = self.query(last, h)
            score = torch.einsum("bd,bnd->bn", h, keys) / keys.shape[-1] ** 0.5
            p = F.softmax(score.masked_fill(~open_, float("-inf")), dim=-1)
            noise = torch.rand(p.shape, generator=g)
            pick = (p.detach() / -noise.log()).argmax(1)
            log_probs.append(p[rows, pick].log())
            open_ = open_.clone()
            open_[rows, pick] = False
            last = nodes[rows, pick]
            tour.append(xy[rows, pick])
        return torch.stack(tour, 1), torch.stack(log_probs, 1).sum(1)


def tour_length(tour):
    return (tour - tour.roll(1, dims=1)).norm(dim=-1).sum(1)


torch.manual_seed(38)
g = torch.Generator().manual_seed(38)
net = Pointer()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
baseline = None
for it in range(90):
    stops = STOPS if it < 60 else STOPS - 1
    tour, log_p = net(torch.rand(16, stops, 2, generator=g), STOPS, g)
    length = tour_length(tour)
    baseline = length.mean() if baseline is None else 0.9 * baseline + 0.1 * length.mean()
    loss = ((length - baseline).detach() * log_p).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if it % 15 == 0:
        print(it, round(baseline.item(), 4))
