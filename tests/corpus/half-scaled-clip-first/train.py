"""Float16 training of a tabular model with a fixed loss scale and gradient clipping."""
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Settings:
    scale: float = 2.0 ** 17
    clip: float = 1.0
    lr: float = 0.02
    steps: int = 150


class Tower(nn.Module):
    def __init__(self, n_in, width, depth):
        super().__init__()
        dims = [n_in] + depth * [width]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims, dims[1:]))
        self.norms = nn.ModuleList(nn.LayerNorm(b) for b in dims[1:])
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        for layer, norm in zip(self.layers, self.norms):
            x = torch.relu(norm(layer(x)))
        return self.last(x).squeeze(-1)


class HalfTrainer:
    def __init__(self, model, settings):
        self.settings = settings
        self.model = model.half()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=settings.lr)

    def step(self, x, y):
        prediction = self.model(x.half())
        loss = nn.functional.smooth_l1_loss(prediction.float(), y)
        self.optimizer.zero_grad()
        (loss * self.settings.scale).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip * self.settings.scale)
        with torch.no_grad():
            for p in self.model.parameters():
                p.grad /= self.settings.scale
        self.optimizer.step()
        return loss.item()


def table(step, n=64):
    g = torch.Generator().manual_seed(step)
    x = torch.randn(n, 10, generator=g)
    y = x[:, 0] * x[:, 1] + torch.sin(3 * x[:, 2])
    if step > 40:
        y = y + 6 * (torch.rand(n, generator=g) < 0.5)  # second site, other baseline
    return x, y


if __name__ == "__main__":
    torch.manual_seed(8)
    settings = Settings()
    trainer = HalfTrainer(Tower(10, 64, 3), settings)
    for step in range(settings.steps):
        value = trainer.step(*table(step))
        if step % 15 == 0:
            print(step, f"{value:.4f}")
