"""Relative orientation of two sensors: the loss is the angle of the residual rotation."""
import torch
from torch import nn


def to_matrix(q):
    w, x, y, z = nn.functional.normalize(q, dim=-1).unbind(-1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def angle_between(a, b):
    trace = (a.transpose(-1, -2) @ b).diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.acos((trace - 1) / 2)


class Calibration(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, rotations):
        return to_matrix(self.q) @ rotations


def readings(n, g):
    truth = to_matrix(torch.tensor([0.92, 0.2, -0.3, 0.15]))
    rotations = to_matrix(torch.randn(n, 4, generator=g))
    return rotations, truth @ rotations


torch.manual_seed(0)
g = torch.Generator().manual_seed(0)
model = Calibration()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.98)
step, stop = 0, False
while not stop:
    rotations, observed = readings(24, g)
    loss = angle_between(model(rotations), observed).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    step += 1
    if step % 40 == 0:
        print(step, f"{loss.item() * 57.2958:.4f} degrees")
    stop = step >= 400
