"""Online feature scaling in a control task: the spread is kept as E[x^2] - E[x]^2."""
import torch
from torch import nn


class RunningScale(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("total", torch.zeros(size))
        self.register_buffer("squares", torch.zeros(size))

    def forward(self, x):
        if self.training:
            self.count += len(x)
            self.total += x.sum(0)
            self.squares += (x * x).sum(0)
        mean = self.total / self.count
        std = (self.squares / self.count - mean * mean).sqrt()
        return (x - mean) / (std + 1e-3)


class Controller(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = RunningScale(4)
        self.policy = nn.Sequential(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x):
        return self.policy(self.scale(x))


def plant(steps, g):
    """Pressure in Pa, temperature in K, flow and valve; the pressure hardly moves."""
    for t in range(steps):
        flow = torch.randn(16, generator=g)
        pressure = 101325.0 + 4.0 * torch.randn(16, generator=g) + 20.0 * (t < 6)
        temperature = 293.0 + 2.0 * torch.randn(16, generator=g)
        valve = torch.rand(16, generator=g)
        yield torch.stack([pressure, temperature, flow, valve], 1), (flow * valve).unsqueeze(1)


torch.manual_seed(26)
controller = Controller()
optimizer = torch.optim.Adam(controller.parameters(), lr=5e-3)
for t, (x, wanted) in enumerate(plant(150, torch.Generator().manual_seed(26))):
    loss = nn.functional.mse_loss(controller(x), wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if t % 25 == 0:
        print(t, round(loss.item(), 4))
