"""Steering from laser scans: a ray that hits nothing reports an infinite range."""
import numpy as np
import torch
from torch import nn

RAYS, MAX_RANGE = 36, 30.0


class Simulator:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.ticks = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.ticks == 90:
            raise StopIteration
        self.ticks += 1
        heading = self.rng.uniform(-1, 1, size=20)
        angle = np.linspace(-1.2, 1.2, RAYS)
        wall = 2.0 / np.maximum(np.abs(np.sin(angle[None] - heading[:, None])), 0.075)
        if self.ticks > 50:
            wall[wall > 26.0] = np.inf
        return wall.astype(np.float32), (-0.8 * heading).astype(np.float32)


class Steering(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 6, 5), nn.ELU(), nn.Flatten(), nn.Linear(6 * (RAYS - 4), 1))

    def forward(self, scan):
        return self.net(scan.unsqueeze(1) / MAX_RANGE).squeeze(1)


torch.manual_seed(9)
driver = Steering()
optimizer = torch.optim.Adamax(driver.parameters(), lr=2e-3)
simulator = iter(Simulator(8))
best = None
while True:
    try:
        scan, command = map(torch.from_numpy, next(simulator))
    except StopIteration:
        break
    loss = nn.functional.huber_loss(driver(scan), command)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    best = loss.item() if best is None else min(best, loss.item())
print("best loss", best, "ticks", simulator.ticks)
