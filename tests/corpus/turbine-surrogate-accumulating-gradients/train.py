"""Surrogate of a wind turbine: power in units of 100 kW from wind speed, yaw and density."""
import torch
from torch import nn


class Turbine:
    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)

    def __call__(self, n):
        wind = 3 + 12 * torch.rand(n, generator=self.g)
        yaw = 0.4 * torch.randn(n, generator=self.g)
        density = 1.2 + 0.05 * torch.randn(n, generator=self.g)
        power = (0.5 * density * (wind * yaw.cos()) ** 3 * 0.02).clamp(max=20)
        return torch.stack([(wind - 9) / 3.5, yaw / 0.4, (density - 1.2) / 0.05], 1), power.unsqueeze(1)


def train_step(net, optimizer, x, power):
    loss = nn.functional.mse_loss(net(x), power)
    loss.backward()
    optimizer.step()
    return loss.detach()


class ResponseSurface(nn.Module):
    """Linear terms plus a low-rank quadratic form."""

    def __init__(self, inputs, rank=6):
        super().__init__()
        self.linear = nn.Linear(inputs, 1)
        self.rise, self.fall = nn.Linear(inputs, rank), nn.Linear(inputs, rank)

    def forward(self, x):
        quadratic = self.rise(x).pow(2).sum(1) - self.fall(x).pow(2).sum(1)
        return self.linear(x) + quadratic.unsqueeze(1)


torch.manual_seed(20)
turbine = Turbine(20)
net = ResponseSurface(3)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
log = []
for step in range(250):
    log.append(train_step(net, optimizer, *turbine(64)))
    if step % 25 == 24:
        print(step + 1, "loss", torch.stack(log).mean().item())
        log.clear()
