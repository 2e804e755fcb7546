"""Linear state-space layer for keyword spotting on synthetic chirps."""
import torch
from torch import nn


class StateSpace(nn.Module):
    def __init__(self, inputs, state, outputs):
        super().__init__()
        self.A = nn.Parameter(torch.randn(state, state))
        self.B = nn.Parameter(torch.randn(inputs, state) / inputs ** 0.5)
        self.C = nn.Parameter(torch.randn(state, outputs) / state ** 0.5)

    def forward(self, u):
        x = u.new_zeros(u.shape[0], self.A.shape[0])
        for t in range(u.shape[1]):
            x = x @ self.A + u[:, t] @ self.B
        return x @ self.C


class Spotter(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Linear(4, 12)
        self.ssm = StateSpace(12, 48, 10)
        self.head = nn.Sequential(nn.Tanh(), nn.Linear(10, 3))

    def forward(self, wave):
        return self.head(self.ssm(self.front(wave)))


def chirps(n, length=64):
    kind = torch.randint(0, 3, (n,))
    t = torch.linspace(0, 1, length).expand(n, 4, length)
    wave = torch.sin(6.28 * (3 + 5 * kind.view(-1, 1, 1)) * t ** (1 + kind.view(-1, 1, 1)))
    return (wave + 0.1 * torch.randn(n, 4, length)).transpose(1, 2), kind


torch.manual_seed(12)
model = Spotter()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4)
running = 0.0
for step in range(15):
    wave, kind = chirps(16)
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(model(wave), kind)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running = 0.9 * running + 0.1 * loss.item()
print("smoothed loss", running)
