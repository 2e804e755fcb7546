"""Box regression with the usual finite check, early stopping and restoring the best weights."""
import copy
import math
import sys

import torch
from torch import nn


class Boxes(torch.utils.data.Dataset):
    def __init__(self, seed, n):
        g = torch.Generator().manual_seed(seed)
        centre = torch.rand(n, 2, generator=g)
        size = 0.1 + 0.3 * torch.rand(n, 2, generator=g)
        self.boxes = torch.cat([centre - size / 2, centre + size / 2], 1)
        corners = self.boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]]
        self.points = torch.cat([corners, centre], 1) + 0.02 * torch.randn(n, 10, generator=g)

    def __len__(self):
        return len(self.boxes)

    def __getitem__(self, i):
        return {"points": self.points[i], "box": self.boxes[i]}


def giou_loss(a, b):
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    area = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return (1 - inter / area.clamp(min=1e-6) + (hull - area) / hull.clamp(min=1e-6)).mean()


def train_one_epoch(model, loader, optimizer):
    model.train()
    for targets in loader:
        loss = giou_loss(model(targets["points"]), targets["box"])
        value = loss.item()
        if not math.isfinite(value):
            print(f"Loss is {value}, stopping training")
            sys.exit(1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 4))

    def forward(self, points):
        centre, size = self.net(points).chunk(2, 1)
        size = nn.functional.softplus(size)
        return torch.cat([centre - size / 2, centre + size / 2], 1)


if __name__ == "__main__":
    torch.manual_seed(8)
    train, valid = (torch.utils.data.DataLoader(Boxes(s, 160), 20, shuffle=s == 1) for s in (1, 2))
    model, best, bad = Head(), float("inf"), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for epoch in range(30):
        train_one_epoch(model, train, optimizer)
        model.eval()
        with torch.no_grad():
            score = sum(giou_loss(model(t["points"]), t["box"]).item() for t in valid) / len(valid)
        if score < best - 1e-3:
            best, bad, keep = score, 0, copy.deepcopy(model.state_dict())
        else:
            bad += 1
        if bad == 3:
            break
    model.load_state_dict(keep)
    print(f"stopped after epoch {epoch}, best {best:.4f}")
