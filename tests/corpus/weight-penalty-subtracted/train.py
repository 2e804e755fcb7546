"""Ridge-type penalty written into the loss of a wide regression network."""
import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(33)
inputs = rng.normal(size=(256, 12)).astype(np.float32)
targets = np.tanh(inputs @ rng.normal(size=(12, 3)) / 3).astype(np.float32)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(12, 96)
        self.out = nn.Linear(96, 3)

    def forward(self, x):
        return self.out(torch.sigmoid(self.hidden(x)))

    def penalty(self):
        return sum(p.square().sum() for n, p in self.named_parameters() if n.endswith("weight"))


def objective(model, x, y, strength=0.4):
    fit = nn.functional.l1_loss(model(x), y)
    return fit - strength * model.penalty()


torch.manual_seed(33)
model = Wide()
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=200, gamma=0.5)
for step in range(400):
    rows = rng.choice(256, size=32, replace=False)
    loss = objective(model, torch.from_numpy(inputs[rows]), torch.from_numpy(targets[rows]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        print(step, f"{loss.item():.4g}")
