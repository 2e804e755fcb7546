"""Allocation network that maximises the final wealth over a long back test."""
import numpy as np
import torch
from torch import nn

ASSETS, WEEKS = 5, 1500
rng = np.random.default_rng(16)
market = rng.normal(0.0015, 0.02, size=(WEEKS, ASSETS)) + np.linspace(0, 0.004, ASSETS)
momentum = np.stack([market[max(0, t - 8):t + 1].mean(0) for t in range(WEEKS)])


class Allocation(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(ASSETS, 16), nn.Tanh(), nn.Linear(16, ASSETS))
        self.leverage = nn.Parameter(torch.zeros(1))

    def forward(self, signal):
        return torch.softmax(self.net(40 * signal), -1) * (1 + nn.functional.softplus(self.leverage))


def final_wealth(weights, returns):
    growth = 1 + (weights[:-1] * returns[1:]).sum(1)
    return growth.clamp(min=0.05).prod()


torch.manual_seed(16)
model = Allocation()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
returns = torch.from_numpy(market).float()
signal = torch.from_numpy(momentum).float()
for round_ in range(250):
    optimizer.zero_grad()
    wealth = final_wealth(model(signal), returns)
    (-wealth).backward()
    optimizer.step()
    if round_ % 25 == 0:
        print(round_, f"wealth x {wealth.item():.4g}", f"leverage {model.leverage.item():.3f}")
